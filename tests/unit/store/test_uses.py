"""What workloads use is kept: the newest, and over time as many points however long they run."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine, event

from fabric.api.admin import Report
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources
from fabric.scheduler.metering import BRIDGED_S, Measured, Reading, Readings, last_worked, measured_since
from fabric.store.points import SHARE
from fabric.store.records import SqlRecords
from fabric.store.retention import SqlRetention
from fabric.workloads.states import State
from tests.builders import job, record

GRANTED = {"head": Resources.of(1, 0, "1 GiB"), "trainers-0": Resources.of(4, 2, "2 GiB")}


def read(at: float, cpus: int, memory: int = 0, gpus: tuple[int, ...] | None = ()) -> Reading:
    shares = None if gpus is None else tuple(map(MilliGpus, gpus))
    return Reading(at, 20.0, MilliCpus(cpus), Bytes(memory), shares)


def measured(
    at: float, cpus: int = 500, gpus: tuple[int, ...] | None = (500, 0), *, memory: int = 2**30, **more: object
) -> Measured:
    """A measurement of both slices of workload `a`."""
    slices = {"head": read(at, 100), "trainers-0": read(at, cpus, memory, gpus)}
    return replace(Measured("a", 1, 0.0, at, GRANTED, Readings(slices)), **more)  # type: ignore[arg-type]


@pytest.fixture
def records(engine: Engine) -> SqlRecords:
    records = SqlRecords(engine, now=lambda: 0.0)
    records.submit(record(job("a")))
    return records


def test_what_was_read_last_is_told_for_the_workload_and_for_each_slice(records: SqlRecords) -> None:
    records.keep_uses([measured(1000.0), measured(1000.0, workload="unheard-of")])
    use = records.uses(["a", "b"])["a"]
    assert (use.at, use.over_s, use.words()) == (1000.0, 20.0, "0.5 of 2 GPUs, 0.6 of 5 CPUs, 1 of 3 GiB")
    assert [(part.slice, part.cpus, part.gpus) for part in use.slices] == [("head", 0.1, 0.0), ("trainers-0", 0.5, 0.5)]
    assert list(records.uses(["a", "b"])) == ["a"]


def test_what_nothing_counts_is_no_number(records: SqlRecords) -> None:
    said = ("pretend",)
    blind = Readings({"head": read(1000.0, 100, gpus=()), "trainers-0": read(1000.0, 500, gpus=None)}, said)
    records.keep_uses([measured(1000.0, readings=blind)])
    use = records.uses(["a"])["a"]
    assert (use.gpus, use.of_gpus, use.unmeasured) == (None, 2.0, said), "the head has none, which says nothing of them"
    assert records.use_points("a")[0].gpus is None
    nothing = Readings(unmeasured=("no right",))
    records.keep_uses([measured(1020.0, readings=nothing)])
    assert (records.uses(["a"])["a"].words(), len(records.use_points("a"))) == ("", 1)


def test_what_is_of_an_earlier_attempt_or_of_another_workload_of_the_name_is_not_kept(records: SqlRecords) -> None:
    records.keep_uses([measured(1000.0, born=7.0)])
    records.keep_uses([measured(1000.0, attempt=2)])
    assert records.uses(["a"]) == {}
    records.keep_uses([measured(1000.0)])
    records.save([record(job("a"), State.RUNNING, attempt=2)], [])
    assert records.uses(["a"]) == {}, "nothing was read of the present attempt yet"
    records.keep_uses([measured(1020.0, attempt=2)])
    assert [point.attempt for point in records.use_points("a")] == [1, 2]


def test_points_are_means_over_what_was_read_since_the_one_before_and_lie_wider_in_time(records: SqlRecords) -> None:
    records.keep_uses([measured(1000.0, cpus=0)])
    late = 1000.0 + 60.0 * SHARE
    records.keep_uses([measured(late, cpus=900, gpus=(0, 0))])
    for step, cpus in ((20.0, 900), (40.0, 1900), (60.0, 2900)):
        records.keep_uses([measured(late + step, cpus=cpus, gpus=(1000, 1000), memory=2**30 + int(step))])
    points = records.use_points("a")
    assert [(point.at, point.cpus, point.gpus) for point in points] == [
        (1000.0, 0.1, 0.5), (late, 1.0, 0.0),
    ], "spaced by a two-hundredth of the attempt's age"  # fmt: skip
    records.keep_uses([measured(late + 80.0, cpus=3900, gpus=(1000, 1000), memory=0)])
    last = records.use_points("a")[-1]
    assert (last.cpus, last.gpus, last.memory_bytes) == (2.5, 2.0, 2**30 + 60)
    assert (last.of_cpus, last.of_gpus, last.of_memory_bytes) == (5.0, 2.0, 3 * 2**30)


def test_they_are_apart_from_what_the_workload_told_and_go_with_it(records: SqlRecords, engine: Engine) -> None:
    records.keep_uses([measured(1000.0)])
    records.report("a", Report(done=1.0, metrics={"loss": 3.0}))
    assert (len(records.points("a")), len(records.use_points("a"))) == (1, 1)
    ended = record(job("a"), State.SUCCEEDED)
    records.save([replace(ended, at=replace(ended.at, ended=10.0))], [])
    retention = SqlRetention(engine)
    assert retention.forget_reports(11.0, 10, "old") == 1
    assert (records.use_points("a"), records.uses(["a"]), retention.num_reported(11.0)) == ((), {}, 0)


def test_work_that_told_nothing_but_was_measured_is_forgotten_too(records: SqlRecords, engine: Engine) -> None:
    records.keep_uses([measured(1000.0)])
    ended = record(job("a"), State.SUCCEEDED)
    records.save([replace(ended, at=replace(ended.at, ended=10.0))], [])
    assert SqlRetention(engine).forget_reports(11.0, 10, "old") == 1
    records.delete("a")
    assert records.use_points("a") == ()


def test_many_workloads_are_kept_in_as_many_statements_as_one(records: SqlRecords, engine: Engine) -> None:
    names = [f"w{number}" for number in range(20)]
    records.submit_array([record(job(name)) for name in names])
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    records.keep_uses([measured(1000.0)])
    of_one = len(asked)
    records.keep_uses([measured(1000.0, workload=name) for name in names])
    assert len(asked) == 2 * of_one
    assert set(records.uses(names)) == set(names)


def test_each_accelerator_is_known_by_when_it_last_worked(records: SqlRecords) -> None:
    def worked() -> tuple[float | None, ...]:
        return records.uses(["a"])["a"].slices[1].worked_at

    records.keep_uses([measured(1000.0, gpus=(500, 0))])
    assert worked() == (1000.0, None)
    records.keep_uses([measured(1020.0, gpus=(9, 0))])
    assert worked() == (1000.0, None)
    records.keep_uses([measured(1040.0, gpus=(0, 10))])
    assert worked() == (1000.0, 1040.0)
    assert records.uses(["a"])["a"].slices[1].since == 980.0


def test_measuring_that_pauses_begins_anew_and_so_does_a_slice_that_joins() -> None:
    now = read(1000.0, 0)
    assert measured_since(now, 500.0, 980.0 - BRIDGED_S) == 500.0
    assert measured_since(now, 500.0, 979.0 - BRIDGED_S) == 980.0
    assert measured_since(now, None, 980.0) == 980.0


def test_without_counters_a_slice_works_while_its_cpus_do() -> None:
    granted = GRANTED["trainers-0"]
    assert last_worked(read(1000.0, 100, gpus=None), granted, (500.0,)) == (1000.0,)
    assert last_worked(read(1000.0, 99, gpus=None), granted, (500.0,)) == (500.0,)
    assert last_worked(read(1000.0, 99, gpus=None), granted, (500.0, 600.0)) == (None,), "it had counters before"
    assert last_worked(read(1000.0, 99), GRANTED["head"]) == ()
    assert last_worked(Reading(1000.0, 20.0), granted) == ()
