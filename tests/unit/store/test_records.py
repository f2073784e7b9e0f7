"""What interfaces to people need of the records, beside the port that the contract covers."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from fabric.core.errors import BadInput, Conflict, Corrupt, FabricError, NotFound
from fabric.store.database import writing
from fabric.store.records import SqlRecords
from fabric.store.rows import new_row
from fabric.store.schema import WORKLOADS
from fabric.workloads.record import Event
from fabric.workloads.spec import ServiceSpec, WorkloadSpec
from fabric.workloads.states import State
from tests.builders import job, record


def end(records: SqlRecords, name: str, state: State = State.SUCCEEDED) -> None:
    records.save([replace(records.get(name), state=state)], [])


def test_a_submitted_workload_is_there_with_the_first_line_of_its_history(records: SqlRecords) -> None:
    new = record(job("a"), at=5.0)
    assert records.submit(new) == new == records.get("a")
    assert records.events("a") == (Event("a", 5.0, State.QUEUED, "submitted"),)


def test_a_name_is_taken_until_its_workload_has_ended_and_was_deleted(records: SqlRecords) -> None:
    records.submit(record(job("a")))
    with pytest.raises(Conflict, match="workload a already"):
        records.submit(record(job("a")))
    with pytest.raises(Conflict, match="a is queued. Stop it first"):
        records.delete("a")
    end(records, "a")
    with pytest.raises(Conflict):
        records.submit(record(job("a")))
    records.delete("a")
    records.submit(record(job("a"), at=7.0))
    assert records.get("a").state is State.QUEUED
    assert len(records.events("a")) == 1


def test_a_repeated_request_returns_what_the_first_one_made(records: SqlRecords) -> None:
    first = records.submit(record(job("a-123"), at=1.0), "key")
    end(records, "a-123")
    again = records.submit(record(job("a-456"), at=2.0), "key")
    assert (again.name, again.state) == (first.name, State.SUCCEEDED)
    assert [r.name for r in records.list()] == ["a-123"]


def test_a_key_that_was_used_for_something_else_is_refused(records: SqlRecords) -> None:
    records.submit(record(job("a")), "key")
    with pytest.raises(Conflict, match="'key' was used for a"):
        records.submit(record(job("b", "false")), "key")


def test_two_projects_may_use_the_same_key(records: SqlRecords) -> None:
    records.submit(record(job("a", project="x")), "key")
    records.submit(record(job("b", project="y")), "key")
    assert {r.name for r in records.list()} == {"a", "b"}


def test_the_same_request_from_many_threads_makes_one_workload(records: SqlRecords) -> None:
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: made.append(records.submit(record(job(f"a{n}")), "key").name))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert {r.name for r in records.list()} == set(made)
    assert len(set(made)) == 1


def test_of_many_that_come_together_each_is_taken_in_once_and_only_what_is_taken_is_refused(
    records: SqlRecords,
) -> None:
    records.submit(record(job("there")), "old")
    asked = [("a", "k1"), ("there", None), ("b", None), ("a", "k1"), ("b", "k2"), ("c", "old")]
    rows = [(record(job(name)), key, new_row(record(job(name)), key)) for name, key in asked]
    answers = records._take_in(rows)
    assert [each if isinstance(each, FabricError) else each.name for each in answers] == [
        "a", answers[1], "b", "a", answers[4], "there"
    ]  # fmt: skip
    assert [type(answers[1]), type(answers[4])] == [Conflict, Conflict]
    assert sorted(each.name for each in records.list()) == ["a", "b", "there"]
    assert all(len(records.events(name)) == 1 for name in ("a", "b", "there"))


def test_services_and_the_number_of_what_has_not_ended_are_told_without_reading_the_rest(records: SqlRecords) -> None:
    records.submit(record(job("a")))
    over = records.submit(record(job("b")))
    records.save([replace(over, state=State.FAILED)], [])
    serving = ServiceSpec(model="echo", engine="echo")
    for name in ("chat", "gone"):
        records.submit(record(WorkloadSpec(name=name, kind="service", service=serving)))
    records.save([replace(records.get("gone"), state=State.CANCELLED)], [])
    assert records.num_active() == 2
    assert [each.name for each in records.services()] == ["chat"]


def test_lists_are_newest_first_and_can_be_narrowed(records: SqlRecords) -> None:
    records.submit(record(job("old", project="x"), at=1.0))
    records.submit(record(job("new", project="y"), at=3.0))
    records.submit(record(job("mid", project="x"), at=2.0))
    end(records, "mid")

    def names(**wish: Any) -> list[str]:
        return [each.name for each in records.list(**wish)]

    assert names() == ["new", "mid", "old"]
    assert names(project="x") == ["mid", "old"]
    assert names(states={State.SUCCEEDED}) == ["mid"]
    assert names(states=()) == []
    assert names(limit=1) == ["new"]
    assert names(kind="service") == []


def test_the_first_reason_to_stop_stays_and_what_ended_is_left_alone(records: SqlRecords) -> None:
    records.submit(record(job("a")))
    assert records.request_stop("a", "by ann").stop_reason == "by ann"
    assert records.request_stop("a", "by bob").stop_reason == "by ann"
    records.submit(record(job("b")))
    end(records, "b")
    assert records.request_stop("b", "late").stop_requested is False
    with pytest.raises(NotFound, match="no workload c"):
        records.request_stop("c", "why not")


def test_the_loops_own_reason_to_stop_is_kept_beside_a_persons(records: SqlRecords) -> None:
    before = records.submit(record(job("a"), State.QUEUED))
    records.request_stop("a", "by ann")
    records.save([replace(before, state=State.STOPPING, stop_reason="walltime of 5 s is over")], [])
    assert records.get("a").stop_reason == "walltime of 5 s is over"


def test_saving_never_brings_back_what_was_deleted(records: SqlRecords) -> None:
    before = records.submit(record(job("a"), at=1.0))
    end(records, "a")
    records.delete("a")
    records.save([replace(before, state=State.RUNNING)], [Event("a", 2.0, State.RUNNING, "late")])
    with pytest.raises(NotFound):
        records.get("a")
    later = records.submit(record(job("a"), at=9.0))
    records.save([replace(before, state=State.RUNNING)], [Event("a", 2.0, State.RUNNING, "late")])
    assert records.get("a") == later
    assert [event.reason for event in records.events("a")] == ["submitted"]


def test_a_job_that_another_one_waits_for_cannot_be_deleted(records: SqlRecords) -> None:
    records.submit(record(job("first")))
    end(records, "first", State.FAILED)
    records.submit(record(job("second", after=("first",))))
    with pytest.raises(Conflict, match="second comes after first"):
        records.delete("first")
    end(records, "second", State.CANCELLED)
    records.delete("first")


def test_the_history_can_be_added_to_and_shows_its_newest_lines(records: SqlRecords) -> None:
    records.submit(record(job("a")))
    for number in range(5):
        records.add_event(Event("a", float(number), State.QUEUED, f"line {number}"))
    assert [event.reason for event in records.events("a", limit=2)] == ["line 3", "line 4"]
    with pytest.raises(NotFound):
        records.add_event(Event("b", 0.0, State.QUEUED, "nobody"))
    with pytest.raises(NotFound):
        records.events("b")


def test_a_row_that_cannot_be_read_names_its_workload(records: SqlRecords) -> None:
    records.submit(record(job("a")))
    with writing(records._engine) as connection:
        connection.execute(WORKLOADS.update().values(spec='{"entrypoint": 5}'))
    with pytest.raises(Corrupt, match="row of workload a"):
        records.get("a")


def test_a_batch_that_fails_in_the_middle_leaves_nothing_behind(records: SqlRecords) -> None:
    before = records.submit(record(job("a")))
    bad = Event("a", 0.0, State.QUEUED, "no attempt", None)  # type: ignore[arg-type]
    with pytest.raises(Conflict):
        records.save([replace(before, state=State.RUNNING)], [Event("a", 0.0, State.RUNNING, "fine"), bad])
    assert records.get("a") == before
    assert len(records.events("a")) == 1


def test_texts_that_no_database_holds_are_written_out_or_refused(records: SqlRecords) -> None:
    half = "file \udcff"
    before = records.submit(record(job("a")))
    records.save([replace(before, message=half)], [Event("a", 0.0, State.QUEUED, half)])
    assert records.get("a").message == records.events("a")[-1].reason == "file \\udcff"
    with pytest.raises(BadInput, match="spec of b cannot be written"):
        records.submit(record(job("b", half)))
