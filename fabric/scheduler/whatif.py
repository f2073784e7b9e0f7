"""What a decision tries out: who starts, leaves, changes its size or is promised a start; what that leaves for others.

Knows nothing of the order in which it is asked. It is private to one decision and thrown away with it.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from fabric.scheduler.columns import CPUS, GPUS, MEMORY, Slot, Tiers, subtract
from fabric.scheduler.limits import Limits
from fabric.scheduler.options import gpu_tiers, options_of
from fabric.scheduler.order import waits_since
from fabric.scheduler.outlook import Leaves, Outlook, leaves_of
from fabric.scheduler.placement import Attempt, grant_of, place
from fabric.scheduler.plan import Foreseen, Place, Preempt, Resize
from fabric.scheduler.policies.choice import Scores
from fabric.scheduler.policy import Policy
from fabric.scheduler.profile import OVERDUE_S
from fabric.scheduler.shape import Shape, head_part
from fabric.scheduler.sizes import at_size, freed, sizes_below
from fabric.scheduler.snapshot import Promise, Running, Snapshot, Waiting

_Need = tuple[Shape, Leaves, tuple[int, ...]]
"""A gang, and what of the profile it sees."""


class WhatIf:
    """The profile with the consequences of what was decided so far."""

    def __init__(self, snapshot: Snapshot, policy: Policy, now: float) -> None:
        self.now, self.snapshot, self.policy = now, snapshot, policy
        self.scores = _scores(snapshot, policy, now)
        self.outlook = Outlook(snapshot, policy, now, self.scores)
        self.idle = snapshot.idle.copy()
        """What nobody holds once everybody of this plan has started; promises leave it as it is."""
        self.limits = Limits(snapshot, now)
        self.placed: dict[str, Place] = {}
        self.preempted: dict[str, Preempt] = {}
        self.resized: dict[str, Resize] = {}
        self.promises: dict[str, Promise] = {}
        self.foreseen: list[Foreseen] = []
        """What is kept for services."""
        self.notes: dict[str, str] = {}
        """What else is said to those who wait."""
        self.looks: list[float] = []
        """Instants at which it should be decided again even if nothing happens."""
        self.closed: set[str] = set()
        """Tiers that somebody waits for of whom nobody can say when he starts."""
        self.head = head_part(snapshot.head)
        self.surplus: dict[str, tuple[Slot, ...]] = {}
        """What running gangs hold beyond what they asked for, which they give back as soon as others want it."""
        self._site = snapshot.site
        self._heads = snapshot.site.head_tiers if self.head else ()
        several = snapshot.site.tiers if policy.backfill_rule == "spare" else ()
        self.keeps = policy.keeps_promises(len(several)) and not policy.sticky
        """Whether what earlier plans set aside is laid down first, since one promise may be in another's way."""
        self._options: dict[str, tuple[Waiting, ...]] = {}
        self._protected: Counter[str] = Counter()
        self._full: dict[tuple[str | None, ...], tuple[bool, bool]] = {}
        self._failed: dict[_Need, tuple[float, Tiers]] = {}
        self.moving: set[str] = set()
        """Services that leave nodes which are about to be taken away; nobody else changes their size."""
        for work in snapshot.running if policy.preemption else ():
            if work.resizable and not work.service:
                self._count_surplus(work)

    def preferred(self, work: Waiting) -> Waiting:
        """`work` on the fastest accelerators that it may use; the slower ones are remembered for it."""
        options = options_of(work, self._site)
        if len(options) > 1:
            self._options[work.name] = options[1:]
        return options[0]

    def start(self, work: Waiting) -> bool:
        """Let `work` start now, as large as it fits until its end without delaying any promise.

        Where it may use slower accelerators too, it starts there if it would end no later than on the fastest.
        """
        if self.limits.apply and self.limited(work):
            return False
        return self._start_largest(work) or self._start_slower(work, lambda slower: self._no_later(slower, work))

    def settle(self, work: Waiting) -> bool:
        """Let `work` start on slower accelerators that are free though it might end earlier by waiting.

        Short work may (`Policy.slower_for_s`), and work that saves where it can move on to faster ones later; not if it
        is promised a start soon.
        """
        kept, policy = self.promises.get(work.name), self.policy
        soon = kept is not None and kept.start <= self.now + max(policy.min_run_s, self.snapshot.grace_s)
        if soon or work.name in self.notes or work.name not in self._options:
            return False
        may = work.likely_s <= policy.slower_for_s or (policy.moves and work.saves)
        return may and self._start_slower(work, lambda slower: True)

    def _start_slower(self, work: Waiting, wanted: Callable[[Waiting], bool]) -> bool:
        if self.now < self._slower_from(work):
            return False
        for slower in self._options.get(work.name, ()):
            if self._start_as(slower, self.least(slower), only_try=True) and wanted(slower):
                self.reconsider(work)
                return self._start_largest(slower)
        return False

    def _slower_from(self, work: Waiting) -> float:
        """From when on work may start on slower accelerators than the fastest that it may use."""
        return waits_since(work) + self.policy.slower_after_s

    def _start_largest(self, work: Waiting) -> bool:
        if self._start_as(work, work.shape):
            return True
        least = self.least(work)
        if least is work.shape or work.name in self.notes or not self._start_as(work, least, only_try=True):
            return False
        return any(self._start_as(work, shape) for shape in self._below(work))

    def _no_later(self, slower: Waiting, work: Waiting) -> bool:
        """Whether work that starts now on slower accelerators ends no later than on the fastest."""
        found = self._earliest_start(work)
        return found is None or self.now + slower.duration_s <= found[0] + work.duration_s

    def limited(self, work: Waiting) -> bool:
        """Whether a limit of its project keeps `work` waiting, whatever is free."""
        refused = self.limits.refused(work.project, self.least(work), self.head)
        if refused:
            self.notes[work.name] = refused.reason
        return refused is not None

    def least(self, work: Waiting) -> Shape:
        """The smallest shape with which `work` may start."""
        if work.elastic is None or not self.policy.elastic:
            return work.shape
        return at_size(work.shape, work.elastic.name, work.elastic.least)

    def may_pass(self, work: Waiting) -> bool:
        """Whether one of the tiers that `work` may use has as many promises as may be made."""
        return self._fullness(work.shape)[0]

    def unprotected(self, work: Waiting) -> bool:
        """Whether work that could not start lacks a tier on which another promise may be made."""
        if self._fullness(work.shape)[1]:
            return False
        return any(self._protected[tier] < self.policy.protected for tier in self.lacking(work))

    def promise(self, work: Waiting) -> None:
        """Set aside what `work` needs at its earliest start.

        Where nobody can say when (it waits for work without an end), it gets no promise, and work without an end may
        not settle on what it lacks. Work that ends may pass it, at most `max_passed` times; then nobody may.
        """
        lacking, stays_s = self.lacking(work), work.duration_s
        found = self._earliest_start(work)
        for slower in self._options.get(work.name, ()):
            other = self._earliest_start(slower)
            if (
                other
                and other[0] >= self._slower_from(work)
                and (found is None or other[0] + slower.duration_s < found[0] + stays_s)
            ):
                found, stays_s = other, slower.duration_s
        kept = work.promise if self.keeps else None
        self._protected.update(lacking)
        self._full.clear()
        if kept and (found is None or found[0] > kept.start) and self._lay_down(work, kept):
            return
        if found is None:
            self._settle_nobody(work, lacking)
            return
        start, attempt = found
        if self.policy.sticky and work.promise:
            start = work.promise.start
        self.promises[work.name] = Promise(start, attempt.slots)
        if self.policy.backfill_rule == "strict-shadow":
            # A candidate must end before the promise, not at it.
            self.outlook.close(self._site.tiers, (), math.nextafter(start, -math.inf))
        else:
            self.hold(attempt.slots, start, start + stays_s)

    def keep(self, works: Iterable[Waiting]) -> None:
        """Lay down what earlier plans set aside, as far as it is still possible."""
        for work in works:
            if work.promise:
                self._lay_down(work, work.promise)

    def reconsider(self, work: Waiting) -> None:
        """Take back what is kept for `work`, which is about to get something at least as good."""
        kept = self.promises.pop(work.name, None)
        if kept:
            self.free(kept.slots, kept.start, kept.start + self._stays_s(work, kept.slots))

    def expect(self, work: Waiting) -> float | None:
        """When `work` should start if the order is kept; what it needs is set aside for those behind it."""
        if self.closed.intersection(self.touched(work.shape)) or work.name in self.notes:
            return None
        found = self._earliest_start(work)
        if found is None:
            self.closed.update(self.lacking(work))
            return None
        start, attempt = found
        self.hold(attempt.slots, start, start + work.duration_s)
        return start

    def touched(self, shape: Shape) -> Tiers:
        """The tiers that a gang may use, for its workers or for its head."""
        return (*self._site.wishes(shape.tiers), *self._heads)

    def hold(self, slots: Sequence[Slot], start: float, end: float) -> None:
        """Set `slots` aside from `start` to `end`."""
        self.outlook.hold(slots, start, end)

    def free(self, slots: Sequence[Slot], start: float, end: float) -> None:
        """Count `slots` as free from `start` to `end`, when they were held."""
        self.outlook.free(slots, start, end)
        self._failed.clear()

    def leaves(self, work: Running, slots: Sequence[Slot], by: float) -> None:
        """Let running work give `slots` back by then."""
        ends = _end_of(work, by)
        if work.name in self.surplus:  # it was counted as coming back anyway
            self.hold(self.surplus.pop(work.name), self.now + self.snapshot.grace_s, ends)
        self.free(slots, by, ends)
        self.limits.give_back(work.project, slots)

    def take(self, project: str, slots: Sequence[Slot], end: float) -> None:
        """Let somebody have `slots` from now to `end`."""
        self.outlook.take(slots, end)
        subtract(self.idle, slots)
        self.limits.take(project, slots)

    def disturbed(self, name: str) -> bool:
        """Whether something was already decided about running work."""
        return name in self.preempted or name in self.resized

    def _count_surplus(self, work: Running) -> None:
        group, by = work.elastic, self.now + self.snapshot.grace_s
        if group is None or work.grant.size(group.name) <= group.count:
            return
        slots = freed(work.grant, group, group.count, self._site)
        if slots:
            self.surplus[work.name] = slots
            self.free(slots, by, _end_of(work, by))

    def _earliest_start(self, work: Waiting) -> tuple[float, Attempt] | None:
        """When the smallest shape of `work` fits first, after now and within the horizon."""
        return self.outlook.earliest_start(
            work.project, leaves_of(work), self.least(work),
            duration_s=work.duration_s, horizon_s=self.policy.horizon_s,
        )  # fmt: skip

    def _below(self, work: Waiting) -> Iterable[Shape]:
        group = work.elastic
        if group is not None:
            yield from (at_size(work.shape, group.name, size) for size in sizes_below(group, group.count))

    def _start_as(self, work: Waiting, shape: Shape, *, only_try: bool = False) -> bool:
        """Let `work` start now with that shape, if it fits and no limit is in the way."""
        end, key = self.now + work.duration_s, self._need(work, shape)
        if not self._may_fit(work, key, end):
            return False
        for room in self.outlook.rooms(work.project, leaves_of(work), end):
            attempt = place(shape, room, self._site, self.head, scores=self.scores)
            if not attempt.lacks:
                break
        else:
            self._failed[key] = (self.outlook.all.last_fall(end), self._tiers_of(attempt))
            return False
        if only_try:
            return True
        slots = attempt.slots
        refused = self.limits.refused_slots(work.project, slots)
        if refused:
            self.notes[work.name] = refused.reason
            return False
        self.take(work.project, slots, end)
        self.placed[work.name] = Place(work.name, grant_of(attempt, self._site))
        return True

    def _fullness(self, shape: Shape) -> tuple[bool, bool]:
        """Whether any of the tiers that a gang may use has as many promises as may be made, and whether all have."""
        found = self._full.get(shape.tiers)
        if found is None:
            full = [self._protected[tier] >= self.policy.protected for tier in self.touched(shape)]
            found = self._full[shape.tiers] = (any(full), all(full))
        return found

    def _need(self, work: Waiting, shape: Shape) -> "_Need":
        """What is asked for: whoever asks for the same cannot have it either."""
        return (shape, leaves_of(work), self.outlook.let_in(work.project))

    def _may_fit(self, work: Waiting, key: "_Need", end: float) -> bool:
        """Whether trying is not in vain: the sums suffice, and no equal shape failed with as much room."""
        total, profile = key[0].total, self.outlook.seen(work.project, leaves_of(work))
        for most in (profile.total(self.now), profile.total(end)):
            if total[CPUS] > most[CPUS] or total[GPUS] > most[GPUS] or total[MEMORY] > most[MEMORY]:
                return False
        failed = self._failed.get(key)
        return failed is None or self.outlook.all.last_fall(end) < failed[0]

    def lacking(self, work: Waiting) -> Tiers:
        """The tiers on which something is in the way of `work`."""
        if len(self._site.tiers) == 1:
            return self._site.tiers
        end, key = self.now + work.duration_s, self._need(work, self.least(work))
        failed = self._failed.get(key)
        if failed is None or self.outlook.all.last_fall(end) < failed[0]:
            room = self.outlook.room(work.project, leaves_of(work), end)
            attempt = place(key[0], room, self._site, self.head)
            failed = self._failed[key] = (self.outlook.all.last_fall(end), self._tiers_of(attempt))
        return failed[1]

    def _tiers_of(self, attempt: Attempt) -> Tiers:
        tiers: dict[str, None] = {}
        for part in attempt.lacks:
            tiers |= dict.fromkeys(self._heads if part is self.head else self._site.tiers_for(part.tier))
        return tuple(tiers)

    def _lay_down(self, work: Waiting, kept: Promise) -> bool:
        """Set aside what `kept` says; a little later where it is due and what runs there is about to end."""
        for start in (max(kept.start, self.now), self.now + OVERDUE_S):
            end = start + self._stays_s(work, kept.slots)
            if self.outlook.fits(work.project, leaves_of(work), kept.slots, start=start, end=end):
                self.hold(kept.slots, start, end)
                self.promises[work.name] = Promise(start, kept.slots)
                return True
            if kept.start > self.now:
                break
        return False

    def _stays_s(self, work: Waiting, slots: Sequence[Slot]) -> float:
        """How long work stays on `slots`, which may be slower than what it prefers."""
        used = {self._site.tier_of[slot[0]] for slot in slots}
        slower = (option for option in self._options.get(work.name, ()) if used.intersection(gpu_tiers(option)))
        return next((option.duration_s for option in slower), work.duration_s)

    def _settle_nobody(self, work: Waiting, lacking: Tiers) -> None:
        """Keep from others, from the horizon on or at once, what `work` lacks and what does fit of it."""
        most = self.policy.max_passed
        over = most is not None and work.passed >= most
        start = self.now if over else self.now + self.policy.horizon_s
        room = self.outlook.seen(work.project, min(leaves_of(work), Leaves.FOR_WINDOWS)).room(math.inf)
        fitting = place(self.least(work), room, self._site, self.head)
        self.outlook.close(lacking, fitting.slots, start)
        self.closed.update(lacking)


def _end_of(work: Running, by: float) -> float:
    return math.inf if work.ends is None else max(work.ends, by)


def _scores(snapshot: Snapshot, policy: Policy, now: float) -> Scores | None:
    """What nodes are compared by; what waits is what is expected to come."""
    expected = (part for work in snapshot.waiting for part in work.shape.parts)
    return Scores.of(policy.placement, snapshot.site, expected=expected, seed=(int(now),))
