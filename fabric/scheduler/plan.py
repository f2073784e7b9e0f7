"""The scheduler's answer for one cycle: what to place, who waits and why.

Knows nothing of how an action is carried out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fabric.core.resources import Resources
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
    promise: Promise | None = None
    """What is set aside for it; the expected start of work without a promise may be passed by others."""
    passed: int = 0
    """How many behind it start with this plan."""

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
        return "; ".join(parts) or "waits for its turn"


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in the order in which they were decided."""

    actions: tuple[Place | Wait, ...]

    @property
    def placed(self) -> tuple[Place, ...]:
        """Who starts."""
        return tuple(action for action in self.actions if isinstance(action, Place))

    @property
    def waits(self) -> tuple[Wait, ...]:
        """Who stays queued."""
        return tuple(action for action in self.actions if isinstance(action, Wait))
