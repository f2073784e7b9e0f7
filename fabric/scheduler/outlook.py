"""The profile as different work sees it: windows open to its project, and what it may use as it leaves in time.

Knows nothing of what is decided. Without windows and loans everybody sees the same, and it costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from fabric.scheduler.columns import Amounts, Slot
from fabric.scheduler.placement import Attempt
from fabric.scheduler.policies.choice import Scores
from fabric.scheduler.policy import Policy
from fabric.scheduler.profile import Profile
from fabric.scheduler.quota import OWN
from fabric.scheduler.shape import Shape
from fabric.scheduler.snapshot import Claim, Snapshot, Waiting

LEAST_S = 1.0
"""Seconds before its notice that work which leaves for a window must have, whatever the policy says."""


class Leaves(IntEnum):
    """When work leaves before its own end."""

    NEVER = 0
    FOR_WINDOWS = 1
    """When its node is taken away: a service goes on elsewhere."""
    WHEN_ASKED = 2
    """Whenever somebody wants its node back."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How work may use nodes: two of the same manner see the same profile."""

    let_in: tuple[int, ...] = ()
    """Numbers of the windows that are open to its project."""
    leaves: Leaves = Leaves.NEVER


def leaves_of(work: Waiting) -> Leaves:
    """When waiting work would leave before its own end."""
    if work.saves:
        return Leaves.WHEN_ASKED
    return Leaves.FOR_WINDOWS if work.service else Leaves.NEVER


