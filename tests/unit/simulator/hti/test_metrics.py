"""Figures of small runs that can be reckoned by hand."""

from dataclasses import replace
from math import isnan

import pytest

from fabric.core.errors import BadInput
from fabric.simulator.hti.fairness import finish_time_rho, least_shares, rho_p95
from fabric.simulator.hti.jobs import Project, Service
from fabric.simulator.hti.logs import (
    HarvestLog,
    JobLog,
    ReplicaLog,
    RunLog,
    Segment,
    WindowLog,
    ready_steps,
    windows_of,
)
from fabric.simulator.hti.metrics import Figures, measure
from fabric.simulator.hti.queue import Traffic
from tests.unit.simulator.hti.test_serving import even

HOUR = 3600.0
DAY = 86400.0


def job(name: str = "j", *parts: Segment, gpus: int = 1, submit: float = 0.0, **more: object) -> JobLog:
    """A finished job that ran in `parts`; by default an hour at once."""
    parts = parts or (Segment(submit, submit + HOUR, gpus),)
    fields: dict[str, object] = {
        "project": "p",
        "run_s": sum(part.useful_s * part.rate for part in parts),
        "ended_s": parts[-1].end_s,
        **more,
    }
    return JobLog(name, gpus=gpus, submit_s=submit, segments=parts, **fields)  # type: ignore[arg-type]


def figures(*jobs: JobLog, ended_s: float = DAY, **more: object) -> Figures:
    """Of a day on ten GPUs, with a promise of two seconds."""
    run = RunLog(DAY, ended_s, jobs, **more)  # type: ignore[arg-type]
    return measure(run, reference_gpus=10, slo_ttft_s=2.0, tokens_per_gpu_s=100.0)


def test_a_job_that_ran_at_once_wastes_and_waits_nothing() -> None:
    found = figures(job())
    assert (found.jct_mean_s, found.wait_mean_s, found.wasted_gpu_h, found.bsld_mean) == (HOUR, 0, 0, 1)
    assert found.training_share == pytest.approx(1 / 240)


def test_a_preempted_job_wastes_its_restart_and_what_it_did_again() -> None:
    parts = (
        Segment(600, 600 + HOUR, 2, overhead_s=60, lost_s=540, ended="preempted"),
        Segment(600 + 2 * HOUR, 600 + 3 * HOUR, 2, overhead_s=120),
    )
    found = figures(job("j", *parts, gpus=2))
    assert found.wasted_gpu_h == pytest.approx((60 + 540 + 120) * 2 / HOUR)
    assert found.lost_gpu_h == pytest.approx(540 * 2 / HOUR)
    assert found.preemptions == 1
    assert found.wait_mean_s == 600 + HOUR
    assert found.training_share == pytest.approx((2 * HOUR - 720) * 2 / (10 * DAY))


def test_the_older_pool_counts_by_its_speed() -> None:
    found = figures(job("j", Segment(0, HOUR, 1, speed=0.4, rate=0.4, overhead_s=600), gpus=1))
    assert found.wasted_gpu_h == pytest.approx(0.4 * 600 / HOUR)
    assert found.training_share == pytest.approx(0.4 * (HOUR - 600) / (10 * DAY))


def test_growing_counts_by_what_it_gains_and_not_by_what_it_takes() -> None:
    grown = job("j", Segment(0, HOUR, 8, rate=1.7), gpus=4)
    assert figures(grown).training_share == pytest.approx(1.7 * 4 * HOUR / (10 * DAY))


def test_work_after_the_benchmark_is_not_counted_as_its_use() -> None:
    late = job("j", Segment(DAY - HOUR, DAY + HOUR, 1), submit=DAY - HOUR)
    assert figures(late, ended_s=2 * DAY).training_share == pytest.approx(HOUR / (10 * DAY))


def test_short_jobs_do_not_dominate_the_bounded_slowdown() -> None:
    short = job("j", Segment(590, 600, 1))
    assert figures(short).bsld_mean == 1.0
    assert figures(job("j", Segment(1190, 1200, 1))).bsld_mean == pytest.approx(2.0)


def test_an_unfinished_job_counts_with_the_time_it_has_spent_and_misses_its_deadline() -> None:
    waiting = JobLog("w", "p", 1, DAY / 2, HOUR, None, deadline_s=DAY)
    found = figures(waiting, job("j", deadline_s=2 * HOUR))
    assert (found.unfinished, found.deadline_hits) == (1, 0.5)
    assert found.jct_mean_s == pytest.approx((DAY / 2 + HOUR) / 2)
    assert found.wait_p99_s == pytest.approx(0.99 * DAY / 2)


def test_wide_gangs_have_a_wait_of_their_own() -> None:
    wide = job("w", Segment(500, 500 + HOUR, 32), gpus=32)
    found = figures(job(), wide)
    assert (found.wide_jobs, found.wide_wait_p99_s) == (1, 500)
    assert isnan(figures(job()).wide_wait_p99_s)


def test_serving_counts_replicas_that_are_both_ready_and_needed() -> None:
    def window(service: str, p99: float, needed: float, ready: float) -> WindowLog:
        return WindowLog(service, 0, 300, p99, needed, ready)

    windows = (window("a", 1.0, 4, 6), window("a", 2.0, 4, 3), window("b", 2.1, 0, 2), window("b", float("inf"), 2, 0))
    found = figures(job(), windows=windows)
    assert found.slo_attainment == 0.5
    assert found.slo_by_service == (("a", 1.0), ("b", 0.0))
    assert found.serving_share == pytest.approx((4 + 3) * 300 / (10 * DAY))
    assert found.useful_share == pytest.approx(found.training_share + found.serving_share)


