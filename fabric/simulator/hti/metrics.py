"""The benchmark's figures, from the records of one run.

Knows nothing of other runs; `statistics` compares them. A GPU-hour is one of the GPU tier: on the older pool an hour
counts by its speed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fabric.core.errors import BadInput
from fabric.simulator.hti.logs import HarvestLog, JobLog, RunLog, Segment, WindowLog

BOUND_S = 600.0
"""Run times below this many seconds count as this in the bounded slowdown. Source: the benchmark's definition."""
WIDE_GPUS = 32
"""Accelerators from which on a job is a wide gang. Source: the benchmark's goals."""
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One run in numbers; shares are in [0, 1], and a figure about nothing is not-a-number."""

    slo_attainment: float
    """Windows, of all services, in which the p99 time to first token kept the promise."""
    slo_by_service: tuple[tuple[str, float], ...]
    jobs: int
    unfinished: int
    """Training jobs still there at the end; they count with the time they had spent by then."""
    jct_mean_s: float
    jct_p50_s: float
    jct_p99_s: float
    wait_mean_s: float
    """Time without accelerators, after preemptions too."""
    wait_p99_s: float
    wide_wait_p99_s: float
    """Of jobs that ask for at least `WIDE_GPUS`."""
    wide_jobs: int
    bsld_mean: float
    """Completion time over run time, neither run times below `BOUND_S` nor slowdowns below one."""
    deadline_hits: float
    """Share of the jobs with a deadline that met it."""
    training_share: float
    """Useful training, of all GPU-hours of the benchmark."""
    serving_share: float
    """Replicas that were ready and needed, of all GPU-hours."""
    useful_share: float
    """Both together: what the goals are about."""
    harvest_share: float
    wasted_gpu_h: float
    """Held by training without progress that was kept: staging, restarts, work done again."""
    lost_gpu_h: float
    """Part of it: work done again."""
    preemptions: int
    resizes: int
    harvested_tokens: float
    reclaims: int
    reclaim_p99_s: float
    """From wanting accelerators that others held to having them."""
    start_p99_s: float
    """From wanting a replica to its first answer, of all replicas."""
    fragmentation_mean: float
    decision_p99_s: float


def measure(run: RunLog, *, reference_gpus: float, slo_ttft_s: float, tokens_per_gpu_s: float) -> Figures:
    """All figures of `run`.

    GPU-hours are counted inside the benchmark's length, times of jobs to the end of the simulation.

    Args:
        run: Its records.
        reference_gpus: Accelerators of the site, those of slower tiers counted by their speed.
        slo_ttft_s: Promised p99 of a window.
        tokens_per_gpu_s: Of batch inference on the GPU tier.

    Raises:
        BadInput: If a job's record contradicts itself; it is named.
    """
    for job in run.jobs:
        check(job)
    all_gpu_s = reference_gpus * run.duration_s
    completion = np.array([completion_s(job, run.ended_s) for job in run.jobs])
    waits = np.array([wait_s(job, run.ended_s) for job in run.jobs])
    wide = np.array([job.gpus >= WIDE_GPUS for job in run.jobs], dtype=bool)
    runs = np.array([max(job.run_s, BOUND_S) for job in run.jobs])
    segments = [(job, part) for job in run.jobs for part in job.segments]
    training = sum(useful_gpu_s(job, part, run.duration_s) for job, part in segments) / all_gpu_s
    serving = sum(min(w.needed_gpus, w.ready_gpus) * w.length_s for w in run.windows) / all_gpu_s
    harvested = sum(_inside(part, run.duration_s) for part in run.harvest)
    reclaims = [r.granted_s - r.asked_s for r in run.replicas if r.reclaimed and r.granted_s is not None]
    starts = [r.ready_s - r.asked_s for r in run.replicas if r.ready_s is not None]
    return Figures(
        slo_attainment=attainment(run.windows, slo_ttft_s),
        slo_by_service=tuple(
            (name, attainment([w for w in run.windows if w.service == name], slo_ttft_s))
            for name in sorted({w.service for w in run.windows})
        ),
        jobs=len(run.jobs),
        unfinished=sum(job.ended_s is None for job in run.jobs),
        jct_mean_s=_mean(completion),
        jct_p50_s=_quantile(completion, 0.5),
        jct_p99_s=_quantile(completion, 0.99),
        wait_mean_s=_mean(waits),
        wait_p99_s=_quantile(waits, 0.99),
        wide_wait_p99_s=_quantile(waits[wide], 0.99),
        wide_jobs=int(wide.sum()),
        bsld_mean=_mean(np.maximum(1.0, completion / runs)),
        deadline_hits=_mean([_met(job) for job in run.jobs if job.deadline_s is not None]),
        training_share=training,
        serving_share=serving,
        useful_share=training + serving,
        harvest_share=harvested / all_gpu_s,
        wasted_gpu_h=sum((p.overhead_s + p.lost_s) * p.gpus * p.speed for _, p in segments) / _HOUR_S,
        lost_gpu_h=sum(p.lost_s * p.gpus * p.speed for _, p in segments) / _HOUR_S,
        preemptions=sum(p.ended == "preempted" for _, p in segments),
        resizes=sum(p.ended == "resized" for _, p in segments),
        harvested_tokens=harvested * tokens_per_gpu_s,
        reclaims=len(reclaims),
        reclaim_p99_s=_quantile(reclaims, 0.99),
        start_p99_s=_quantile(starts, 0.99),
        fragmentation_mean=_mean(run.fragmentation),
        decision_p99_s=_quantile(run.decisions_s, 0.99),
    )


def check(job: JobLog) -> None:
    """Refuse a record that contradicts itself.

    Raises:
        BadInput: If segments overlap, lie outside the job's life, hold more overhead and loss than time, or do not add
            up to the run time of a finished job (within a second and a millionth).
    """
    wrong = _contradiction(job)
    if wrong:
        raise BadInput(f"the record of job {job.name} contradicts itself: {wrong}", job=job.name)


def _contradiction(job: JobLog) -> str:
    """What is wrong with the record; empty if nothing is."""
    before = job.submit_s
    for part in job.segments:
        if part.start_s < before or part.end_s < part.start_s or (job.ended_s or np.inf) < part.end_s:
            return f"segment from {part.start_s:g} to {part.end_s:g} s is out of order or outside"
        if part.overhead_s + part.lost_s > part.end_s - part.start_s + 1e-6:
            return f"segment from {part.start_s:g} s has more overhead and loss than time"
        before = part.end_s
    done = sum(part.useful_s * part.rate for part in job.segments)
    if job.ended_s is not None and abs(done - job.run_s) > 1.0 + 1e-6 * job.run_s:
        return f"it finished after {done:g} of {job.run_s:g} s of work"
    return ""


def completion_s(job: JobLog, run_ended_s: float) -> float:
    """Time from submission to the end, or to the end of the run."""
    return (job.ended_s if job.ended_s is not None else run_ended_s) - job.submit_s


def wait_s(job: JobLog, run_ended_s: float) -> float:
    """Part of it in which the job held no accelerators."""
    return completion_s(job, run_ended_s) - sum(part.end_s - part.start_s for part in job.segments)


def useful_gpu_s(job: JobLog, part: Segment, until_s: float) -> float:
    """Kept progress of a segment before `until_s`, as GPU-seconds at the size asked for.

    A gang that grew to twice its size and became 1.7 times as fast counts 1.7 times, so growing alone is no use.
    """
    begin, end = part.start_s + part.overhead_s, part.end_s - part.lost_s
    return max(0.0, min(end, until_s) - begin) * part.rate * job.gpus


def attainment(windows: Sequence[WindowLog], slo_ttft_s: float) -> float:
    """Share of the windows that kept the promise."""
    return _mean([window.ttft_p99_s <= slo_ttft_s for window in windows])


def _met(job: JobLog) -> bool:
    return job.ended_s is not None and job.deadline_s is not None and job.ended_s <= job.deadline_s


def _inside(part: HarvestLog, until_s: float) -> float:
    """Kept GPU-seconds of harvested work before `until_s`."""
    begin, end = part.start_s + part.overhead_s, part.end_s - part.lost_s
    return max(0.0, min(end, until_s) - begin) * part.gpus * part.speed


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _quantile(values: Sequence[float] | np.ndarray, share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else float("nan")
