"""The availability profile: what each node will have free, from now into the coming hours.

Knows nothing of queues. It is built from the ends that walltimes promise, from claims (maintenance windows, forecasts)
and from what is set aside for those who wait. Work without a walltime is taken to stay for ever.

Capacity only falls at few instants: now, where a claim begins and where a promise begins. So the profile keeps one
table of free amounts for each such instant, and the room of work that starts now is the least of those before its end.
Where capacity rises (work ends) it keeps a list, which is walked through to find the earliest start.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fabric.scheduler.columns import Amounts, Rows, Slot, amount_of, subtract
from fabric.scheduler.placement import Attempt, place, workers_by_row
from fabric.scheduler.policies.choice import Scores
from fabric.scheduler.shape import Part, Shape, head_part
from fabric.scheduler.snapshot import Claim, Snapshot

OVERDUE_S = 1.0
"""How much longer work is expected to stay that is past its walltime, in seconds."""

Change = tuple[float, Slot, int]
"""Instant, what changes there, and 1 where it becomes free or -1 where it is taken."""


@dataclass(frozen=True, slots=True)
class _Rises:
    """Changes in the order of time, and the same as columns."""

    changes: list[Change]
    instants: list[float]
    rows: Rows
    amounts: Amounts

    @classmethod
    def of(cls, changes: list[Change]) -> "_Rises":
        rows = np.array([slot[0] for _, slot, _ in changes], dtype=np.intp)
        amounts = np.array([slot[1:] for _, slot, _ in changes], dtype=np.int64).reshape(-1, 3)
        return cls(changes, [at for at, _, _ in changes], rows, amounts)


class Profile:
    """Free capacity over time; changed by `start`, `promise` and `close`, and private to one decision."""

    def __init__(self, snapshot: Snapshot, now: float, scores: Scores | None = None) -> None:
        self._site, self._head, self.now, self._scores = snapshot.site, head_part(snapshot.head), now, scores
        self._falls = [now]
        self._free = [snapshot.idle.copy()]
        self._least: list[Amounts] = []
        self._totals: list[list[int]] = []
        self._running = snapshot.running
        self._rises: _Rises | None = None
        self._holds: list[Change] = []
        for claim in snapshot.claims:
            self._claim(claim)

    def copy(self) -> "Profile":
        """Another profile, equal to this one, that changes by itself."""
        twin = Profile.__new__(Profile)
        twin._site, twin._head, twin.now, twin._running = self._site, self._head, self.now, self._running
        twin._falls, twin._free = self._falls.copy(), [free.copy() for free in self._free]
        twin._scores = self._scores
        twin._least, twin._totals = [], []
        twin._rises, twin._holds = self._rises, self._holds.copy()
        return twin

    def room(self, end: float) -> Amounts:
        """What work that starts now and stays until `end` may use of each node; not to be written to."""
        if len(self._least) < len(self._falls):
            self._refresh()
        return self._least[self.class_of(end)]

    def total(self, end: float) -> list[int]:
        """The sum of `room` over all nodes, as thousandths of CPUs and of accelerators, and bytes."""
        if len(self._totals) < len(self._falls):
            self._refresh()
        return self._totals[self.class_of(end)]

    def class_of(self, end: float) -> int:
        """Number of the last fall before `end`; work of a higher number has no more room than that of a lower one."""
        return max(0, bisect_left(self._falls, end) - 1)

    def last_fall(self, end: float) -> float:
        """The last instant before `end` at which capacity falls."""
        return self._falls[self.class_of(end)]

    def start(self, slots: Iterable[Slot], end: float) -> None:
        """Let work start now that stays until `end`."""
        self._hold(tuple(slots), self.now, end)

    def promise(self, slots: Iterable[Slot], start: float, end: float) -> None:
        """Set `slots` aside from `start` to `end`."""
        self._fall_at(start)
        self._hold(tuple(slots), start, end)

    def withdraw(self, slots: Iterable[Slot], start: float, end: float) -> None:
        """Undo a promise."""
        self._hold(tuple(slots), start, end, sign=-1)

    def disclaim(self, claim: Claim) -> None:
        """Undo a claim that has not ended."""
        self._hold(self._claimed(claim), max(claim.start, self.now), claim.end, sign=-1)

    def close(self, tiers: Iterable[str], slots: Iterable[Slot], start: float) -> None:
        """From `start` on, for ever, leave nothing of `tiers`, and `slots` less of the others."""
        at = self._fall_at(start)
        for free in self._free[at:]:
            subtract(free, slots)
            for tier in tiers:
                free[self._site.rows_of[tier]] = 0
        self._forget(at)

    def fits(self, slots: Iterable[Slot], start: float, end: float) -> bool:
        """Whether `slots` are free all the time from `start` to `end`."""
        room = self._room_from(self.free_at(start), start, end)
        wanted = np.zeros_like(room)
        subtract(wanted, slots, sign=-1)
        return bool((wanted <= np.maximum(room, 0)).all())

    def free_at(self, instant: float) -> Amounts:
        """What each node has free at `instant`, now or later."""
        free, rises = self._free[0].copy(), self._ends()
        count = bisect_right(rises.instants, instant)
        np.add.at(free, rises.rows[:count], rises.amounts[:count])
        for at, slot, sign in self._holds:
            if at > instant:
                break
            subtract(free, (slot,), sign=-sign)
        return free

    def room_after(self, instant: float, end: float) -> Amounts:
        """What work that starts at `instant` and stays until `end` may use of each node."""
        return self._room_from(self.free_at(instant), instant, end)

    def earliest_start(
        self, shape: Shape, duration_s: float, horizon_s: float, *, beside: "tuple[Profile, float] | None" = None
    ) -> tuple[float, Attempt] | None:
        """The first instant after now at which a gang fits, and stays possible for `duration_s`.

        Args:
            shape: The gang.
            duration_s: How long it stays.
            horizon_s: How far ahead to look.
            beside: Another profile in which it must fit too, for so many seconds.

        Returns:
            The instant in seconds since the epoch, with its pieces; None if there is none within the horizon.
        """
        for instant, free in self._instants(shape, self.now + horizon_s):
            room = self._room_from(free, instant, instant + duration_s)
            if beside is not None:
                room = np.minimum(room, beside[0].room_after(instant, instant + min(beside[1], duration_s)))
            attempt = place(shape, room, self._site, self._head, scores=self._scores)
            if not attempt.lacks:
                return instant, attempt
        return None

    def _instants(self, shape: Shape, until: float) -> Iterator[tuple[float, Amounts]]:
        """Instants at which each part of a gang, looked at alone, has enough free nodes; with what is free then."""
        parts = [*shape.parts, *([self._head] if self._head and not shape.brings_head else [])]
        counts = [self._fitting(part) for part in parts]
        free: dict[int, list[int]] = {}
        changes = list(self.changes())
        for index, (at, (row, *amount), sign) in enumerate(changes):
            if at > until:
                return
            held = free.get(row) or self._free[0][row].tolist()
            changed = [old + sign * more for old, more in zip(held, amount, strict=True)]
            free[row] = changed
            for number, part in enumerate(parts):
                if self._may_use(part, row):
                    counts[number] += part.times_in(changed) - part.times_in(held)
            last = index + 1 == len(changes) or changes[index + 1][0] > at
            if last and all(count >= part.count for count, part in zip(counts, parts, strict=True)):
                table = self._free[0].copy()
                for touched, have in free.items():
                    table[touched] = have
                yield at, table

    def _fitting(self, part: Part) -> int:
        rows = self._site.head_rows if part is self._head else self._site.rows_of.get(part.tier)
        if rows is None or not len(rows):
            return 0
        return int(np.maximum(workers_by_row(part, self._free[0][rows]), 0).sum())

    def _may_use(self, part: Part, row: int) -> bool:
        if part is self._head:
            return bool(self._site.heads[row])
        return part.tier is None or self._site.tier_of[row] == part.tier

    def _room_from(self, free: Amounts, start: float, end: float) -> Amounts:
        """The least that each node has from `start`, when it has `free`, until `end`."""
        room = free
        for at, later in zip(self._falls, self._free, strict=True):
            if start <= at < end:
                room = np.minimum(room, later)
        return room

    def _ends(self) -> _Rises:
        """What becomes free as running work ends."""
        if self._rises is None:
            soon = self.now + OVERDUE_S
            changes = [
                (work.ends if work.ends > self.now else soon, slot, 1)
                for work in self._running
                if work.ends is not None
                for slot in work.slots
            ]
            self._rises = _Rises.of(sorted(changes))
        return self._rises

    def changes(self) -> Sequence[Change]:
        """Every known change after now, in order."""
        rises = self._ends().changes
        return rises if not self._holds else sorted([*rises, *self._holds])

    def _claim(self, claim: Claim) -> None:
        """Take what a claim wants, whatever runs there; free amounts below zero count as nothing."""
        if claim.end <= self.now:
            return
        start = max(claim.start, self.now)
        self._fall_at(start)
        self._hold(self._claimed(claim), start, claim.end)

    def _claimed(self, claim: Claim) -> tuple[Slot, ...]:
        rows = [self._site.row[name] for name in claim.nodes if name in self._site.row]
        whole = claim.amount is None
        amounts = [self._site.capacity[row].tolist() if whole else amount_of(claim.amount) for row in rows]  # type: ignore[arg-type]
        return tuple((row, *amount) for row, amount in zip(rows, amounts, strict=True))

    def _fall_at(self, instant: float) -> int:
        """The number of the fall at `instant`, made if there is none."""
        at = bisect_left(self._falls, instant)
        if at < len(self._falls) and self._falls[at] == instant:
            return at
        if instant <= self.now:
            return 0
        self._free.insert(at, self.free_at(instant))
        self._falls.insert(at, instant)
        self._forget(at)
        return at

    def _hold(self, slots: tuple[Slot, ...], start: float, end: float, sign: int = 1) -> None:
        first = bisect_left(self._falls, start)
        for at in range(first, bisect_left(self._falls, end)):
            subtract(self._free[at], slots, sign)
        self._correct(first, {slot[0] for slot in slots})
        for slot in slots:
            if start > self.now:
                insort(self._holds, (start, slot, -sign))
            if end < math.inf:
                insort(self._holds, (end, slot, sign))

    def _correct(self, first: int, rows: Iterable[int]) -> None:
        """Bring what was reckoned from the tables in step with changes of a few rows, from fall number `first` on."""
        for at in range(first, len(self._least)):
            least, free, total = self._least[at], self._free[at], self._totals[at]
            for row in rows:
                old, new = least[row].tolist(), free[row].tolist()
                if at:
                    new = list(map(min, new, self._least[at - 1][row].tolist()))
                least[row] = new
                for column in range(3):
                    total[column] += max(new[column], 0) - max(old[column], 0)

    def _forget(self, first: int) -> None:
        del self._least[first:]
        del self._totals[first:]

    def _refresh(self) -> None:
        for at in range(len(self._least), len(self._falls)):
            least = self._free[at].copy() if at == 0 else np.minimum(self._least[at - 1], self._free[at])
            self._least.append(least)
            self._totals.append(np.maximum(least, 0).sum(axis=0).tolist())
