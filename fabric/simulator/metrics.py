"""What is said of a finished run: waits, bounded slowdowns, utilisation.

Knows nothing of how the run came about.
"""

from collections.abc import Sequence
from dataclasses import dataclass

TAU_S = 10.0
"""Shortest run time by which a slowdown is divided, in seconds (Feitelson; the published results use 10)."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One job that ran to its end; all in seconds."""

    number: int
    submit_s: float
    start_s: float
    run_s: float
    processors: int

    @property
    def wait_s(self) -> float:
        """From submission to start."""
        return self.start_s - self.submit_s

    @property
    def bounded_slowdown(self) -> float:
        """Time in the system over run time, with short runs counted as `TAU_S`; at least 1."""
        return max(1.0, (self.wait_s + self.run_s) / max(self.run_s, TAU_S))


def average_bounded_slowdown(jobs: Sequence[Ran]) -> float:
    """The mean over all jobs; nothing is cut at the beginning."""
    return sum(job.bounded_slowdown for job in jobs) / len(jobs)


def mean_wait_s(jobs: Sequence[Ran]) -> float:
    """The mean wait in seconds."""
    return sum(job.wait_s for job in jobs) / len(jobs)


def utilisation(jobs: Sequence[Ran], processors: int) -> float:
    """Share of the machine that worked, from the first submission to the last end."""
    return _share(jobs, processors, max(job.start_s + job.run_s for job in jobs))


def utilisation_to_last_start(jobs: Sequence[Ran], processors: int) -> float:
    """Share of the machine from the first submission to the last start, as RLScheduler (SC'20) reckons it."""
    return _share(jobs, processors, max(job.start_s for job in jobs))


def _share(jobs: Sequence[Ran], processors: int, until_s: float) -> float:
    worked = sum(job.run_s * job.processors for job in jobs)
    return worked / (processors * (until_s - min(job.submit_s for job in jobs)))
