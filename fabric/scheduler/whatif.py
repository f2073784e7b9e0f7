"""What a decision tries out: who starts, who is promised a start, and what that leaves for the others.

Knows nothing of the order in which it is asked. It is private to one decision and thrown away with it.
"""

import math
from collections import Counter
from collections.abc import Iterable

from fabric.scheduler.columns import CPUS, GPUS, MEMORY, Tiers, subtract
from fabric.scheduler.placement import Attempt, grant_of, place
from fabric.scheduler.plan import Place
from fabric.scheduler.policy import Policy
from fabric.scheduler.profile import OVERDUE_S, Profile
from fabric.scheduler.shape import Shape, head_part
from fabric.scheduler.snapshot import Promise, Snapshot, Waiting


class WhatIf:
    """The profile with the consequences of what was decided so far."""

    def __init__(self, snapshot: Snapshot, policy: Policy, now: float) -> None:
        self.now = now
        self.profile = Profile(snapshot, now)
        self.idle = snapshot.idle.copy()
        """What nobody holds once everybody of this plan has started; promises leave it as it is."""
        self.placed: dict[str, Place] = {}
        self.promises: dict[str, Promise] = {}
        self.closed: set[str] = set()
        """Tiers that somebody waits for of whom nobody can say when he starts."""
        self._site, self._policy = snapshot.site, policy
        self._head = head_part(snapshot.head)
        self._heads = snapshot.site.head_tiers if self._head else ()
        self._protected: Counter[str] = Counter()
        self._full: dict[tuple[str | None, ...], tuple[bool, bool]] = {}
        self._failed: dict[Shape, tuple[float, Tiers]] = {}

    def start(self, work: Waiting) -> bool:
        """Let `work` start now if it fits until its end and delays no promise."""
        end = self.now + work.duration_s
        if not self._may_fit(work.shape, end):
            return False
        attempt = place(work.shape, self.profile.room(end), self._site, self._head)
        if attempt.lacks:
            self._failed[work.shape] = (self.profile.last_fall(end), self._tiers_of(attempt))
            return False
        slots = attempt.slots
        self.profile.start(slots, end)
        subtract(self.idle, slots)
        self.placed[work.name] = Place(work.name, grant_of(attempt, self._site))
        return True

    def may_pass(self, work: Waiting) -> bool:
        """Whether one of the tiers that `work` may use has as many promises as may be made."""
        return self._fullness(work.shape)[0]

    def unprotected(self, work: Waiting) -> bool:
        """Whether work that could not start lacks a tier on which another promise may be made."""
        if self._fullness(work.shape)[1]:
            return False
        return any(self._protected[tier] < self._policy.protected for tier in self._lacking(work))

    def promise(self, work: Waiting) -> None:
        """Set aside what `work` needs at its earliest start.

        Where nobody can say when (it waits for work without an end), it gets no promise, and work without an end may
        not settle on what it lacks. Work that ends may pass it, at most `max_passed` times; then nobody may.
        """
        lacking = self._lacking(work)
        found = self.profile.earliest_start(work.shape, work.duration_s, self._policy.horizon_s)
        kept = work.promise if self._policy.protected > 1 else None
        self._protected.update(lacking)
        self._full.clear()
        if kept and (found is None or found[0] > kept.start) and self._lay_down(work, kept):
            return
        if found is None:
            self._settle_nobody(work, lacking)
            return
        start, attempt = found
        if self._policy.sticky and work.promise:
            start = work.promise.start
        self.promises[work.name] = Promise(start, attempt.slots)
        if self._policy.backfill_rule == "strict-shadow":
            # A candidate must end before the promise, not at it.
            self.profile.close(self._site.tiers, (), math.nextafter(start, -math.inf))
        else:
            self.profile.promise(attempt.slots, start, start + work.duration_s)

    def keep(self, works: Iterable[Waiting]) -> None:
        """Lay down what earlier plans set aside, as far as it is still possible."""
        for work in works:
            if work.promise:
                self._lay_down(work, work.promise)

    def reconsider(self, work: Waiting) -> None:
        """Take back what is kept for `work`, which is about to get something at least as good."""
        kept = self.promises.pop(work.name, None)
        if kept:
            self.profile.withdraw(kept.slots, kept.start, kept.start + work.duration_s)
            self._failed.clear()

    def expect(self, work: Waiting) -> float | None:
        """When `work` should start if the order is kept; what it needs is set aside for those behind it."""
        if self.closed.intersection(self.touched(work.shape)):
            return None
        found = self.profile.earliest_start(work.shape, work.duration_s, self._policy.horizon_s)
        if found is None:
            self.closed.update(self._lacking(work))
            return None
        start, attempt = found
        self.profile.promise(attempt.slots, start, start + work.duration_s)
        return start

    def touched(self, shape: Shape) -> Tiers:
        """The tiers that a gang may use, for its workers or for its head."""
        return (*self._site.wishes(shape.tiers), *self._heads)

    def _fullness(self, shape: Shape) -> tuple[bool, bool]:
        """Whether any of the tiers that a gang may use has as many promises as may be made, and whether all have."""
        found = self._full.get(shape.tiers)
        if found is None:
            full = [self._protected[tier] >= self._policy.protected for tier in self.touched(shape)]
            found = self._full[shape.tiers] = (any(full), all(full))
        return found

    def _may_fit(self, shape: Shape, end: float) -> bool:
        """Whether trying is not in vain: the sums suffice, and no equal shape failed with as much room."""
        total, most = shape.total, self.profile.total(self.now)
        if total[CPUS] > most[CPUS] or total[GPUS] > most[GPUS] or total[MEMORY] > most[MEMORY]:
            return False
        most = self.profile.total(end)
        if total[CPUS] > most[CPUS] or total[GPUS] > most[GPUS] or total[MEMORY] > most[MEMORY]:
            return False
        failed = self._failed.get(shape)
        return failed is None or self.profile.last_fall(end) < failed[0]

    def _lacking(self, work: Waiting) -> Tiers:
        """The tiers on which something is in the way of `work`."""
        if len(self._site.tiers) == 1:
            return self._site.tiers
        end = self.now + work.duration_s
        failed = self._failed.get(work.shape)
        if failed is None or self.profile.last_fall(end) < failed[0]:
            attempt = place(work.shape, self.profile.room(end), self._site, self._head)
            failed = self._failed[work.shape] = (self.profile.last_fall(end), self._tiers_of(attempt))
        return failed[1]

    def _tiers_of(self, attempt: Attempt) -> Tiers:
        tiers: dict[str, None] = {}
        for part in attempt.lacks:
            tiers |= dict.fromkeys(self._heads if part is self._head else self._site.tiers_for(part.tier))
        return tuple(tiers)

    def _lay_down(self, work: Waiting, kept: Promise) -> bool:
        """Set aside what `kept` says; a little later where it is due and what runs there is about to end."""
        for start in (max(kept.start, self.now), self.now + OVERDUE_S):
            end = start + work.duration_s
            if self.profile.fits(kept.slots, start, end):
                self.profile.promise(kept.slots, start, end)
                self.promises[work.name] = Promise(start, kept.slots)
                return True
            if kept.start > self.now:
                break
        return False

    def _settle_nobody(self, work: Waiting, lacking: Tiers) -> None:
        """Keep from others, from the horizon on or at once, what `work` lacks and what does fit of it."""
        most = self._policy.max_passed
        over = most is not None and work.passed >= most
        start = self.now if over else self.now + self._policy.horizon_s
        fitting = place(work.shape, self.profile.room(math.inf), self._site, self._head)
        self.profile.close(lacking, fitting.slots, start)
        self.closed.update(lacking)
