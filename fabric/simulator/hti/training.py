"""Training drawn from the Philly log until it fills what serving leaves.

Knows nothing of the site: it is told how many GPU-seconds to fill.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from fabric.core.errors import BadInput
from fabric.simulator.hti.jobs import Project, TrainingJob
from fabric.simulator.hti.settings import Scaling, TrainingSettings
from fabric.simulator.hti.traces.philly import TrainingRow

DAY_S = 86400.0
"""Seconds of a day."""
TOLERANCE = 0.001
"""How far below its target the drawn work may stay, relative to it."""
_MOST_ROUNDS = 50
_MOST_STEP = 4
OTHERS = "others"
"""Project of all virtual clusters that are too small for one of their own."""


@dataclass(frozen=True, slots=True)
class Target:
    """How much training is wanted."""

    gpu_s: float
    """GPU-seconds at the sizes asked for, on the GPU tier."""
    duration_s: float
    """Length over which they arrive."""
    most_gpus: int
    """Largest size that an elastic job may grow to."""


def projects(rows: Sequence[TrainingRow], settings: TrainingSettings) -> tuple[tuple[Project, ...], Mapping[str, str]]:
    """Projects with shares like their GPU-hours in the whole log, and the project of each virtual cluster."""
    hours: dict[str, float] = {}
    for row in rows:
        hours[row.cluster] = hours.get(row.cluster, 0.0) + _cut(row, settings) * row.gpus
    total = sum(hours.values())
    project_of = {name: name if used / total >= settings.smallest_project else OTHERS for name, used in hours.items()}
    shares: dict[str, float] = {}
    for name, used in hours.items():
        shares[project_of[name]] = shares.get(project_of[name], 0.0) + used / total
    return tuple(Project(name, shares[name]) for name in sorted(shares)), project_of


def draw_training(
    rows: Sequence[TrainingRow], settings: TrainingSettings, target: Target, rng: Generator
) -> tuple[TrainingJob, ...]:
    """Jobs in the order of submission whose work is at most the target, and 99.9 % of it if the log has jobs so small.

    1. A span of whole days as long as the benchmark is drawn from the log, so the time of day is kept.
    2. Its jobs are taken in random order until the work is there; one too large for what is left is passed over.
    3. If they do not suffice, they are taken again, each submitted up to half a day earlier or later.
    4. Fine-tuning and elasticity are drawn among the chosen.

    Args:
        rows: The log.
        settings: Shares and classes.
        target: How much.
        rng: Of chance.

    Raises:
        BadInput: If the log is shorter than the benchmark, or its jobs cannot be put together to the target.
    """
    span = _span(rows, target.duration_s, rng)
    chosen = _take(span, settings, target, rng)
    _, project_of = projects(rows, settings)
    jobs = [_job(row, number, project_of[row.cluster], settings=settings, rng=rng) for number, row in enumerate(chosen)]
    return tuple(_with_elasticity(_with_deadlines(jobs, settings, rng), settings, target.most_gpus, rng))


def _cut(row: TrainingRow, settings: TrainingSettings) -> float:
    return min(row.run_s, settings.walltimes_s[-1])


def _span(rows: Sequence[TrainingRow], duration_s: float, rng: Generator) -> list[TrainingRow]:
    """Jobs of a drawn span, times counted from its beginning.

    Raises:
        BadInput: If the log is shorter.
    """
    days = int((rows[-1].submit_s - duration_s) // DAY_S) + 1
    if days < 1:
        raise BadInput(f"the training log ends after {rows[-1].submit_s:.0f} s, before the {duration_s:.0f} s wanted")
    # A span with few jobs would repeat each of them many times over.
    starts = [DAY_S * day for day in range(days)]
    submits = np.array([row.submit_s for row in rows])
    counts = [int(((submits >= start) & (submits < start + duration_s)).sum()) for start in starts]
    dense = [start for start, count in zip(starts, counts, strict=True) if 2 * count >= max(counts)]
    begin = dense[int(rng.integers(len(dense)))]
    return [replace(r, submit_s=r.submit_s - begin) for r in rows if begin <= r.submit_s < begin + duration_s]


def _take(span: Sequence[TrainingRow], settings: TrainingSettings, target: Target, rng: Generator) -> list[TrainingRow]:
    """Steps 2 and 3.

    Raises:
        BadInput: If no job is small enough, or the target would repeat each too often.
    """
    rows = [replace(row, run_s=_cut(row, settings)) for row in span if row.gpus <= target.most_gpus]
    least = max(TOLERANCE * target.gpu_s, min((row.run_s * row.gpus for row in rows), default=0.0))
    chosen: list[TrainingRow] = []
    left = target.gpu_s
    for number in range(_MOST_ROUNDS):
        for index in rng.permutation(len(rows)):
            if left < least and chosen:
                return sorted(chosen)
            row = rows[index]
            if row.run_s * row.gpus <= left:
                chosen.append(_shifted(row, target.duration_s, rng) if number else row)
                left -= row.run_s * row.gpus
    raise BadInput(
        f"the training log's jobs, each taken up to {_MOST_ROUNDS} times, do not add up to {target.gpu_s / 3600:.1f} "
        f"GPU-hours; {left / 3600:.1f} are left"
    )


def _shifted(row: TrainingRow, duration_s: float, rng: Generator) -> TrainingRow:
    return replace(row, submit_s=(row.submit_s + rng.uniform(-DAY_S / 2, DAY_S / 2)) % duration_s)


def _job(row: TrainingRow, number: int, project: str, *, settings: TrainingSettings, rng: Generator) -> TrainingJob:
    weights = np.cumsum(1.0 / np.arange(1, settings.users_per_project + 1))
    user = int(np.searchsorted(weights, rng.uniform(0.0, weights[-1]), side="right"))
    return TrainingJob(
        name=f"train-{number:05d}",
        project=project,
        user=f"{project}-u{user}",
        submit_s=row.submit_s,
        run_s=row.run_s,
        gpus=row.gpus,
        min_gpus=row.gpus,
        max_gpus=row.gpus,
        step_gpus=1,
        exponent=1.0,
        walltime_s=next(limit for limit in settings.walltimes_s if row.run_s <= limit),
        deadline_s=None,
    )


def _with_deadlines(jobs: Sequence[TrainingJob], settings: TrainingSettings, rng: Generator) -> list[TrainingJob]:
    small = [index for index, job in enumerate(jobs) if job.gpus <= settings.finetune_most_gpus]
    drawn = set(rng.permutation(small)[: round(settings.finetune_share * len(small))].tolist())
    return [
        replace(job, deadline_s=job.submit_s + settings.deadline_factor * job.run_s) if index in drawn else job
        for index, job in enumerate(jobs)
    ]


def _with_elasticity(
    jobs: Sequence[TrainingJob], settings: TrainingSettings, most_gpus: int, rng: Generator
) -> list[TrainingJob]:
    """Make jobs with several GPUs elastic, in random order, until the share of their GPU-hours is reached."""
    several = [index for index, job in enumerate(jobs) if job.gpus > 1]
    left = settings.elastic_share * sum(jobs[index].work_gpu_s for index in several)
    changed = list(jobs)
    for index in rng.permutation(several).astype(int):
        if jobs[index].work_gpu_s <= left:
            left -= jobs[index].work_gpu_s
            curve = settings.scaling[int(rng.integers(len(settings.scaling)))]
            changed[index] = _elastic(jobs[index], curve, most_gpus)
    return changed


def _elastic(job: TrainingJob, curve: Scaling, most_gpus: int) -> TrainingJob:
    """Between half and twice its size, in steps of at most four GPUs that lead from half to its size and on."""
    least = (job.gpus + 1) // 2
    step = math.gcd(_MOST_STEP, job.gpus - least)
    most = min(2 * job.gpus, most_gpus)
    most -= (most - least) % step
    return replace(job, min_gpus=least, max_gpus=most, step_gpus=step, exponent=curve.exponent)
