"""What is drawn: shares, sizes and loads as defined, and the same for the same load and seed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from fabric.core.errors import BadInput
from fabric.simulator.hti.cpu_work import draw_cpu_work
from fabric.simulator.hti.planning import ReplicaTable
from fabric.simulator.hti.services import traffic_of
from fabric.simulator.hti.settings import CpuSettings, HtiSettings, Scaling, TrainingSettings
from fabric.simulator.hti.traces.folder import Traces
from fabric.simulator.hti.traces.philly import TrainingRow
from fabric.simulator.hti.traces.swf import CpuRow
from fabric.simulator.hti.training import DAY_S, OTHERS, Target, draw_training, projects
from fabric.simulator.hti.workload import Workload, digest, draw_workload

Tables = tuple[ReplicaTable, ...]


@pytest.fixture(scope="module")
def drawn(settings: HtiSettings, traces: Traces, replica_tables: Tables) -> Workload:
    return draw_workload(settings, traces, replica_tables, load=0.95, seed=3)


def test_training_fills_what_serving_leaves(drawn: Workload, settings: HtiSettings) -> None:
    wanted = 0.95 * (settings.reference_gpus - drawn.serving_gpus) * settings.duration_s
    work = sum(job.work_gpu_s for job in drawn.training)
    assert 0.999 * wanted <= work <= wanted


@pytest.mark.slow
def test_the_same_load_and_seed_give_the_same_contents_and_others_do_not(
    drawn: Workload, settings: HtiSettings, traces: Traces, replica_tables: Tables
) -> None:
    def other(load: float, seed: int) -> str:
        return digest(draw_workload(settings, traces, replica_tables, load=load, seed=seed))

    assert other(0.95, 3) == digest(drawn)
    assert len({digest(drawn), other(0.95, 4), other(0.85, 3)}) == 3


def test_another_load_changes_training_alone(
    drawn: Workload, settings: HtiSettings, traces: Traces, replica_tables: Tables
) -> None:
    lighter = draw_workload(settings, traces, replica_tables, load=0.85, seed=3)
    assert (lighter.services, lighter.cpu, lighter.projects) == (drawn.services, drawn.cpu, drawn.projects)
    assert len(lighter.training) < len(drawn.training)


def test_jobs_arrive_in_order_inside_the_benchmark_with_names_of_their_own(
    drawn: Workload, settings: HtiSettings
) -> None:
    for jobs in (drawn.training, drawn.cpu):
        submits = [job.submit_s for job in jobs]
        assert submits == sorted(submits)
        assert 0 <= submits[0] <= submits[-1] < settings.duration_s
        assert len({job.name for job in jobs}) == len(jobs)


def test_three_tenths_of_the_gpu_hours_of_gangs_may_be_resized_between_half_and_twice(drawn: Workload) -> None:
    several = [job for job in drawn.training if job.gpus > 1]
    elastic = [job for job in drawn.training if job.elastic]
    assert sum(j.work_gpu_s for j in elastic) / sum(j.work_gpu_s for j in several) == pytest.approx(0.3, abs=0.01)
    for job in elastic:
        assert job.min_gpus == (job.gpus + 1) // 2
        assert job.gpus < job.max_gpus <= 2 * job.gpus
        assert (job.max_gpus - job.min_gpus) % job.step_gpus == 0
        assert (job.gpus - job.min_gpus) % job.step_gpus == 0
        assert job.speedup(job.gpus) == 1.0
        assert job.speedup(job.min_gpus) >= job.min_gpus / job.gpus
        assert job.speedup(job.max_gpus) <= job.max_gpus / job.gpus


def test_a_fifth_of_the_small_jobs_has_a_deadline_of_three_run_times(drawn: Workload) -> None:
    small = [job for job in drawn.training if job.gpus <= 8]
    tuning = [job for job in drawn.training if job.deadline_s is not None]
    assert len(tuning) == round(0.2 * len(small))
    assert all(job.gpus <= 8 for job in tuning)
    assert {round((job.deadline_s or 0) - job.submit_s - 3 * job.run_s, 3) for job in tuning} == {0.0}


def test_walltimes_are_the_least_class_that_holds_the_run(drawn: Workload, settings: HtiSettings) -> None:
    classes = settings.training.walltimes_s
    for job in drawn.training:
        assert job.run_s <= job.walltime_s
        assert job.walltime_s == min(limit for limit in classes if limit >= job.run_s)


def test_shares_of_projects_sum_to_one_and_every_job_belongs_to_one(drawn: Workload) -> None:
    assert sum(project.share for project in drawn.projects) == pytest.approx(1.0)
    assert {job.project for job in drawn.training} <= {project.name for project in drawn.projects}
    assert all(job.user.startswith(f"{job.project}-u") for job in drawn.training)


def test_tenants_too_small_for_a_share_form_one_project(settings: HtiSettings) -> None:
    rows = [TrainingRow(0, 1000, 10, "big"), TrainingRow(1, 10, 1, "tiny"), TrainingRow(2, 20, 1, "small")]
    found, project_of = projects(rows, settings.training)
    assert project_of == {"big": "big", "tiny": OTHERS, "small": OTHERS}
    assert [(p.name, round(p.share, 5)) for p in found] == [
        ("big", round(10000 / 10030, 5)),
        (OTHERS, round(30 / 10030, 5)),
    ]


def test_each_service_needs_its_peak_once_and_never_more(drawn: Workload, settings: HtiSettings) -> None:
    assert {s.name: max(s.needed) for s in drawn.services} == {s.name: s.peak_replicas for s in settings.services}
    assert all(len(s.rates_rps) == len(s.needed) == 14 * 288 for s in drawn.services)
    assert max(drawn.services[0].rates_rps) == pytest.approx(
        drawn.services[0].carried_rps[settings.services[0].peak_replicas - 1]
    )


def test_traffic_differs_between_services_and_seeds_and_not_between_calls(
    drawn: Workload, settings: HtiSettings, traces: Traces
) -> None:
    seeds = [traffic_of(s, settings, traces, seed=n).seed for s in drawn.services for n in (0, 1)]
    assert len(set(seeds)) == 6
    with pytest.raises(BadInput, match="no service nobody"):
        traffic_of(replace(drawn.services[0], name="nobody"), settings, traces, seed=0)


def test_cpu_work_fills_its_part_half_from_each_log(drawn: Workload, settings: HtiSettings) -> None:
    wanted = 0.7 * settings.cpu.total_cpus * settings.duration_s
    for log in ("kth", "sdsc"):
        core_s = sum(j.run_s * j.workers * j.cores_per_worker for j in drawn.cpu if j.name.startswith(log))
        assert 0.999 * wanted / 2 <= core_s <= wanted / 2
    assert all(job.run_s <= job.walltime_s for job in drawn.cpu)


@settings_of(max_examples=20)
@given(st.integers(0, 1000), st.floats(0.2, 3.0))
def test_any_seed_and_load_meets_its_target_from_a_log_of_small_jobs(seed: int, times: float) -> None:
    log = [TrainingRow(3600.0 * hour, 600.0, 1, "a") for hour in range(24 * 20)]
    target = Target(gpu_s=times * 14 * 24 * 600, duration_s=14 * DAY_S, most_gpus=8)
    shares = TrainingSettings(scaling=(Scaling(name="linear", exponent=1.0),))
    jobs = draw_training(log, shares, target, np.random.default_rng(seed))
    work = sum(job.work_gpu_s for job in jobs)
    assert target.gpu_s - 600 <= work <= target.gpu_s
    assert all(0 <= job.submit_s < target.duration_s for job in jobs)


@pytest.mark.parametrize("gpus", [2, 3, 6, 8, 12, 20, 24])
def test_whole_steps_lead_from_half_a_gang_to_its_size_and_on_however_many_it_asks_for(gpus: int) -> None:
    log = [TrainingRow(3600.0 * hour, 600.0, gpus, "a") for hour in range(24 * 20)]
    target = Target(gpu_s=gpus * 14 * 24 * 600, duration_s=14 * DAY_S, most_gpus=256)
    sizes = TrainingSettings(scaling=(Scaling(name="linear", exponent=1.0),), elastic_share=1.0)
    elastic = [job for job in draw_training(log, sizes, target, np.random.default_rng(1)) if job.elastic]
    assert elastic
    assert {(job.gpus - job.min_gpus) % job.step_gpus for job in elastic} == {0}
    assert {(job.max_gpus - job.gpus) % job.step_gpus for job in elastic} == {0}


@pytest.mark.parametrize(("load", "seed"), [(0.0, 1), (-1.0, 1), (0.95, -1)])
def test_no_load_and_negative_seeds_are_refused(
    load: float, seed: int, settings: HtiSettings, traces: Traces, replica_tables: Tables
) -> None:
    with pytest.raises(BadInput, match="load must be positive and seed not negative"):
        draw_workload(settings, traces, replica_tables, load=load, seed=seed)


def test_tables_of_other_services_are_refused(settings: HtiSettings, traces: Traces, replica_tables: Tables) -> None:
    with pytest.raises(BadInput, match="one table for each service, in the order"):
        draw_workload(settings, traces, replica_tables[::-1], load=0.95, seed=0)


def test_logs_too_short_or_too_light_are_refused(settings: HtiSettings) -> None:
    rng = np.random.default_rng(0)
    short = [TrainingRow(3600.0 * hour, 60.0, 1, "a") for hour in range(24)]
    target = Target(1000.0, 14 * DAY_S, 8)
    with pytest.raises(BadInput, match="before the 1209600 s wanted"):
        draw_training(short, settings.training, target, rng)
    wide = [TrainingRow(DAY_S * day, 60.0, 16, "a") for day in range(20)]
    with pytest.raises(BadInput, match="do not add up"):
        draw_training(wide, settings.training, target, rng)
    with pytest.raises(BadInput, match="log kth: 200 spans do not add up"):
        draw_cpu_work({"kth": [CpuRow(0, 1, 1, 1, 1, 1)]}, CpuSettings(), rng, core_s=1e9, duration_s=DAY_S)


def test_a_curve_shorter_than_the_benchmark_is_refused(
    settings: HtiSettings, traces: Traces, replica_tables: Tables
) -> None:
    cut = replace(traces, rates={model: curve[:144] for model, curve in traces.rates.items()})
    with pytest.raises(BadInput, match=r"has 1\.0 of 14 days"):
        draw_workload(settings, cut, replica_tables, load=0.95, seed=0)
