"""A run works at the size that it is told, one group of ranks after the other, and nobody works where he should not."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fabric.api.admin import SizeView
from fabric.core.errors import ClusterLost
from fabric.train import sizes
from fabric.train.report import Silent
from fabric.train.settings import BatchSettings, TrainerSettings
from fabric.train.sizes import at_every_size
from fabric.train.task import Outcome, StopFile, Task
from tests.unit.train import worlds

TRAINERS = TrainerSettings(count=2)


def size(workers: int | None, group: str = "trainers") -> SizeView:
    """What the fabric says."""
    return SizeView(group=group, workers=workers, slices=tuple(f"trainers-{n}" for n in range(workers or 0)))


@dataclass
class Told(Silent):
    """A fabric that says one size after the other, each from when the ranks have worked at the one before."""

    says: list[SizeView | None]
    heard: list[int] = field(default_factory=list)

    def size(self) -> SizeView | None:
        """The size of the moment."""
        return self.says[0]

    def resized(self, workers: int) -> None:
        """Remember it."""
        self.heard.append(workers)


@dataclass
class Groups:
    """Starts groups of ranks that leave when they are asked to, and end at the last size."""

    reporter: Told
    ran: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    loses: set[int] = field(default_factory=set)
    """Numbers of groups whose ranks are lost with their slices before they could leave."""
    meanwhile: Callable[[int], None] = lambda number: None

    def start(self, task: Task, trainers: TrainerSettings, slices: tuple[str, ...]) -> Outcome:
        """A group of ranks."""
        number = len(self.ran)
        self.ran.append((trainers.count, slices))
        self.meanwhile(number)
        if len(self.reporter.says) > 1:
            self.reporter.says.pop(0)
            if number in self.loses:
                raise ClusterLost("training stopped: rank 1: its node died")
            stop = StopFile(task.folder)
            ends = time.monotonic() + 5
            while not stop.now():
                assert time.monotonic() < ends, "nobody asked it to leave"
                time.sleep(0.005)
            return Outcome(5, 1.0, left_because=stop.now())
        return Outcome(12, 2.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_LOOK_EVERY_S", 0.01)


def run(folder: Path, groups: Groups, rows: int = 12, stopping: threading.Event | None = None) -> Outcome:
    """The run in its sizes."""
    made = worlds.task(folder / "run", batch=BatchSettings(rows=rows, micro_rows=2))
    made.folder.mkdir()
    task = Task(made.settings, made.shape, made.folder, made.source, made.held_out, groups.reporter, "v")
    outcome: Outcome = at_every_size(
        groups.start, task, TRAINERS, stopping=stopping or threading.Event(), say=lambda line: None
    )
    return outcome


def test_under_plain_ray_it_is_one_group_of_the_size_of_its_settings(tmp_path: Path) -> None:
    groups = Groups(Told([None]))
    assert run(tmp_path, groups).steps == 12
    assert (groups.ran, groups.reporter.heard) == ([(2, ())], [])


def test_an_elastic_group_that_is_not_the_ranks_changes_nothing(tmp_path: Path) -> None:
    groups = Groups(Told([size(3, group="data")]))
    run(tmp_path, groups)
    assert (groups.ran, groups.reporter.heard) == ([(2, ())], [])


def test_it_grows_and_shrinks_as_it_is_told_and_says_so_before_each_group_starts(tmp_path: Path) -> None:
    groups = Groups(Told([size(1), size(3), size(2)]))
    heard: list[list[int]] = []
    groups.meanwhile = lambda _: heard.append(list(groups.reporter.heard))
    assert run(tmp_path, groups).left_because == ""
    assert groups.ran == [(n, size(n).slices) for n in (1, 3, 2)]
    assert heard == [[1], [1, 3], [1, 3, 2]]


def test_it_waits_for_a_size_that_is_not_known_yet(tmp_path: Path) -> None:
    told = Told([size(None)])
    threading.Timer(0.1, lambda: told.says.__setitem__(0, size(3))).start()
    groups = Groups(told)
    run(tmp_path, groups)
    assert groups.ran == [(3, size(3).slices)]


@pytest.mark.slow
def test_work_does_not_wait_for_ever_for_a_fabric_that_does_not_answer(tmp_path: Path) -> None:
    groups = Groups(Told([SizeView()]))
    run(tmp_path, groups)
    assert (groups.ran, groups.reporter.heard) == ([(2, ())], [])


def test_while_a_larger_size_is_brought_about_it_works_on(tmp_path: Path) -> None:
    grows = SizeView(group="trainers", workers=1)
    groups = Groups(Told([size(1)]))

    def meanwhile(number: int) -> None:
        groups.reporter.says[0] = grows
        time.sleep(0.1)

    groups.meanwhile = meanwhile
    run(tmp_path, groups)
    assert (groups.ran, StopFile(tmp_path / "run").now()) == ([(1, size(1).slices)], "")


def test_room_that_no_rank_can_use_is_taken_without_a_pause(tmp_path: Path) -> None:
    groups = Groups(Told([size(2)]))

    def meanwhile(number: int) -> None:
        groups.reporter.says[0] = size(3)
        ends = time.monotonic() + 5
        while groups.reporter.heard != [2, 3]:
            assert time.monotonic() < ends
            time.sleep(0.005)

    groups.meanwhile = meanwhile
    run(tmp_path, groups, rows=8)
    assert groups.ran == [(2, size(2).slices)], "8 rows cannot be shared by 3 ranks"


def test_ranks_that_leave_slices_as_few_as_before_still_leave_them(tmp_path: Path) -> None:
    groups = Groups(Told([size(3), size(2)]))
    run(tmp_path, groups, rows=8)
    assert groups.ran == [(2, size(3).slices), (2, size(2).slices)]


def test_ranks_that_are_lost_with_what_was_to_be_given_back_go_on_at_the_smaller_size(tmp_path: Path) -> None:
    groups = Groups(Told([size(3), size(1)]), loses={0})
    assert run(tmp_path, groups).steps == 12
    assert groups.ran == [(3, size(3).slices), (1, size(1).slices)]


def test_a_rank_that_is_lost_otherwise_ends_the_attempt(tmp_path: Path) -> None:
    groups = Groups(Told([size(3), size(3)]), loses={0})
    with pytest.raises(ClusterLost):
        run(tmp_path, groups)


def test_who_is_asked_to_stop_while_its_size_changes_stops(tmp_path: Path) -> None:
    stopping = threading.Event()
    groups = Groups(Told([size(3), size(1)]))
    groups.meanwhile = lambda _: stopping.set()
    assert run(tmp_path, groups, stopping=stopping).left_because
    assert len(groups.ran) == 1


@pytest.mark.parametrize(
    ("rows", "micro", "workers", "ranks"), [(12, 2, 3, 3), (12, 2, 5, 3), (4, 2, 9, 2), (3, 3, 2, 1)]
)
def test_as_many_ranks_work_as_share_a_batch_equally(rows: int, micro: int, workers: int, ranks: int) -> None:
    chosen = worlds.settings(batch=BatchSettings(rows=rows, micro_rows=micro))
    assert chosen.ranks_for(workers) == ranks
