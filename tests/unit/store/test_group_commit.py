"""Who writes at the same time shares one flush, and nobody pays for another's mistake."""

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from fabric.core.errors import BadInput, Conflict, FabricError, StorageFull
from fabric.store.group_commit import GroupCommit


class Disk:
    """Remembers what was written together; fails as it is told."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.before: Callable[[Sequence[str]], None] = lambda group: None

    def write(self, group: Sequence[str]) -> list[str | FabricError]:
        self.groups.append(list(group))
        self.before(group)
        return [Conflict(f"{item} is taken") if item.startswith("taken") else item.upper() for item in group]


@pytest.fixture
def disk() -> Disk:
    return Disk()


def together(commit: GroupCommit[str, str], disk: Disk, items: Sequence[str]) -> list[str | BaseException]:
    """What becomes of items that are handed in while another one is being flushed."""
    answers: dict[str, str | BaseException] = {}

    def put(item: str) -> None:
        try:
            answers[item] = commit.put(item)
        except BaseException as error:
            answers[item] = error

    threads = [threading.Thread(target=put, args=(item,)) for item in items]
    fails = disk.before

    def while_flushing(group: Sequence[str]) -> None:
        disk.before = fails
        for number, thread in enumerate(threads, 1):
            thread.start()
            while commit.waiting < number:
                time.sleep(0)

    disk.before = while_flushing
    commit.put("first")
    for thread in threads:
        thread.join()
    return [answers[item] for item in items]


def test_who_comes_alone_is_written_at_once(disk: Disk) -> None:
    commit = GroupCommit(disk.write)
    assert [commit.put("a"), commit.put("b")] == ["A", "B"]
    assert disk.groups == [["a"], ["b"]]


def test_who_comes_during_a_flush_is_written_together_in_the_order_of_coming(disk: Disk) -> None:
    commit = GroupCommit(disk.write)
    assert together(commit, disk, ["a", "b", "c"]) == ["A", "B", "C"]
    assert disk.groups == [["first"], ["a", "b", "c"]]


def test_a_group_holds_no_more_than_it_may(disk: Disk) -> None:
    commit = GroupCommit(disk.write, most=2)
    assert together(commit, disk, ["a", "b", "c"]) == ["A", "B", "C"]
    assert disk.groups == [["first"], ["a", "b"], ["c"]]


def test_who_is_refused_alone_keeps_nobody_else_from_being_written(disk: Disk) -> None:
    a, taken, b = together(GroupCommit(disk.write), disk, ["a", "taken", "b"])
    assert (a, b) == ("A", "B")
    assert isinstance(taken, Conflict)
    assert disk.groups == [["first"], ["a", "taken", "b"]]


def test_where_one_cannot_be_stored_each_is_tried_alone(disk: Disk) -> None:
    def refuse(group: Sequence[str]) -> None:
        if "bad" in group:
            raise BadInput("a surrogate")

    disk.before = refuse
    a, bad, b = together(GroupCommit(disk.write), disk, ["a", "bad", "b"])
    assert (a, b) == ("A", "B")
    assert isinstance(bad, BadInput)
    assert disk.groups == [["first"], ["a", "bad", "b"], ["a"], ["bad"], ["b"]]


@pytest.mark.parametrize("error", [StorageFull("no room"), ValueError("a mistake of ours")])
def test_where_nothing_can_be_written_all_are_told_at_once_and_the_next_may_try(disk: Disk, error: Exception) -> None:
    def fail(group: Sequence[str]) -> None:
        raise error

    disk.before = fail
    commit = GroupCommit(disk.write)
    assert together(commit, disk, ["a", "b"]) == [error, error]
    assert disk.groups == [["first"], ["a", "b"]]
    disk.before = lambda group: None
    assert commit.put("c") == "C"
