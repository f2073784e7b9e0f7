"""How true a simulated run is to the recorded one: the order of starts, their errors, and how promises were kept live.

Knows nothing of how either run was made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from fabric.scheduler.punctuality import KEPT_WITHIN_S
from fabric.simulator.recorded import RecordedRun, attempts_of
from fabric.simulator.report import Start

BEAT_S = KEPT_WITHIN_S
"""Seconds between two looks of a calm live loop. Starts that are no further apart are a tie, and no wait counts for
less."""


@dataclass(frozen=True, slots=True)
class StartPair:
    """The start (the grant) of one attempt, live and simulated; seconds from the first submission."""

    workload: str
    attempt: int
    queued_s: float
    """When it began to wait, live."""
    live_s: float
    simulated_s: float

    @property
    def wait_s(self) -> float:
        """Live wait."""
        return self.live_s - self.queued_s

    @property
    def error(self) -> float:
        """How far apart the starts are, as a share of the live wait, or of a beat where the wait was shorter."""
        return abs(self.simulated_s - self.live_s) / max(self.wait_s, BEAT_S)


@dataclass(frozen=True, slots=True)
class Truth:
    """What a comparison came to."""

    pairs: tuple[StartPair, ...]
    """By live start."""
    unmatched: tuple[tuple[str, int], ...]
    """Workload and attempt of starts that only one of the runs has."""

    @property
    def swapped(self) -> tuple[tuple[StartPair, StartPair], ...]:
        """Pairs whose second started more than a beat after the first live, and before it in the simulation."""
        return tuple(
            (first, second)
            for number, first in enumerate(self.pairs)
            for second in self.pairs[number + 1 :]
            if second.live_s - first.live_s > BEAT_S and second.simulated_s < first.simulated_s
        )

    @property
    def median_error(self) -> float:
        """Median of the errors of all starts that both have; infinite if they have none."""
        return median(pair.error for pair in self.pairs) if self.pairs else float("inf")


def compare(run: RecordedRun, starts: Sequence[Start]) -> Truth:
    """Compare a recorded run with the starts of a simulated one.

    Args:
        run: What was recorded.
        starts: Of the simulation, in seconds from the first submission.
    """
    live = {(a.workload, a.number): a for work in run.workloads for a in attempts_of(work)}
    simulated = {(start.workload, start.attempt): start.at_s for start in starts}
    pairs = (
        StartPair(*key, live[key].queued - run.began, live[key].granted - run.began, simulated[key])
        for key in live.keys() & simulated.keys()
    )
    ordered = sorted(pairs, key=lambda pair: (pair.live_s, pair.workload, pair.attempt))
    return Truth(tuple(ordered), tuple(sorted(live.keys() ^ simulated.keys())))


@dataclass(frozen=True, slots=True)
class LivePromise:
    """A promise to the last attempt of a workload, and what became of it."""

    workload: str
    late_s: float
    """Actual start minus first promise, in seconds; below zero is earlier."""
    passed_by: tuple[str, ...]
    """More urgent work that came while it waited; a promise does not hold against that."""


def promises_of(run: RecordedRun) -> tuple[LivePromise, ...]:
    """How the promises of a recorded run were kept, by name of the workload."""
    found = []
    for work in sorted(run.workloads, key=lambda work: work.view.name):
        attempts, promised = attempts_of(work), work.view.promised_start
        if not attempts or promised is None:
            continue
        last = attempts[-1]
        urgent = (
            other.view.name
            for other in run.workloads
            if other.spec.priority.rank < work.spec.priority.rank
            and last.queued < other.view.submitted_at <= last.granted
        )
        found.append(LivePromise(work.view.name, last.granted - promised, tuple(sorted(urgent))))
    return tuple(found)
