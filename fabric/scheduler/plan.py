"""The scheduler's answer for one cycle: what to place, who waits and why.

Knows nothing of how an action is carried out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fabric.core.resources import Resources
from fabric.scheduler.columns import Slot
from fabric.scheduler.snapshot import Promise
from fabric.workloads.record import Grant

MOST_NAMED = 5
"""Workloads that an answer names as being ahead; the others are counted."""


@dataclass(frozen=True, slots=True)
class Place:
    """Give `workload` the slices of `grant`, all of them together."""

    workload: str
    grant: Grant


@dataclass(frozen=True, slots=True)
class Preempt:
    """Ask `workload` to save its state and leave; it is queued again."""

    workload: str
    grace_s: float
    """Seconds from the notice to the kill."""
    reason: str
    """For whom, and what it costs."""


@dataclass(frozen=True, slots=True)
class Resize:
    """Let `workload` go on with another grant: the same slices and more, or fewer of them."""

    workload: str
    before: int
    """Workers of the elastic group."""
    after: int
    grant: Grant
    """All that it holds then."""
    grace_s: float
    """Seconds that it has to let go of what it gives back; nothing when it grows."""
    reason: str


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What one group lacks on one tier (or on any tier, where it named none)."""

    group: str
    tier: str | None
    asked: Resources
    """Of each worker."""
    workers: int
    """Workers of the group."""
    fitting: int
    """How many of them fit now."""
    missing: Resources
    """Free amounts of the tier subtracted from what all workers ask; zero if only fragmentation is in the way."""

    def __str__(self) -> str:
        where = f"tier {self.tier}" if self.tier else "any tier"
        lack = f"{self.missing} short" if self.missing else "free amounts are scattered over nodes"
        fit = f"{self.fitting} of {self.workers} workers ({self.asked} each) fit on {where} now"
        return f"group {self.group}: {fit}, {lack}"


@dataclass(frozen=True, slots=True)
class Wait:
    """Keep `workload` queued, and say why."""

    workload: str
    shortfalls: Sequence[Shortfall] = ()
    """Empty where it waits only for its turn or for other jobs; reckoned when somebody looks."""
    ahead: tuple[str, ...] = ()
    """The first of the waiting workloads that come first on the tiers it needs."""
    num_ahead: int = 0
    """How many they are."""
    after: tuple[str, ...] = ()
    """Jobs it depends on that have not succeeded yet."""
    expected_start: float | None = None
    """Earliest start in seconds since the epoch that the walltimes allow; None where nothing says."""
    note: str = ""
    """What else is in the way (a project's limit), or is done about it (who makes room)."""
    promised: bool = False
    """Whether the expected start is set aside for it, so that nobody may delay it."""

    @property
    def reason(self) -> str:
        """One line for people."""
        parts = []
        if self.after:
            parts.append(f"comes after {', '.join(self.after)}")
        parts += [str(shortfall) for shortfall in self.shortfalls]
        if self.ahead:
            more = self.num_ahead - len(self.ahead)
            parts.append(f"behind {', '.join(self.ahead)}" + (f" and {more} more" if more else ""))
        if self.note:
            parts.append(self.note)
        return "; ".join(parts) or "waits for its turn"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What is kept for a service, which lends it until it needs it again."""

    service: str
    replicas: int
    """How many are kept for."""
    start: float
    """When it has them back, so that they are ready in time; seconds since the epoch."""
    slots: tuple[Slot, ...]
    """Where."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows for each waiting workload, in the order in which it was decided."""

    placed: tuple[Place, ...] = ()
    """Who starts."""
    preempted: tuple[Preempt, ...] = ()
    """Who leaves for somebody else."""
    resized: tuple[Resize, ...] = ()
    """Who grows or shrinks."""
    waits: Sequence[Wait] = ()
    """Who stays queued and why; an answer is worked out when somebody looks."""
    promises: Mapping[str, Promise] = field(default_factory=dict)
    """What is set aside, by name of who waits for it."""
    look_at: float | None = None
    """When it should be decided again even if nothing happens: a service will need more, or who grew must give back in
    time for a promise."""
    passed: Mapping[str, int] = field(default_factory=dict)
    """By how many that start each one that waits is passed, where it is by any."""
    foreseen: tuple[Foreseen, ...] = field(default=(), compare=False)
    """What is kept for services by their forecasts; it follows from what was seen and is in no replay."""

    @property
    def actions(self) -> tuple[Place | Preempt | Resize | Wait, ...]:
        """Everything that follows, those who wait last."""
        return (*self.placed, *self.preempted, *self.resized, *self.waits)
