"""What workloads tell of themselves is kept by attempt."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from fabric.api.admin import ProgressView, Report
from fabric.core.errors import Conflict, NotFound
from fabric.scheduler.snapshot import Told
from fabric.store.records import SqlRecords
from fabric.workloads.states import State
from tests.builders import job, record


@pytest.fixture
def records(engine: Engine) -> SqlRecords:
    times = iter(range(100, 200))  # each save and each report looks once
    records = SqlRecords(engine, now=lambda: float(next(times)))
    records.submit(record(job("a")))
    return records


def test_one_that_told_nothing_has_empty_progress(records: SqlRecords) -> None:
    assert records.progress("a") == ProgressView()


def test_what_many_told_is_read_at_once_and_names_that_nobody_has_are_left_out(records: SqlRecords) -> None:
    records.submit(record(job("quiet")))
    records.submit(record(job("other")))
    records.report("a", Report(stage="train", done=1.0))
    records.report("other", Report(stage="load"))
    told = records.progresses(["a", "quiet", "other", "gone"])
    assert told == {name: records.progress(name) for name in ("a", "quiet", "other")}
    assert [told["a"].stages, told["quiet"], told["other"].stages] == [
        {"train": 100.0}, ProgressView(), {"load": 101.0}
    ]  # fmt: skip


def test_fields_left_out_stay_and_metrics_add_up(records: SqlRecords) -> None:
    records.report("a", Report(stage="train", done=1.0, total=10.0, unit="steps", metrics={"loss": 3.0}))
    records.report("a", Report(done=2.0, metrics={"lr": 0.5}))
    records.report(
        "a", Report(checkpoint_uri="file:///c", checkpoint_step=2, checkpoint_bytes=9, checkpoint_seconds=1.0)
    )
    assert records.progress("a") == ProgressView(
        stage="train",
        done=2.0,
        total=10.0,
        unit="steps",
        metrics={"loss": 3.0, "lr": 0.5},
        checkpoint_uri="file:///c",
        checkpoint_step=2,
        stages={"train": 100.0},
    )


def test_a_stage_begins_once_in_each_attempt(records: SqlRecords) -> None:
    for stage in ("imports", "train", "imports"):
        records.report("a", Report(stage=stage))
    records.save([replace(records.get("a"), state=State.QUEUED, attempt=2)], [])
    records.report("a", Report(stage="imports"), attempt=2)
    assert records.stages("a", 1) == {"imports": 100.0, "train": 101.0}
    assert records.stages("a", 2) == {"imports": 104.0}
    assert records.progress("a").stages == {"imports": 104.0}


def test_a_new_attempt_begins_with_nothing_but_the_newest_checkpoint(records: SqlRecords) -> None:
    records.report(
        "a", Report(stage="train", done=5.0, metrics={"loss": 1.0}, checkpoint_uri="file:///c", checkpoint_step=5)
    )
    records.save([replace(records.get("a"), attempt=2)], [])
    assert records.progress("a") == ProgressView(checkpoint_uri="file:///c", checkpoint_step=5)
    records.report("a", Report(stage="imports"))
    told = records.progress("a")
    assert (told.done, told.metrics, told.checkpoint_step) == (0.0, {}, 5)


def test_an_attempt_that_is_over_is_not_listened_to(records: SqlRecords) -> None:
    records.save([replace(records.get("a"), attempt=2)], [])
    with pytest.raises(Conflict, match="attempt 1 of a is over; attempt 2 is running"):
        records.report("a", Report(done=1.0), attempt=1)
    assert records.progress("a") == ProgressView()


def test_what_goes_with_its_workload(records: SqlRecords) -> None:
    records.report("a", Report(stage="train", done=5.0))
    records.save([replace(records.get("a"), state=State.FAILED)], [])
    records.delete("a")
    for ask in (lambda: records.progress("a"), lambda: records.stages("a", 1), lambda: records.report("a", Report())):
        with pytest.raises(NotFound):
            ask()
    records.submit(record(job("a"), at=2.0))
    assert records.progress("a") == ProgressView()


def test_the_scheduler_hears_of_checkpoints_size_and_the_work_left_at_that_size(records: SqlRecords) -> None:
    records.save([replace(records.get("a"), state=State.RUNNING)], [])
    assert records.news(0).told == {}
    records.report("a", Report(workers=2))
    assert records.news(0).told == {"a": Told(attempt=1, workers=2)}
    records.report("a", Report(done=10.0, total=100.0, unit="steps"))
    records.report("a", Report(done=14.0))
    assert records.news(0).told["a"].left_s == pytest.approx(86 / 4.0), "4 steps in the second between two reports"
    records.report("a", Report(checkpoint_uri="file:///c", checkpoint_seconds=0.5))
    assert records.news(0).told["a"] == Told(1, saved=104.0, save_s=0.5, left_s=pytest.approx(43.0), workers=2)  # type: ignore[arg-type]
    records.report("a", Report(workers=4))
    assert (records.news(0).told["a"].left_s, records.news(0).told["a"].workers) == (None, 4)
    records.report("a", Report(done=15.0))
    records.report("a", Report(done=23.0))
    assert records.news(0).told["a"].left_s == pytest.approx(77 / 8.0)


def test_what_an_earlier_attempt_told_is_not_told_again_but_for_its_checkpoint(records: SqlRecords) -> None:
    records.save([replace(records.get("a"), state=State.RUNNING)], [])
    records.report("a", Report(workers=2, done=1.0, total=9.0, checkpoint_uri="file:///c", checkpoint_seconds=0.5))
    records.save([replace(records.get("a"), state=State.RUNNING, attempt=2)], [])
    assert records.news(0).told == {}
    records.report("a", Report(stage="imports"))
    assert records.news(0).told == {"a": Told(attempt=2, saved=101.0, save_s=0.5)}
    records.save([replace(records.get("a"), state=State.SUCCEEDED)], [])
    assert records.news(0).told == {}


def test_a_part_that_counts_something_else_is_measured_anew(records: SqlRecords) -> None:
    records.save([replace(records.get("a"), state=State.RUNNING)], [])
    for done in (0.0, 50.0):
        records.report("a", Report(done=done, total=100.0, unit="files"))
    records.report("a", Report(done=60.0, total=200.0, unit="steps"))
    assert records.news(0).told["a"].left_s is None
