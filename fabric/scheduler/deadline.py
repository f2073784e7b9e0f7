"""Admit work with a deadline if it can be met, or say by when it could be done.

Knows nothing of nodes: callers say when how many slots are free, or when a gang of a given size could start.

Elastic work gets its minimum satisfactory share: the smallest size, held as far as capacity allows, that ends in time.
It is admitted only if everyone admitted before still ends in time, earliest deadline first. Both ideas are
ElasticFlow's (ASPLOS'23); here sizes are those of the gang and a change of size costs a restart.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from fabric.core.errors import BadInput
from fabric.scheduler.elastic import Curve


@dataclass(frozen=True, slots=True)
class Meets:
    """The deadline can be met."""

    workload: str
    workers: int
    start_s: float
    """In seconds since the epoch, like the others."""
    end_s: float
    deadline_s: float

    @property
    def reason(self) -> str:
        """One line for people."""
        slack_s = self.deadline_s - self.end_s
        return f"{self.workload} ends {slack_s:.0f} s before its deadline with {self.workers} workers"


@dataclass(frozen=True, slots=True)
class Misses:
    """The deadline cannot be met."""

    workload: str
    end_s: float | None
    """By when it could be done; None if nothing says that it ever could."""
    deadline_s: float
    workers: int = 0
    """With which it would be done then."""
    breaks: tuple[str, ...] = ()
    """Admitted work that would miss its own deadline for it."""

    @property
    def reason(self) -> str:
        """One line for people."""
        why = f"would make {', '.join(self.breaks)} late" if self.breaks else "cannot end before its deadline"
        if self.end_s is None:
            return f"{self.workload} {why}, and nothing says when it could"
        late_s = self.end_s - self.deadline_s
        when = f"{abs(late_s):.0f} s {'after' if late_s > 0 else 'before'} its deadline"
        return f"{self.workload} {why}; in what is left it could end {when}, with {self.workers} workers"


def admit_gang(
    workload: str,
    deadline_s: float,
    sizes: Sequence[int],
    *,
    earliest_start: Callable[[int, float], float | None],
    duration_s: Callable[[int], float],
) -> Meets | Misses:
    """The smallest size of a gang that ends in time when it starts as early as it can and keeps that size.

    Args:
        workload: Name.
        deadline_s: Seconds since the epoch.
        sizes: Numbers of workers it may have; one for a rigid gang.
        earliest_start: First instant at which so many workers are free for so many seconds; None if never.
        duration_s: Seconds a run of so many workers takes, its safe end and staging included.

    Raises:
        BadInput: If there is no size.
    """
    if not sizes:
        raise BadInput(f"{workload}: a gang with a deadline needs a number of workers")
    best: tuple[float, int] | None = None
    for workers in sorted(sizes):
        length_s = duration_s(workers)
        start_s = earliest_start(workers, length_s)
        if start_s is None:
            continue
        if start_s + length_s <= deadline_s:
            return Meets(workload, workers, start_s, start_s + length_s, deadline_s)
        best = min(best or (math.inf, workers), (start_s + length_s, workers))
    if best is None:
        return Misses(workload, None, deadline_s)
    return Misses(workload, best[0], deadline_s, best[1])


@dataclass(frozen=True, slots=True)
class Free:
    """Free slots as a step function of time; the last step has no end."""

    starts_s: tuple[float, ...]
    """Rising instants in seconds since the epoch."""
    slots: tuple[int, ...]

    def __post_init__(self) -> None:
        rises = all(before < after for before, after in pairwise(self.starts_s))
        if not self.starts_s or len(self.starts_s) != len(self.slots) or not rises or min(self.slots) < 0:
            raise BadInput(f"free slots need rising instants and a count for each, got {self.starts_s}, {self.slots}")

    def at(self, instant_s: float) -> int:
        """Slots free at an instant; none before the first step."""
        number = bisect_right(self.starts_s, instant_s) - 1
        return self.slots[number] if number >= 0 else 0

    def less(self, spans: Sequence["Span"]) -> "Free":
        """What is left when `spans` are taken.

        Raises:
            BadInput: If more is taken than is free.
        """
        edges = sorted({*self.starts_s, *(span.from_s for span in spans), *(span.to_s for span in spans)})
        taken = (sum(span.slots for span in spans if span.from_s <= edge < span.to_s) for edge in edges)
        return Free(tuple(edges), tuple(self.at(edge) - some for edge, some in zip(edges, taken, strict=True)))


@dataclass(frozen=True, slots=True)
class Span:
    """So many slots from one instant to another."""

    from_s: float
    to_s: float
    slots: int


@dataclass(frozen=True, slots=True)
class DeadlineJob:
    """Elastic work that must be done by an instant."""

    name: str
    deadline_s: float
    sizes: tuple[int, ...]
    """Numbers of workers it may have, rising."""
    remaining: float
    """Work left, in the units of `curve`."""
    restart_s: float
    """Seconds without progress at its start and at every change of size."""
    slots_per_worker: int = 1
    curve: Curve = field(default=Curve())

    def __post_init__(self) -> None:
        if not self.sizes or self.sizes[0] < 1 or list(self.sizes) != sorted(set(self.sizes)):
            raise BadInput(f"{self.name}: sizes must rise from at least 1 worker, got {self.sizes}")
        if not (0 < self.remaining < math.inf and 0 <= self.restart_s < math.inf and self.slots_per_worker >= 1):
            raise BadInput(f"{self.name}: work must be left, and restart cost and slots per worker must make sense")


@dataclass(frozen=True, slots=True)
class Share:
    """What a job holds until it is done."""

    workers: int
    """Most workers at any time."""
    spans: tuple[Span, ...]

    @property
    def end_s(self) -> float:
        """When it is done, in seconds since the epoch."""
        return self.spans[-1].to_s


def minimum_share(job: DeadlineJob, free: Free, now: float) -> Share | None:
    """The smallest size, held as far as `free` allows, with which the job is done by its deadline; None if none is.

    Where less is free it goes on with the largest size that fits, or pauses.
    """
    shares = (_run(job, workers, free, now) for workers in job.sizes)
    return next((share for share in shares if share and share.end_s <= job.deadline_s), None)


def admit(job: DeadlineJob, admitted: Sequence[DeadlineJob], free: Free, now: float) -> Meets | Misses:
    """Admit a job if it and everyone admitted before can end in time, earliest deadline first.

    Args:
        job: Who asks.
        admitted: Who has been promised their deadline, with what is left of their work.
        free: Slots that deadline work may use, over time.
        now: Seconds since the epoch.

    Returns:
        Whether it meets its deadline; if not, by when it could be done with what the others leave.
    """
    shares = minimum_shares([*admitted, job], free, now)
    share = shares[job.name]
    # Who could not be served without the job either is not late because of it.
    before = minimum_shares(admitted, free, now)
    breaks = tuple(sorted(other.name for other in admitted if before[other.name] and not shares[other.name]))
    if share and not breaks:
        return Meets(job.name, share.workers, share.spans[0].from_s, share.end_s, job.deadline_s)
    left = free.less([span for other in before.values() if other for span in other.spans])
    runs = [run for workers in job.sizes if (run := _run(job, workers, left, now))]
    if not runs:
        return Misses(job.name, None, job.deadline_s, breaks=breaks)
    best = min(runs, key=lambda run: (run.end_s, run.workers))
    return Misses(job.name, best.end_s, job.deadline_s, best.workers, breaks)


def minimum_shares(jobs: Sequence[DeadlineJob], free: Free, now: float) -> dict[str, Share | None]:
    """Shares of all jobs by name, earliest deadline first, each from what those before it leave."""
    shares: dict[str, Share | None] = {}
    for job in sorted(jobs, key=lambda one: (one.deadline_s, one.name)):
        share = minimum_share(job, free, now)
        shares[job.name] = share
        free = free.less(share.spans) if share else free
    return shares


def _run(job: DeadlineJob, most: int, free: Free, now: float) -> Share | None:
    """Run with at most so many workers from now on, as far as slots are free; None if it would never end."""
    left, size, ready_s, spans = job.remaining, 0, now, list[Span]()
    edges = [now, *(start for start in free.starts_s if start > now), math.inf]
    for from_s, to_s in pairwise(edges):
        fitting = [n for n in job.sizes if n <= most and n * job.slots_per_worker <= free.at(from_s)]
        if not fitting:
            size = 0
            continue
        if fitting[-1] != size:
            size, ready_s = fitting[-1], from_s + job.restart_s
        rate, works_from_s = job.curve.rate(size), max(from_s, ready_s)
        end_s = works_from_s + left / rate
        spans.append(Span(from_s, min(end_s, to_s), size * job.slots_per_worker))
        if end_s <= to_s:
            return Share(max(span.slots for span in spans) // job.slots_per_worker, tuple(spans))
        left -= rate * max(0.0, to_s - works_from_s)
    return None
