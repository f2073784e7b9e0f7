"""Curves of workloads: what they told over time, as many points however long they run."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from fabric.api.admin import Report
from fabric.store.points import SHARE
from fabric.store.records import SqlRecords
from fabric.store.retention import SqlRetention
from fabric.workloads.states import State
from tests.builders import job, record


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def records(engine: Engine, clock: Clock) -> SqlRecords:
    records = SqlRecords(engine, now=clock)
    records.submit(record(job("a")))
    return records


def test_what_is_told_within_seconds_is_one_point(records: SqlRecords, clock: Clock) -> None:
    for second in range(12):
        clock.at = 1000.0 + second
        records.report("a", Report(done=float(second), metrics={"loss": 9.0}))
    assert [(point.at, point.done) for point in records.points("a")] == [(1000.0, 0.0), (1005.0, 5.0), (1010.0, 10.0)]


def test_metrics_that_were_told_before_are_in_every_point(records: SqlRecords, clock: Clock) -> None:
    records.report("a", Report(done=1.0, metrics={"loss": 3.0}))
    clock.at += 10
    records.report("a", Report(done=2.0, metrics={"lr": 0.5}))
    assert [point.metrics for point in records.points("a")] == [{"loss": 3.0}, {"loss": 3.0, "lr": 0.5}]


def test_the_longer_it_runs_the_wider_its_points_lie(records: SqlRecords, clock: Clock) -> None:
    for begins_s in (0.0, 10.0 * SHARE, 10.0 * SHARE + 9.0, 10.0 * SHARE + 11.0):
        clock.at = 1000.0 + begins_s
        records.report("a", Report(done=begins_s, metrics={"loss": 1.0}))
    assert [point.done for point in records.points("a")] == [0.0, 2000.0, 2011.0]


def test_who_tells_no_numbers_has_no_curves(records: SqlRecords) -> None:
    records.report("a", Report(stage="train", done=1.0))
    assert records.points("a") == records.points("unheard-of") == ()


def test_each_attempt_has_its_own_and_they_go_with_the_workload(records: SqlRecords, clock: Clock) -> None:
    records.report("a", Report(done=1.0, metrics={"loss": 3.0}))
    records.save([record(job("a"), State.RUNNING, attempt=2)], [])
    records.report("a", Report(done=0.0, metrics={"loss": 4.0}))
    assert [(point.attempt, point.metrics["loss"]) for point in records.points("a")] == [(1, 3.0), (2, 4.0)]
    records.save([record(job("a"), State.SUCCEEDED, attempt=2)], [])
    records.delete("a")
    records.submit(record(job("a")))
    assert records.points("a") == ()


def test_they_are_forgotten_with_the_other_reports_of_work_that_ended_long_ago(
    records: SqlRecords, engine: Engine, clock: Clock
) -> None:
    records.report("a", Report(done=1.0, metrics={"loss": 3.0}))
    ended = record(job("a"), State.SUCCEEDED)
    records.save([replace(ended, at=replace(ended.at, ended=clock.at))], [])
    retention = SqlRetention(engine)
    assert retention.forget_reports(clock.at, 10, "old") == 0
    assert len(records.points("a")) == 1
    assert retention.forget_reports(clock.at + 1, 10, "old") == 1
    assert records.points("a") == ()
