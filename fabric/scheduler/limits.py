"""What projects hold while a decision is made, and whom a limit keeps waiting.

Knows nothing of nodes: what is allowed may still not fit.
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache

from fabric.scheduler.amounts import Amounts
from fabric.scheduler.columns import NodeColumns, Slot, Tiers, resources_of
from fabric.scheduler.holding import amounts_of
from fabric.scheduler.quota import Held, Refused, Tree, give_back, may_start, take
from fabric.scheduler.reclaim import recoverable, within_guarantee
from fabric.scheduler.shape import Part, Shape
from fabric.scheduler.snapshot import Snapshot

_NOTHING = Amounts()


class Limits:
    """Private to one decision. Where the site lists no projects, nobody is kept waiting and nothing is counted."""

    def __init__(self, snapshot: Snapshot, now: float) -> None:
        self._tree, self._site = snapshot.tree, snapshot.site
        self.held = snapshot.held
        self._bound: dict[str, bool] = {}
        self._running, self._by = snapshot.running, now + snapshot.grace_s
        self._coming = Held()
        """What projects get within a grace, as it was found for them in this decision."""

    @property
    def apply(self) -> bool:
        """Whether the site lists projects."""
        return bool(self._tree.entries)

    def refused(self, project: str, shape: Shape, head: Part | None) -> Refused | None:
        """The limit in the way of a gang, as far as it can be said before it is placed."""
        return self._refused(project, _asked(shape, head, self._site.head_tiers)) if self._limits(project) else None

    def refused_slots(self, project: str, slots: Sequence[Slot]) -> Refused | None:
        """The limit in the way of what was placed."""
        return self._refused(project, amounts_of(slots, self._site)) if self._limits(project) else None

    def take(self, project: str, slots: Sequence[Slot]) -> None:
        """Count what `project` gets."""
        if self.apply:
            self.held = take(self._tree, self.held, project, amounts_of(slots, self._site))

    def give_back(self, project: str, slots: Sequence[Slot]) -> None:
        """Count what `project` gives back."""
        if self.apply:
            self.held = give_back(self._tree, self.held, project, amounts_of(slots, self._site))

    def expect(self, project: str, shape: Shape) -> None:
        """Count what `project` gets within a grace, so that its guarantee is not claimed for it and others too."""
        if self.apply:
            self._coming = take(self._tree, self._coming, project, _asked(shape, None, self._site.head_tiers))

    def recovery(self, claimant: str, shape: Shape) -> "Recovery":
        """What others owe to `claimant`, of whom `claims` says that somebody may, with `shape`."""
        held = self.held
        for project, amounts in self._going.items():
            held = give_back(self._tree, held, project, amounts)
        return Recovery(self._tree, self._site, held, claimant, ask=_asked(shape, None, self._site.head_tiers))

    def claims(self, claimant: str, shape: Shape) -> bool:
        """Whether `claimant` may hold `shape` too within its guarantee, so that somebody may owe it something."""
        if not self.apply:
            return False
        coming, ask = self._coming.of(self._tree.path(claimant)[0]), _asked(shape, None, self._site.head_tiers)
        return within_guarantee(self._tree, take(self._tree, self.held, claimant, coming), claimant, ask)

    @cached_property
    def _going(self) -> dict[str, Amounts]:
        """What projects give back within a grace anyway; whoever may still be asked for something is not among them."""
        slots: dict[str, list[Slot]] = {}
        for work in self._running:
            if work.ends is not None and work.ends <= self._by and not (work.movable or work.settled):
                slots.setdefault(work.project, []).extend(work.slots)
        return {project: amounts_of(theirs, self._site) for project, theirs in slots.items()}

    def _limits(self, project: str) -> bool:
        """Whether anything that `project` asks for can be refused."""
        if project not in self._bound:
            known, entries = project in self._tree.entries, self._tree.entries
            bound = not known or any(entries[at].limit or entries[at].borrow for at in self._tree.path(project))
            self._bound[project] = self.apply and bound
        return self._bound[project]

    def _refused(self, project: str, ask: Amounts) -> Refused | None:
        answer = may_start(self._tree, self.held, project, ask)
        return answer if isinstance(answer, Refused) else None


class Recovery:
    """What others still owe to one who claims his guarantee, while it is tried out who gives something back."""

    def __init__(self, tree: Tree, site: NodeColumns, held: Held, claimant: str, *, ask: Amounts) -> None:
        self._tree, self._site, self._held = tree, site, held
        self._claimant, self._ask = claimant, ask

    def owes(self, victim: str) -> bool:
        """Whether work of `victim` uses what is guaranteed to the claimant."""
        return bool(recoverable(self._tree, self._held, self._claimant, self._ask, victim=victim))

    def give_back(self, victim: str, slots: Sequence[Slot]) -> None:
        """Count what work of `victim` gives back."""
        self._held = give_back(self._tree, self._held, victim, amounts_of(slots, self._site))


@lru_cache(maxsize=1 << 12)
def _asked(shape: Shape, head: Part | None, head_tiers: Tiers) -> Amounts:
    """What the parts ask for that can only go to one tier."""
    parts = [(part.tier, part.request, part.count) for part in shape.parts]
    if head is not None and not shape.brings_head and len(head_tiers) == 1:
        parts.append((head_tiers[0], head.request, 1))
    asked = (Amounts({tier: resources_of(request) * count}) for tier, request, count in parts if tier is not None)
    return sum(asked, _NOTHING)
