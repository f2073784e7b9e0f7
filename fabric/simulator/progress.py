"""How far one workload's work has come, over attempts and resizes, and what of it is safe in a checkpoint.

Knows nothing of clusters or of why work starts, stops or changes its size.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fabric.core.errors import BadInput
from fabric.scheduler.snapshot import Told
from fabric.workloads.record import Grant

Ending = Literal["finished", "stopped", "removed", "lost", "resized", "open"]
"""How a stretch ended: by itself, after a notice, without one, with a node, at another size, or not yet."""


@dataclass(frozen=True, slots=True)
class Work:
    """How much there is to do, and how fast it goes."""

    amount: float
    """Units of work in all; a service has none that ends."""
    rate: Callable[[int, str], float]
    """Units per second of so many workers of the group on a tier."""
    group: str
    """Whose workers do it."""
    restart_s: float = 0.0
    """Seconds without progress after every start but the first, and after every resize."""
    period_s: float = math.inf
    """Seconds of progress between two checkpoints."""
    save_s: float = 0.0
    """Seconds without progress that saving takes when it is asked to leave or to shrink."""
    says_left: bool = False
    """Whether it tells how long it still needs."""

    def __post_init__(self) -> None:
        if not self.amount > 0 or not self.period_s > 0 or min(self.restart_s, self.save_s) < 0:
            raise BadInput(
                f"work needs an amount and a checkpoint period above 0 and costs that are not negative, got "
                f"{self.amount:g}, {self.period_s:g} s, restart {self.restart_s:g} s, save {self.save_s:g} s"
            )

    def pace(self, grant: Grant) -> float:
        """Units per second with a grant; a gang over several tiers goes at the pace of the slowest.

        Raises:
            BadInput: If it would not move at all.
        """
        workers = grant.size(self.group)
        tiers = sorted({part.tier for part in grant.slices if part.group == self.group})
        pace = min((self.rate(workers, tier) for tier in tiers), default=0.0)
        if not 0 < pace < math.inf:
            raise BadInput(f"{workers} workers of group {self.group} on {', '.join(tiers) or 'no tier'} do nothing")
        return pace


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which work held the same grant; seconds since the epoch of the simulated world."""

    attempt: int
    grant: Grant
    start_s: float
    end_s: float
    rate: float
    """Units per second."""
    overhead_s: float
    """Without progress: staging and restart at its beginning, saving at its end."""
    lost_s: float
    """Progress at its end that no checkpoint holds."""
    ended: Ending


class Progress:
    """One workload's work; changes as it goes on."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.kept = 0.0
        """Units that are safe."""
        self.stretches: list[Stretch] = []
        self.attempt = 1
        """Number of the present one."""
        self._saves_since: float | None = None
        self._grant: Grant | None = None
        self._since = self._from = 0.0
        self._rate = 1.0
        self._saved: float | None = None

    @property
    def runs(self) -> bool:
        """Whether a stretch is under way."""
        return self._grant is not None

    def begin(self, grant: Grant, now: float, *, idle_s: float) -> None:
        """Hold a grant from now on, and work after `idle_s` seconds."""
        self._rate = self.work.pace(grant)
        self._grant, self._since, self._from = grant, now, now + idle_s
        self._saves_since = None
        # What it goes on from is a checkpoint; before the first there is none.
        self._saved = self._from if self.kept else None

    def ends_at(self) -> float:
        """When it will have done everything, if nothing happens to it."""
        return self._from + (self.work.amount - self.kept) / self._rate

    def save(self, now: float) -> None:
        """Work no more and save, unless it does so already."""
        if self._saves_since is None:
            self._saves_since = now

    def saved_at(self) -> float:
        """When what it saves is safe; infinite if it does not save."""
        return math.inf if self._saves_since is None else self._saves_since + self.work.save_s

    def done(self, now: float) -> float:
        """Units done, safe or not."""
        return min(self.work.amount, self.kept + self._rate * self._worked_s(now))

    def next_checkpoint(self, now: float) -> float:
        """When the next one is written, after `now`; infinite if none is before the end."""
        if self._saves_since is not None or math.isinf(self.work.period_s):
            return math.inf
        at = self._from + (math.floor(max(0.0, now - self._from) / self.work.period_s) + 1) * self.work.period_s
        # The quotient may be rounded down to the period that ends at this very instant.
        at += self.work.period_s if at <= now else 0.0
        return at if at < self.ends_at() else math.inf

    def told(self, now: float, workers: int) -> Told:
        """What it says of itself."""
        left_s = max(0.0, self.ends_at() - now) if self.work.says_left else None
        return Told(self.attempt, self._last_saved(now), self.work.save_s, left_s, workers)

    def close(self, now: float, ended: Ending, *, saved: bool) -> Stretch:
        """End the stretch; what ends without saving falls back to its last checkpoint.

        Args:
            now: Seconds.
            ended: Why.
            saved: Whether all that was done is safe.

        Raises:
            ValueError: If there is none.
        """
        if self._grant is None:
            raise ValueError("no stretch is under way")
        worked_s = self._worked_s(now)
        lost_s = 0.0
        if not saved:
            safe = self._last_saved(now)
            lost_s = worked_s if safe is None else worked_s - max(0.0, safe - self._from)
        self.kept = self.work.amount if ended == "finished" else self.kept + self._rate * (worked_s - lost_s)
        overhead_s = (now - self._since) - worked_s
        stretch = Stretch(
            self.attempt, self._grant, self._since, now, self._rate,
            overhead_s=max(0.0, overhead_s), lost_s=lost_s, ended=ended,
        )  # fmt: skip
        self._grant, self._saves_since = None, None
        self.stretches.append(stretch)
        return stretch

    def _worked_s(self, now: float) -> float:
        until = now if self._saves_since is None else min(now, self._saves_since)
        return max(0.0, until - self._from)

    def _last_saved(self, now: float) -> float | None:
        """Instant of the last checkpoint."""
        if self._saves_since is not None and now >= self.saved_at():
            return max(self._from, self._saves_since)
        periods = 0 if math.isinf(self.work.period_s) else math.floor(self._worked_s(now) / self.work.period_s)
        return self._from + periods * self.work.period_s if periods else self._saved
