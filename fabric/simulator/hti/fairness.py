"""Whether tenants got what they were promised: finish-time fairness, and the guaranteed share over any day.

Knows nothing of how shares are enforced.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from fabric.simulator.hti.jobs import Project
from fabric.simulator.hti.logs import JobLog, RunLog
from fabric.simulator.hti.metrics import completion_s
from fabric.simulator.hti.replica import Floats

CELL_S = 300.0
"""Length of a cell, in seconds, within which demand and use are averaged."""
SHARE_SPAN_S = 86400.0
"""Span over which a tenant's share is looked at. Source: the benchmark's goals."""
LEAST_ENTITLED_GPU_S = 24 * 3600.0
"""Spans in which a tenant was entitled to less say nothing: on average less than one accelerator."""


def finish_time_rho(run: RunLog, *, reference_gpus: float) -> dict[str, float]:
    """Completion time of each job over what an equal split of the accelerators would have given it.

    With demand for D accelerators and A of them there, an equal split slows everyone by max(1, D/A); a job's fair time
    is its run time times the mean of that over its life. A value of at most one says that sharing cost it nothing.

    Args:
        run: Its records; A is what serving needs, taken from the site.
        reference_gpus: Accelerators of the site, those of slower tiers counted by their speed.

    Source:
        Finish-time fairness of Themis (NSDI'20), in the form that Sia's simulator uses: isolated run time times the
        average contention.
    """
    cells = _cells(run)
    demand = _averaged(((j.submit_s, _end(j, run), float(j.gpus)) for j in run.jobs), cells)
    crowding = np.maximum(1.0, demand / np.maximum(_left_gpus(run, reference_gpus, cells), 1e-9))
    summed = np.concatenate([[0.0], np.cumsum(crowding)]) * CELL_S
    edges = CELL_S * np.arange(cells + 1)

    def mean(start_s: float, end_s: float) -> float:
        if end_s <= start_s:
            return 1.0
        first, last = np.interp([start_s, end_s], edges, summed)
        return float(last - first) / (end_s - start_s)

    return {
        job.name: completion_s(job, run.ended_s) / (job.run_s * mean(job.submit_s, _end(job, run))) for job in run.jobs
    }


def rho_p95(run: RunLog, *, reference_gpus: float) -> float:
    """The 95th percentile of `finish_time_rho`; not-a-number without jobs."""
    values = list(finish_time_rho(run, reference_gpus=reference_gpus).values())
    return float(np.quantile(values, 0.95)) if values else float("nan")


def least_shares(run: RunLog, projects: Sequence[Project], *, reference_gpus: float) -> dict[str, float]:
    """For each project the worst day: what it used over what it was entitled to, in any 24 hours of the benchmark.

    Entitled is, cell by cell, the lesser of its guaranteed part of what serving leaves and what its jobs asked for. A
    project that never asked for an accelerator on average has no entry.

    Args:
        run: Its records.
        projects: With their guaranteed shares.
        reference_gpus: Accelerators of the site, those of slower tiers counted by their speed.
    """
    cells = int(run.duration_s // CELL_S)
    left = _left_gpus(run, reference_gpus, cells)
    return {
        project.name: worst for project in projects if (worst := _least(run, project, left, cells=cells)) is not None
    }


def _least(run: RunLog, project: Project, left: Floats, *, cells: int) -> float | None:
    jobs = [job for job in run.jobs if job.project == project.name]
    demand = _averaged(((j.submit_s, _end(j, run), float(j.gpus)) for j in jobs), cells)
    used = _averaged(((p.start_s, p.end_s, p.gpus * p.speed) for j in jobs for p in j.segments), cells)
    entitled_s = _sliding(np.minimum(project.share * left, demand))
    used_s = _sliding(used)
    counted = entitled_s >= LEAST_ENTITLED_GPU_S
    return float((used_s[counted] / entitled_s[counted]).min()) if counted.any() else None


def _sliding(per_cell: Floats) -> Floats:
    """GPU-seconds in every span of a day, or in all of a shorter run."""
    width = min(len(per_cell), round(SHARE_SPAN_S / CELL_S))
    summed = np.concatenate([[0.0], np.cumsum(per_cell)]) * CELL_S
    spans: Floats = summed[width:] - summed[:-width]
    return spans


def _cells(run: RunLog) -> int:
    return int(np.ceil(max(run.ended_s, run.duration_s) / CELL_S)) + 1


def _end(job: JobLog, run: RunLog) -> float:
    return job.ended_s if job.ended_s is not None else run.ended_s


def _left_gpus(run: RunLog, reference_gpus: float, cells: int) -> Floats:
    """What serving's need leaves in each cell; all of it after the last window."""
    needs = ((w.start_s, w.start_s + w.length_s, w.needed_gpus) for w in run.windows)
    left: Floats = np.maximum(0.0, reference_gpus - _averaged(needs, cells))
    return left


def _averaged(stretches: Iterable[tuple[float, float, float]], cells: int) -> Floats:
    """Sum of amounts that are there from a start to an end, averaged over each cell."""
    found = np.array(list(stretches), dtype=np.float64).reshape(-1, 3)
    starts, ends, amounts = found.T
    edges = CELL_S * np.arange(cells + 1)
    order_s, order_e = np.argsort(starts), np.argsort(ends)
    grown = _grown(edges, starts[order_s], amounts[order_s]) - _grown(edges, ends[order_e], amounts[order_e])
    return np.diff(grown) / CELL_S


def _grown(edges: Floats, instants: Floats, amounts: Floats) -> Floats:
    """For each edge the sum of amount times the time since its instant, over all instants before."""
    passed = np.searchsorted(instants, edges, side="right")
    amount = np.concatenate([[0.0], np.cumsum(amounts)])[passed]
    weighted = np.concatenate([[0.0], np.cumsum(amounts * instants)])[passed]
    grown: Floats = amount * edges - weighted
    return grown
