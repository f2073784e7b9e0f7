"""Who looks on at the loop's records."""

from dataclasses import replace

import pytest

from fabric.control import journal
from fabric.control.watched import Change, Listener, WatchedRecords
from fabric.core.errors import StorageFull
from fabric.workloads.record import Event
from fabric.workloads.states import State
from tests.builders import FakeRecords, job, record


def watched(records: FakeRecords, *listeners: Listener) -> tuple[WatchedRecords, list[Change]]:
    """Records, and what was told of them; the last listener hears everything."""
    told: list[Change] = []
    return WatchedRecords(records, [*listeners, told.append], lambda: 9.0), told


def test_what_was_there_when_control_began_has_not_just_come() -> None:
    records = FakeRecords()
    records.add(record(job("old")))
    seen, told = watched(records)
    assert seen.news(0).cursor == 1
    seen.active()
    records.add(new := record(job("new"), at=5.0))
    seen.news(1)
    seen.news(0)
    assert told == [Change(None, new, 5.0)]
    assert told[0].moved


def test_a_change_is_told_once_it_is_written_with_what_was_before() -> None:
    records = FakeRecords()
    records.add(queued := record(job("a")))
    seen, told = watched(records)
    seen.active()
    placing = replace(queued, state=State.PLACING, message="granted")
    starting = replace(placing, message="still")
    ended = replace(placing, state=State.FAILED)
    seen.save([placing], [Event("a", 3.0, State.PLACING, "granted")])
    seen.save([starting], [])
    seen.save([ended], [])
    assert told == [Change(queued, placing, 3.0), Change(placing, starting, 9.0), Change(starting, ended, 9.0)]
    assert [change.moved for change in told] == [True, False, True]
    assert records.kept["a"].state is State.FAILED


def test_a_later_workload_of_the_same_name_is_another() -> None:
    records = FakeRecords()
    records.add(record(job("a"), at=1.0))
    seen, told = watched(records)
    seen.active()
    records.add(again := record(job("a"), at=2.0))
    seen.news(1)
    assert told == [Change(None, again, 2.0)]


def test_what_could_not_be_written_is_not_told() -> None:
    class Full(FakeRecords):
        def save(self, *_: object) -> None:
            raise StorageFull("no space")

    records = Full()
    records.add(queued := record(job("a")))
    seen, told = watched(records)
    with pytest.raises(StorageFull):
        seen.save([queued], [])
    assert told == []


def test_a_listener_that_fails_stops_neither_the_loop_nor_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def broken(change: Change) -> None:
        raise ZeroDivisionError

    records = FakeRecords()
    records.add(queued := record(job("a")))
    seen, told = watched(records, broken)
    seen.save([queued], [])
    assert len(told) == 1
    assert "a was not taken in" in caplog.text


def test_each_move_is_a_line_that_names_workload_project_and_attempt(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    queued = record(job("train", project="alpha"))
    failed = replace(queued, state=State.FAILED, message="out of memory")
    for change in (
        Change(None, queued, 0.0),
        Change(queued, replace(queued, waits_for="x"), 1.0),
        Change(queued, failed, 2.0),
    ):
        journal.note(change)
    lines = [(line.levelname, line.getMessage(), line.__dict__["workload"]) for line in caplog.records]
    assert lines == [("DEBUG", "queued: submitted", "train"), ("WARNING", "failed: out of memory", "train")]
    assert {(line.__dict__["project"], line.__dict__["attempt"]) for line in caplog.records} == {("alpha", 1)}
