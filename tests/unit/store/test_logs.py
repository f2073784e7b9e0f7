"""Driver output is kept byte by byte, whatever is sent twice, late or never."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric.core.errors import BadInput, Conflict, StorageFull
from fabric.store.logs import Logs


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path / "logs")


def whole(logs: Logs, workload: str = "w", max_bytes: int = 7) -> bytes:
    """All that a reader gets who asks for a little at a time."""
    found, offset = b"", 0
    while True:
        piece, following = logs.read(workload, offset, max_bytes)
        assert len(piece) <= max_bytes
        assert following == offset + len(piece)
        if not piece:
            return found
        found, offset = found + piece, following


def test_an_unknown_workload_has_written_nothing(logs: Logs) -> None:
    assert logs.read("w", 0, 100) == (b"", 0)
    assert logs.end("w", 1) == 0
    assert not logs.is_complete("w", 1)
    logs.delete("w")


def test_pieces_follow_each_other_byte_by_byte(logs: Logs) -> None:
    data = bytes(range(256)) * 3
    for start in range(0, len(data), 100):
        assert logs.append("w", 1, start, data[start : start + 100]) == min(start + 100, len(data))
    assert whole(logs) == data
    assert logs.end("w", 1) == len(data)


def test_what_is_sent_again_is_passed_over(logs: Logs) -> None:
    logs.append("w", 1, 0, b"hello ")
    assert logs.append("w", 1, 0, b"hello ") == 6
    assert logs.append("w", 1, 3, b"lo world") == 11
    assert whole(logs) == b"hello world"


def test_what_was_lost_is_shown_where_it_was(logs: Logs) -> None:
    logs.append("w", 1, 0, b"one\n")
    logs.append("w", 1, 100, b"two")
    logs.append("w", 1, 200, b"three\n")
    assert logs.end("w", 1) == 206
    assert whole(logs) == b"one\n[fabric: 96 bytes lost]\ntwo\n[fabric: 97 bytes lost]\nthree\n"


def test_a_beginning_and_an_end_may_be_lost_too(logs: Logs) -> None:
    logs.append("w", 1, 10, b"middle\n")
    logs.mark_complete("w", 1, total=30)
    assert whole(logs) == b"[fabric: 10 bytes lost]\nmiddle\n[fabric: 13 bytes lost]\n"


def test_attempts_follow_each_other_with_a_line_between_them(logs: Logs) -> None:
    logs.append("w", 1, 0, b"no end of line")
    logs.mark_complete("w", 1)
    logs.append("w", 2, 0, b"")
    logs.append("w", 3, 0, b"third\n")
    logs.append("w", 10, 0, b"tenth\n")
    assert whole(logs) == (
        b"no end of line\n[fabric] attempt 2\n[fabric] attempt 3\nthird\n[fabric] attempt 10\ntenth\n"
    )


def test_a_reader_that_follows_sees_every_byte_once(logs: Logs) -> None:
    seen, offset = b"", 0
    for attempt, text in ((1, b"a"), (1, b"b\n"), (2, b"c"), (2, b"d"), (4, b"e\n")):
        logs.append("w", attempt, logs.end("w", attempt), text)
        piece, offset = logs.read("w", offset)
        seen += piece
    assert seen == whole(logs) == b"ab\n[fabric] attempt 2\ncd\n[fabric] attempt 4\ne\n"


def test_an_offset_past_the_end_waits_for_what_comes(logs: Logs) -> None:
    logs.append("w", 1, 0, b"abc")
    assert logs.read("w", 3, 10) == (b"", 3)
    assert logs.read("w", 99, 10) == (b"", 3)


def test_nothing_is_added_to_what_readers_have_passed(logs: Logs) -> None:
    logs.append("w", 1, 0, b"abc")
    logs.mark_complete("w", 1)
    assert logs.is_complete("w", 1)
    assert logs.append("w", 1, 0, b"abc") == 3
    with pytest.raises(Conflict, match="attempt 1 is complete at byte 3"):
        logs.append("w", 1, 3, b"d")
    logs.append("w", 2, 0, b"e")
    with pytest.raises(Conflict, match="attempt 1 was closed by a later attempt"):
        logs.append("w", 1, 3, b"d")


def test_a_new_object_goes_on_where_another_ended(tmp_path: Path, logs: Logs) -> None:
    logs.append("w", 1, 0, b"abc")
    again = Logs(tmp_path / "logs")
    assert again.append("w", 1, again.end("w", 1), b"def") == 6
    assert whole(logs) == b"abcdef"


def test_workloads_do_not_share_and_can_be_deleted(logs: Logs) -> None:
    logs.append("w", 1, 0, b"mine")
    logs.append("w.x", 1, 0, b"other")
    logs.delete("w")
    assert whole(logs) == b""
    assert whole(logs, "w.x") == b"other"


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", "a/b"])
def test_a_name_cannot_lead_elsewhere(logs: Logs, name: str) -> None:
    for ask in (lambda: logs.append(name, 1, 0, b"x"), lambda: logs.read(name, 0), lambda: logs.delete(name)):
        with pytest.raises(BadInput):
            ask()


def test_a_full_disk_keeps_what_fitted_and_takes_the_rest_later(small_disk: Path) -> None:
    logs = Logs(small_disk / "logs")
    data = bytes(range(256)) * 2**13
    with pytest.raises(StorageFull):
        logs.append("w", 1, 0, data)
    kept = logs.end("w", 1)
    assert 0 < kept < len(data)
    assert whole(logs, max_bytes=2**20) == data[:kept]
    with pytest.raises(StorageFull):
        logs.mark_complete("w", 1)
    assert not logs.is_complete("w", 1)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=12))
def test_what_is_read_is_what_was_sent_in_whatever_order(tmp_path: Path, pieces: list[tuple[int, int]]) -> None:
    # Lines of their own, so that a lost stretch is one line in the middle.
    output = bytes(b"0123456789abcdefghi\n"[place % 20] for place in range(100))
    logs = Logs(tmp_path / "logs")
    logs.delete("w")
    for start, size in pieces:
        end = logs.append("w", 1, start, output[start : start + size])
        assert end >= min(start + size, len(output))
    expected, position = b"", 0
    for start, size in pieces:
        if start > position:
            ended = not expected or expected.endswith(b"\n")
            expected += (b"" if ended else b"\n") + b"[fabric: %d bytes lost]\n" % (start - position)
            position = start
        expected += output[position : max(position, start + size)]
        position = max(position, start + size)
    assert whole(logs) == expected
