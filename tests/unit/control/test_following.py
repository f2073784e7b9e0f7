"""Who follows a log where nothing happens costs a look at the log, and nothing is missed for that."""

from pathlib import Path

import pytest

from fabric.control.callers import LOCAL_ADMIN, Caller, Role
from fabric.control.following import ASKS_EVERY, Following
from fabric.control.ports import LogPart
from fabric.core.errors import Denied, NotFound
from fabric.store.logs import LogMark
from tests.unit.control.world import World


class Counted:
    """Looks at the workload, counted."""

    def __init__(self, world: World) -> None:
        self.service, self.asked = world.service, 0

    def mark(self, name: str) -> LogMark:
        found = self.service.logs.mark(name)
        assert isinstance(found, LogMark)
        return found

    def read(self, name: str, caller: Caller, offset: int, max_bytes: int) -> LogPart:
        self.asked += 1
        return self.service.logs.read(name, caller, offset, max_bytes)


@pytest.fixture
def logs(world: World) -> Counted:
    world.job("a")
    return Counted(world)


def test_a_log_where_nothing_happens_is_asked_for_now_and_then_only(world: World, logs: Counted) -> None:
    reader = Following(logs, "a", LOCAL_ADMIN, max_bytes=100)
    for _ in range(2 * ASKS_EVERY):
        assert reader.look() == LogPart(b"", 0, False)
    assert logs.asked == 2
    world.write("a", "hello\n")
    assert reader.look() == LogPart(b"hello\n", 6, False)


def test_a_long_log_is_read_piece_by_piece_without_a_pause(world: World, logs: Counted) -> None:
    world.write("a", "x" * 25)
    reader = Following(logs, "a", LOCAL_ADMIN, max_bytes=10)
    assert [len(reader.look().content) for _ in range(4)] == [10, 10, 5, 0]
    assert len(Following(logs, "a", LOCAL_ADMIN, max_bytes=10, offset=21).look().content) == 4


def test_the_end_is_seen_as_soon_as_the_record_says_so(world: World, logs: Counted) -> None:
    world.run("a")
    world.write("a", "bye\n")
    reader = Following(logs, "a", LOCAL_ADMIN, max_bytes=100)
    assert reader.look().content == b"bye\n"
    world.logs.mark_complete("a", 1)
    assert [reader.look().complete for _ in range(3)] == [False] * 3, "its record says that it runs"
    world.end("a")
    assert reader.look().complete


def test_one_that_is_cancelled_before_it_ran_ends_without_a_word(world: World, logs: Counted) -> None:
    reader = Following(logs, "a", LOCAL_ADMIN, max_bytes=100)
    assert not reader.look().complete
    world.service.stop("a", LOCAL_ADMIN)
    world.change("a", world.records.get("a").state.CANCELLED)
    assert any(reader.look().complete for _ in range(ASKS_EVERY))


def test_a_name_that_becomes_somebody_elses_is_read_no_further(world: World, logs: Counted) -> None:
    mine = Caller("ann", Role.MEMBER, "default")
    reader = Following(logs, "a", mine, max_bytes=100)
    assert not reader.look().content
    world.service.stop("a", LOCAL_ADMIN)
    world.change("a", world.records.get("a").state.CANCELLED)
    world.service.delete("a", LOCAL_ADMIN)
    with pytest.raises(NotFound):
        _ = [reader.look() for _ in range(ASKS_EVERY)]
    world.job("a", project="climate")
    world.write("a", "secret\n")
    with pytest.raises((Denied, NotFound)):
        reader.look()


def test_a_mark_differs_as_soon_as_there_is_more(world: World, tmp_path: Path) -> None:
    logs = world.logs
    marks = [logs.mark("a")]
    for change in (
        lambda: logs.append("a", 1, 0, b"x"), lambda: logs.append("a", 1, 5, b"y"), lambda: logs.mark_complete("a", 1),
        lambda: logs.append("a", 2, 0, b""),
    ):  # fmt: skip
        change()
        marks.append(logs.mark("a"))
        assert marks[-1] == logs.mark("a")
    assert len(set(marks)) == len(marks)
