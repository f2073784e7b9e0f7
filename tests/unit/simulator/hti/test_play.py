"""Small benchmarks that are played through the loop, and the parts of which a run is made."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from fabric.core.errors import BadConfig, Corrupt, NotFound
from fabric.scheduler.cycle import decide
from fabric.scheduler.forecast import Demand
from fabric.scheduler.plan import Plan, Preempt, Resize
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Running, Snapshot
from fabric.simulator.hti.arms import ARMS, REPORTING_SEEDS, TUNING_SEEDS, asked, manner
from fabric.simulator.hti.demand import Forecasting, demands, lead_s
from fabric.simulator.hti.harvest import Host, harvest
from fabric.simulator.hti.jobs import CpuJob, Project, Service, TrainingJob
from fabric.simulator.hti.metrics import check, measure
from fabric.simulator.hti.play import Manner, Played, play
from fabric.simulator.hti.queue import Traffic
from fabric.simulator.hti.replica import Floats
from fabric.simulator.hti.replicas import Replicas
from fabric.simulator.hti.results import Key, Result, figures_of, read
from fabric.simulator.hti.settings import HtiSettings
from fabric.simulator.hti.submissions import gpus_per_worker, submissions
from fabric.simulator.hti.workload import Workload
from fabric.workloads.record import Grant
from tests.builders import piece
from tests.unit.simulator.hti.test_serving import even

HOUR = 3600.0
WINDOWS = 288
"""Of a day."""


def job(name: str = "train-1", gpus: int = 1, *, at: float = 0.0, run_s: float = HOUR, **more: object) -> TrainingJob:
    fields: dict[str, object] = {
        "project": "p", "user": "u", "submit_s": at, "run_s": run_s, "min_gpus": gpus, "max_gpus": gpus,
        "step_gpus": 1, "exponent": 1.0, "walltime_s": 14400.0, "deadline_s": None, **more,
    }  # fmt: skip
    return TrainingJob(name, gpus=gpus, **fields)  # type: ignore[arg-type]


def chat(needed: tuple[int, ...] = (1,) * WINDOWS) -> Service:
    rates = tuple(float(count) for count in needed)
    return Service("chat", 4, 300.0, rates, needed, tuple(float(n) for n in range(1, 20)), (50.0, 70.0))


def workload(*jobs: TrainingJob, cpu: tuple[CpuJob, ...] = (), service: Service | None = None) -> Workload:
    return Workload(0.95, 0, (Project("p", 1.0),), jobs, cpu, (service or chat(),))


def traffic(service: Service) -> Traffic:
    reading: Floats = even(0.1)
    return Traffic(service.rates_rps, service.window_s, reading, 0)


@pytest.fixture(scope="module")
def day(settings: HtiSettings) -> HtiSettings:
    """One day of the benchmark with four GPU nodes and one older."""
    gpu, older = (
        pool.model_copy(update={"nodes": n, "groups": 1}) for pool, n in ((settings.gpu, 4), (settings.older, 1))
    )
    return settings.model_copy(update={"days": 1, "gpu": gpu, "older": older})


def played(day: HtiSettings, what: Workload, how: Manner | None = None) -> Played:
    rigid = Manner(decide, Policy(), elastic_services=False)
    return play(day, what, [traffic(service) for service in what.services], how or rigid)


def test_a_day_of_one_service_and_two_jobs_is_logged_as_it_went(day: HtiSettings) -> None:
    run = played(day, workload(job("train-1"), job("train-2", 8, at=100.0))).log
    one, two = run.jobs
    assert (one.ended_s, [part.ended for part in one.segments]) == (HOUR, ["finished"])
    assert two.ended_s is not None
    (replica,) = run.replicas
    assert (replica.granted_s, replica.ready_s, replica.ended_s) == (-1800.0, -1750.0, 86400.0)
    found = measure(run, reference_gpus=day.reference_gpus, slo_ttft_s=2.0, tokens_per_gpu_s=1.0)
    assert (found.slo_attainment, found.preemptions, found.unfinished) == (1.0, 0, 0)


@pytest.mark.slow
def test_the_same_workload_gives_the_same_run(day: HtiSettings) -> None:
    what = workload(*(job(f"train-{i}", 4, at=60.0 * i) for i in range(12)))
    first, second = (replace(played(day, what).log, decisions_s=()) for _ in range(2))
    assert first == second


def test_everything_that_is_idle_is_harvested(day: HtiSettings) -> None:
    run = played(day, workload(job(run_s=10 * HOUR))).log
    # 16 GPUs less the service's 4, and 8 older ones at 0.4; one job on any of them.
    held = {part.speed: (part.end_s - part.start_s) * part.gpus for part in run.jobs[0].segments}
    for speed, gpus in ((1.0, 12), (0.4, 8)):
        filled = sum((part.end_s - part.start_s) * part.gpus for part in run.harvest if part.speed == speed)
        assert filled == pytest.approx(gpus * 86400.0 - held.get(speed, 0.0), abs=16 * 60.0)


def test_a_job_on_the_older_pool_is_slower_and_not_killed_for_it(day: HtiSettings) -> None:
    """All are in use but the older node, and it is through there before one of them would be free."""
    full = [job(f"train-{i}", 4, run_s=14000.0) for i in range(3)]
    run = played(day, workload(*full, job("train-9", 4, at=10.0, run_s=1000.0, walltime_s=3600.0))).log
    speeds = {log.name: {part.speed for part in log.segments} for log in run.jobs}
    slow = next(log for log in run.jobs if speeds[log.name] == {0.4})
    assert slow.ended_s is not None
    assert slow.ended_s - slow.segments[0].start_s == pytest.approx(1000.0 / 0.4)


def _at(snapshot: Snapshot, name: str) -> Running | None:
    return next((work for work in snapshot.running if work.name == name and work.settled), None)


def test_a_preempted_job_pays_its_saving_and_its_restart(day: HtiSettings) -> None:
    asked_once: list[float] = []

    def decider(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        if now >= 1800.0 and not asked_once and _at(snapshot, "train-1"):
            asked_once.append(now)
            return Plan(preempted=(Preempt("train-1", 60.0, "for a test"),))
        return decide(snapshot, policy, now)

    run = played(day, workload(job()), Manner(decider, elastic_services=False)).log
    first, second = run.jobs[0].segments
    assert (first.ended, first.overhead_s, first.lost_s) == ("preempted", day.staging.save_s, 0.0)
    assert second.overhead_s == day.staging.restart_s
    check(run.jobs[0])


def test_a_service_that_grows_has_a_cold_start_for_each_replica(day: HtiSettings) -> None:
    def decider(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        service = _at(snapshot, "chat")
        if service and now >= 3000.0 and service.grant.size("replicas") == 1:
            more = Grant((*service.grant.slices, replace(service.grant.slices[-1], name="replicas-1", node="gpu-3")))
            return Plan(resized=(Resize("chat", 1, 2, more, 0.0, "for a test"),))
        return decide(snapshot, policy, now) if now <= 0.0 else Plan()

    told = tuple(Demand(300.0 * k, 600.0, (1 if k < 4 else 2,), "given") for k in range(WINDOWS + 1))
    what = workload(job(), service=chat((1,) * 12 + (2,) * 275 + (1,)))
    first, second = played(day, what, Manner(decider, told={"chat": told})).log.replicas
    assert (first.asked_s, first.granted_s, first.ready_s) == (-1800.0, -1800.0, -1750.0)
    assert (second.asked_s, second.granted_s, second.ready_s) == (1200.0, 3000.0, 3070.0)
    assert not second.reclaimed


def test_workers_hold_what_must_share_a_node() -> None:
    sizes = {gpus: gpus_per_worker(job(gpus=gpus)) for gpus in (1, 2, 3, 4, 6, 8, 12)}
    assert sizes == {1: 1, 2: 2, 3: 1, 4: 4, 6: 2, 8: 4, 12: 4}
    assert gpus_per_worker(job(gpus=4, min_gpus=2, max_gpus=8, step_gpus=2)) == 2
    assert gpus_per_worker(job(gpus=8, min_gpus=4, max_gpus=16, step_gpus=4)) == 4


def test_nobody_is_told_the_true_run_time(day: HtiSettings) -> None:
    what = submissions(day, workload(job(run_s=1234.5)), elastic_services=True)
    assert all("1234.5" not in repr(record) for record in what.records)


@pytest.mark.parametrize("walltime_s", [14400.0, 28800.0])
def test_a_walltime_twice_too_long_changes_only_what_is_asked(walltime_s: float) -> None:
    what = workload(job())
    found = asked("long-walltimes" if walltime_s > 14400.0 else "ours", what).training[0]
    assert found == replace(what.training[0], walltime_s=walltime_s)


# Demand


def test_what_is_told_rests_on_what_was_seen() -> None:
    first, second = ((1,) * 144 + later for later in ((1,) * 144, (5,) * 144))
    told = [demands(chat(needed), Forecasting("last")) for needed in (first, second)]
    assert [d.replicas for d in told[0][1:145]] == [d.replicas for d in told[1][1:145]]
    assert told[1][145].needed(145 * 300.0) == 5


def test_a_demand_is_told_for_each_window_and_raised_to_what_was_just_seen() -> None:
    needed = (1,) * 101 + (6,) + (1,) * 186
    told = demands(chat(needed), Forecasting(quantile=0.9))
    assert len(told) == WINDOWS + 1
    # Windows 100 and 101 are one step of the forecast; the second is known with window 102.
    assert told[102].needed(102 * 300.0) >= told[101].needed(101 * 300.0)
    assert told[101].start_s == 100 * 300.0


def test_the_lead_is_that_of_the_slow_starts() -> None:
    assert lead_s(chat()) == 70.0


# Replicas


def replicas() -> Replicas:
    return Replicas({"chat": chat()}, {"chat": 60.0})


def grant(*sizes: int) -> Grant:
    return Grant(tuple(replace(piece(f"g{i}", f"r{i}"), workers=n) for i, n in enumerate(sizes) if n))


def test_the_youngest_replicas_of_a_slice_leave_first() -> None:
    some = replicas()
    some.granted("chat", grant(1), 0.0)
    some.granted("chat", grant(3), 100.0)
    some.granted("chat", grant(2), 130.0)
    # The one that left had not answered yet.
    assert [(r.granted_s, r.ready_s, r.ended_s) for r in some.logs()] == [
        (0.0, 50.0, None),
        (100.0, None, 130.0),
        (100.0, 170.0, None),
    ]


def test_a_replica_that_had_to_wait_for_others_was_reclaimed() -> None:
    some = replicas()
    some.granted("chat", grant(1), 0.0)
    some.wanted("chat", Demand(0.0, 600.0, (2,), "told"), 300.0)
    some.disturbed(310.0)
    some.granted("chat", grant(1, 1), 340.0)
    some.granted("chat", grant(1, 1, 1), 350.0)
    first, second, third = some.logs()
    assert [(r.asked_s, r.reclaimed) for r in (first, second, third)] == [(0.0, False), (300.0, True), (350.0, False)]


def test_what_is_wanted_no_more_was_not_asked_for() -> None:
    some = replicas()
    some.granted("chat", grant(1), 0.0)
    some.wanted("chat", Demand(0.0, 600.0, (3,), "told"), 300.0)
    some.wanted("chat", Demand(0.0, 600.0, (1,), "told"), 600.0)
    some.granted("chat", grant(2), 900.0)
    assert [r.asked_s for r in some.logs()] == [0.0, 900.0]


def test_what_a_newer_forecast_wants_only_later_is_not_overdue() -> None:
    some = replicas()
    some.granted("chat", grant(1), 0.0)
    some.wanted("chat", Demand(0.0, 600.0, (1, 2), "told"), 300.0)
    some.wanted("chat", Demand(600.0, 600.0, (1, 2), "told"), 600.0)
    some.granted("chat", grant(1, 1), 1150.0)
    assert [r.asked_s for r in some.logs()] == [0.0, 1140.0]


# Harvest


def test_harvest_fills_the_gaps_and_loses_a_unit_at_each_stop() -> None:
    found = harvest([Host(4, 1.0, ((100.0, 3), (200.0, 4), (230.0, 2)))], unit_s=60.0, end_s=400.0)
    assert [(p.start_s, p.end_s, p.gpus, p.lost_s) for p in found] == [
        (0.0, 100.0, 3, 60.0),
        (0.0, 200.0, 1, 60.0),
        (230.0, 400.0, 2, 0.0),
    ]


def test_a_node_that_nobody_used_is_harvested_whole_and_a_full_one_not_at_all() -> None:
    assert [p.gpus for p in harvest([Host(4, 0.4, ())], unit_s=60.0, end_s=400.0)] == [4]
    assert harvest([Host(4, 1.0, ((-5.0, 4),))], unit_s=60.0, end_s=400.0) == ()


# Arms and results


def test_tuning_seeds_are_never_reported() -> None:
    assert not set(TUNING_SEEDS) & set(REPORTING_SEEDS)


@pytest.mark.parametrize("name", ["ours", "easy", "no-forecast", "no-sjbf", "long-walltimes"])
def test_our_arms_are_made_from_the_table(name: str, settings: HtiSettings) -> None:
    assert manner(name, settings).decider is decide


def test_an_unknown_arm_is_refused_with_the_list(settings: HtiSettings) -> None:
    with pytest.raises(NotFound, match="no arm 'b9'. Choose of ours, b1-static"):
        manner("b9", settings)


def test_a_policy_that_does_not_exist_is_refused(settings: HtiSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "fabric.simulator.hti.arms.ARMS", {**ARMS, "bad": replace(ARMS["ours"], policy={"ordre": "sjf"})}
    )
    with pytest.raises(BadConfig, match="arm bad"):
        manner("bad", settings)


def test_a_result_is_read_back_equal_and_a_broken_file_is_named(day: HtiSettings, tmp_path: Path) -> None:
    from dataclasses import asdict
    from json import dumps

    what = workload(job())
    key = Key("ours", 0.95, 0, 1, "abc")
    result = Result(key, figures_of(played(day, what), what, day), (1.5,), "digest", 2.0)
    (tmp_path / key.file).write_text(dumps(asdict(result)))
    again = read(tmp_path / key.file)
    assert (again.key, again.wide_waits_s) == (key, (1.5,))
    assert all(
        math.isnan(value) if math.isnan(result.figures[name]) else value == result.figures[name]
        for name, value in again.figures.items()
    )
    for broken in ("", "{}", '{"key": {}}', "[1]"):
        (tmp_path / "x.json").write_text(broken)
        with pytest.raises(Corrupt, match=r"x\.json: holds no result"):
            read(tmp_path / "x.json")