class Outlook:
    """The profile of one decision, and others beside it that lack what is not in everybody's way."""

    def __init__(self, snapshot: Snapshot, policy: Policy, now: float, scores: Scores | None = None) -> None:
        self._snapshot, self._now, self._min_run_s = snapshot, now, policy.min_run_s
        self.all = Profile(snapshot, now, scores)
        """With everything in the way."""
        self.windows = tuple(claim for claim in snapshot.claims if claim.amount is None and claim.end > now)
        """Whole nodes that are taken away, by start."""
        self.notice_s = snapshot.grace_s + snapshot.overhead_s
        """Seconds before a window at which whoever is on its nodes is asked to leave."""
        self._let_in: dict[str, tuple[int, ...]] = {}
        self._beside: dict[Manner, Profile] = {}
        self._loans: list[tuple[Sequence[Slot], float, float]] = []
        self._closed: list[tuple[Sequence[str], float]] = []

    def let_in(self, project: str) -> tuple[int, ...]:
        """Numbers of the windows that are open to a project."""
        if not self.windows:
            return ()
        if project not in self._let_in:
            above = [name.removesuffix(OWN) for name in self._snapshot.tree.path(project)]
            self._let_in[project] = tuple(
                number for number, claim in enumerate(self.windows) if claim.project in (project, *above)
            )
        return self._let_in[project]

    def shut_out(self, project: str) -> tuple[Claim, ...]:
        """The windows during which work of a project may not be on their nodes, by start."""
        open_to = self.let_in(project)
        return tuple(claim for number, claim in enumerate(self.windows) if number not in open_to)

    def seen(self, project: str, leaves: Leaves = Leaves.NEVER) -> Profile:
        """What is free for work of a project, as far as it cannot help what is in its way.

        Args:
            project: Its project.
            leaves: When it would leave; then it does not mind what begins later.
        """
        return self._seen(Manner(self.let_in(project), leaves))

    def room(self, project: str, leaves: Leaves, end: float) -> Amounts:
        """What work that starts now and stays until `end` may use of each node; not to be written to.

        It may use what it must leave before, if that leaves it enough time to be worth it.
        """
        strict, loose = self.seen(project), self.seen(project, leaves)
        if loose is strict:
            return strict.room(end)
        return np.minimum(loose.room(end), strict.room(min(end, self._now + self._worth_s)))

    def rooms(self, project: str, leaves: Leaves, end: float) -> tuple[Amounts, ...]:
        """The same in the order in which it is tried: first where no window comes before its end."""
        strict = self.seen(project)
        if not self.windows or self.seen(project, leaves) is strict:
            return (self.room(project, leaves, end),)
        return (strict.room(end), self.room(project, leaves, end))

    def room_after(self, project: str, leaves: Leaves, at: float, end: float) -> Amounts:
        """What work that starts at an instant and stays until `end` may use of each node."""
        strict, loose = self.seen(project), self._for_windows(project, leaves)
        if loose is strict:
            return strict.room_after(at, end)
        return np.minimum(loose.room_after(at, end), strict.room_after(at, min(end, at + self._worth_s)))

    def earliest_start(
        self, project: str, leaves: Leaves, shape: Shape, *, duration_s: float, horizon_s: float
    ) -> tuple[float, Attempt] | None:
        """The first instant after now at which a gang fits, with its pieces; None if there is none within the horizon.

        What is only lent is never promised to anybody.
        """
        strict, loose = self.seen(project), self._for_windows(project, leaves)
        if loose is strict:
            return strict.earliest_start(shape, duration_s, horizon_s)
        return loose.earliest_start(shape, duration_s, horizon_s, beside=(strict, self._worth_s))

    def fits(self, project: str, leaves: Leaves, slots: Sequence[Slot], *, start: float, end: float) -> bool:
        """Whether `slots` are free all the time from `start` to `end`, or until a window that is worth a start."""
        strict, loose = self.seen(project), self._for_windows(project, leaves)
        if loose is strict:
            return strict.fits(slots, start, end)
        return loose.fits(slots, start, end) and strict.fits(slots, start, min(end, start + self._worth_s))

    def hold(self, slots: Sequence[Slot], start: float, end: float) -> None:
        """Set `slots` aside from `start` to `end`."""
        for profile in self._profiles():
            profile.promise(slots, start, end)

    def free(self, slots: Sequence[Slot], start: float, end: float) -> None:
        """Count `slots` as free from `start` to `end`, when they were held."""
        for profile in self._profiles():
            profile.withdraw(slots, start, end)

    def take(self, slots: Sequence[Slot], end: float) -> None:
        """Let somebody have `slots` from now to `end`."""
        for profile in self._profiles():
            profile.start(slots, end)

    def close(self, tiers: Sequence[str], slots: Sequence[Slot], start: float) -> None:
        """From `start` on, for ever, leave nothing of `tiers`, and `slots` less of the others."""
        self._closed.append((tiers, start))
        for profile in self._profiles():
            profile.close(tiers, slots, start)

    def lend_until(self, slots: Sequence[Slot], start: float, end: float) -> None:
        """Keep `slots` for somebody who will need them again; whoever leaves when asked may run there until then."""
        self._loans.append((slots, start, end))
        self.all.promise(slots, start, end)
        for manner, profile in self._beside.items():
            if manner.leaves is not Leaves.WHEN_ASKED:
                profile.promise(slots, start, end)

    @property
    def _worth_s(self) -> float:
        """Seconds that work must have before it leaves; before a window never so few that it is asked to at once."""
        return max(self._min_run_s, LEAST_S) + self.notice_s if self.windows else self._min_run_s

    def _profiles(self) -> tuple[Profile, ...]:
        return (self.all, *self._beside.values())

    def _for_windows(self, project: str, leaves: Leaves) -> Profile:
        """What is seen without the windows that work leaves for, but with all that is lent."""
        return self.seen(project, min(leaves, Leaves.FOR_WINDOWS))

    def _seen(self, manner: Manner) -> Profile:
        lent = manner.leaves is Leaves.WHEN_ASKED and bool(self._loans)
        if not lent and not (self.windows and (manner.let_in or manner.leaves)):
            return self.all
        if manner not in self._beside:
            self._beside[manner] = self._without(manner)
        return self._beside[manner]

    def _without(self, manner: Manner) -> Profile:
        """The profile without what is not in the way of that manner."""
        numbers = range(len(self.windows)) if manner.leaves else manner.let_in
        profile = self.all.copy()
        for number in numbers:
            profile.disclaim(self.windows[number])
        for slots, start, end in self._loans if manner.leaves is Leaves.WHEN_ASKED else ():
            profile.withdraw(slots, start, end)
        for tiers, start in self._closed:
            profile.close(tiers, (), start)
        return profile