def test_harvested_tokens_are_those_of_work_that_was_kept() -> None:
    harvest = (HarvestLog(0, 1000, 2, overhead_s=100, lost_s=50), HarvestLog(DAY - 10, DAY + 90, 1, speed=0.4))
    assert figures(job(), harvest=harvest).harvested_tokens == pytest.approx((850 * 2 + 10 * 0.4) * 100)


def test_reclaim_counts_from_wanting_to_having() -> None:
    replicas = (
        ReplicaLog("a", 4, 100, 160, 200, None, reclaimed=True),
        ReplicaLog("a", 4, 100, 100, 130, None),
        ReplicaLog("a", 4, 100, None, None, None, reclaimed=True),
    )
    found = figures(job(), replicas=replicas, decisions_s=(0.1, 0.1), fragmentation=(0.2, 0.4))
    assert (found.reclaims, found.reclaim_p99_s) == (1, 60)
    assert found.start_p99_s == pytest.approx(30 + 0.99 * 70)
    assert [found.decision_p99_s, found.fragmentation_mean] == pytest.approx([0.1, 0.3])


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (job("j", Segment(0, 100, 1), Segment(50, 200, 1)), "out of order"),
        (job("j", Segment(0, 100, 1), submit=50.0), "out of order"),
        (replace(job(), ended_s=1800.0), "outside"),
        (job("j", Segment(0, 100, 1, overhead_s=60, lost_s=60)), "more overhead and loss than time"),
        (replace(job(), run_s=1800.0), "finished after 3600 of 1800 s"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused_by_name(bad: JobLog, said: str) -> None:
    with pytest.raises(BadInput, match="record of job j contradicts itself") as caught:
        figures(bad)
    assert said in str(caught.value)


def test_a_run_without_anything_has_no_figures_but_no_error_either() -> None:
    found = figures()
    assert (found.jobs, found.preemptions, found.useful_share) == (0, 0, 0)
    assert isnan(found.jct_mean_s)


def test_ready_replicas_follow_their_records() -> None:
    replicas = (
        ReplicaLog("a", 1, -50, -40, -10, 500),
        ReplicaLog("a", 1, 0, 10, 100, None),
        ReplicaLog("a", 1, 0, None, None, None),
        ReplicaLog("b", 1, 0, 0, 0, None),
    )
    assert ready_steps(replicas, "a") == [(0.0, 1), (100.0, 2), (500.0, 1)]
    assert ready_steps(replicas, "c") == [(0.0, 0)]


def test_windows_of_a_service_tell_its_slowness_and_its_replicas() -> None:
    service = Service("a", 4, 300.0, (5.0, 5.0), (1, 2), (8.0, 17.0), (1.0,))
    traffic = Traffic(service.rates_rps, 300.0, even(), seed=1)
    first, second = windows_of(
        service, traffic, [ReplicaLog("a", 4, 0, 0, 0, None), ReplicaLog("a", 4, 0, 0, 150, None)]
    )
    assert (first.needed_gpus, second.needed_gpus) == (4, 8)
    assert (first.ready_gpus, second.ready_gpus) == pytest.approx((4 * 1.5, 8))
    assert 0.1 <= second.ttft_p99_s <= first.ttft_p99_s < 2.0


def test_sharing_an_idle_site_costs_nobody_anything() -> None:
    run = RunLog(DAY, DAY, (job("a"), job("b", Segment(600, 600 + HOUR, 1))))
    assert finish_time_rho(run, reference_gpus=10) == pytest.approx({"a": 1.0, "b": 1 + 600 / HOUR})


def test_waiting_in_a_crowd_is_fair_and_overtaking_is_not() -> None:
    # Two jobs of ten GPUs on ten: each is entitled to half of them, so both have twice their run time.
    first = job("first", Segment(0, 6 * HOUR, 10), gpus=10)
    second = job("second", Segment(6 * HOUR, 12 * HOUR, 10), gpus=10)
    found = finish_time_rho(RunLog(DAY, DAY, (first, second)), reference_gpus=10)
    assert found["first"] == pytest.approx(0.5, abs=0.01)
    assert found["second"] == pytest.approx(2 / 1.5, abs=0.02)
    assert rho_p95(RunLog(DAY, DAY, (first, second)), reference_gpus=10) > 1.25
    assert isnan(rho_p95(RunLog(DAY, DAY, ()), reference_gpus=10))


def test_what_serving_needs_is_not_there_for_training() -> None:
    needs = tuple(WindowLog("s", 300.0 * i, 300, 1.0, 5, 5) for i in range(288))
    slow = job("j", Segment(0, 2 * HOUR, 5, rate=0.5), gpus=10)
    found = finish_time_rho(RunLog(DAY, DAY, (slow,), windows=needs), reference_gpus=10)
    assert found["j"] == pytest.approx(1.0, abs=0.01)


def test_a_starved_tenant_shows_its_worst_day_and_an_idle_one_nothing() -> None:
    hog = job("hog", Segment(0, 2 * DAY, 10), gpus=10, project="greedy")
    starved = job("late", Segment(2 * DAY, 3 * DAY, 5), gpus=5, project="meek")
    run = RunLog(3 * DAY, 3 * DAY, (hog, starved))
    shares = (Project("greedy", 0.5), Project("meek", 0.4), Project("idle", 0.1))
    found = least_shares(run, shares, reference_gpus=10)
    assert found["meek"] == 0.0
    assert found["greedy"] >= 1.0
    assert "idle" not in found
    fed = replace(run, jobs=(hog, job("late", Segment(0, 3 * DAY, 3), gpus=3, project="meek")))
    assert least_shares(fed, shares, reference_gpus=10)["meek"] == pytest.approx(1.0)
