"""Data preparation drawn from batch logs until it fills its part of the CPU tier.

Knows nothing of GPUs.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.random import Generator

from fabric.core.errors import BadInput
from fabric.simulator.hti.jobs import CpuJob
from fabric.simulator.hti.settings import CpuSettings
from fabric.simulator.hti.traces.swf import CpuRow
from fabric.simulator.hti.training import DAY_S, TOLERANCE

_MOST_SPANS = 200


def draw_cpu_work(
    logs: Mapping[str, Sequence[CpuRow]], settings: CpuSettings, rng: Generator, *, core_s: float, duration_s: float
) -> tuple[CpuJob, ...]:
    """Jobs in the order of submission, half of the core-seconds from each of two logs (in general an equal part).

    Of each log, spans of whole days as long as the benchmark are drawn and laid over each other, each with its jobs in
    random order, until the part is full; a job too large for what is left is passed over. No run is longer than the
    benchmark: longer ones are cut.

    Args:
        logs: Batch logs by name.
        settings: Size of a worker.
        rng: Of chance.
        core_s: Core-seconds wanted together.
        duration_s: Length over which they arrive.

    Raises:
        BadInput: If the spans of a log have too little work.
    """
    found: list[CpuJob] = []
    for name in sorted(logs):
        found += _of_log(name, logs[name], settings, rng, core_s=core_s / len(logs), duration_s=duration_s)
    return tuple(sorted(found, key=lambda job: (job.submit_s, job.name)))


def _of_log(
    log: str, rows: Sequence[CpuRow], settings: CpuSettings, rng: Generator, *, core_s: float, duration_s: float
) -> list[CpuJob]:
    """One log's part.

    Raises:
        BadInput: If its spans have too little work.
    """
    submits = np.array([row.submit_s for row in rows])
    days = max(1, int((submits[-1] - duration_s) // DAY_S) + 1)
    chosen: list[CpuJob] = []
    left = core_s
    for _ in range(_MOST_SPANS):
        begin = DAY_S * int(rng.integers(days))
        first, end = np.searchsorted(submits, (begin, begin + duration_s))
        for index in rng.permutation(np.arange(first, end)):
            if left <= TOLERANCE * core_s:
                return chosen
            job = _job(log, rows[index], len(chosen), settings, begin=begin, duration_s=duration_s)
            if _core_s(job) <= left:
                chosen.append(job)
                left -= _core_s(job)
    raise BadInput(f"log {log}: {_MOST_SPANS} spans do not add up to {core_s / 3600:.0f} core-hours")


def _job(log: str, row: CpuRow, number: int, settings: CpuSettings, *, begin: float, duration_s: float) -> CpuJob:
    return CpuJob(
        name=f"{log}-{number:05d}",
        user=f"{log}-u{row.user}",
        submit_s=row.submit_s - begin,
        run_s=min(row.run_s, duration_s),
        walltime_s=min(row.requested_s, duration_s),
        workers=row.processors,
        cores_per_worker=settings.cores_per_processor,
    )


def _core_s(job: CpuJob) -> float:
    return job.run_s * job.workers * job.cores_per_worker
