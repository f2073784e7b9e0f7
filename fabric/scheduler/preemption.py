"""Choose who leaves or shrinks so that somebody else fits: the least urgent, the cheapest, and no more than needed.

Knows nothing of nodes' contents or of how a gang is placed: callers answer what would fit if some were gone.

What a victim costs is what the site computes twice or not at all: its work since the last checkpoint, its restart and
its staging, on every slot it holds (as Lyra and GFS count it). The search is Kueue's: remove until the gang fits, then
put back whoever still fits. Prefixes and sizes are found by bisection, so `fits` is asked few times; it should be
monotone (what fits still fits if others get smaller). If it is not, the answer still fits but may take too much.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fabric.core.errors import BadInput
from fabric.scheduler.elastic import MIN_RUN_S
from fabric.workloads.spec import Priority

MOST_ALONE = 64
"""Holders that are tried as the only victim, cheapest first; bounds the questions asked, ours."""

WhatIf = Mapping[str, int]
"""The present world, but with these numbers of workers for the holders named; 0 is gone."""

Fits = Callable[[WhatIf], bool]
"""Whether the asker could be placed then."""

_Move = tuple[str, int]
"""Leave so many workers to a holder."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What the site loses by one victim."""

    slots: int
    """Slots on which it is lost."""
    lost_s: float
    """Seconds of work done again, or spent on a checkpoint."""
    restart_s: float
    staging_s: float
    """Seconds until it can start again: boot, image, weights, Ray."""

    @property
    def slot_s(self) -> float:
        """Slot-seconds in all."""
        return self.slots * (self.lost_s + self.restart_s + self.staging_s)

    def __str__(self) -> str:
        parts = f"{self.lost_s:.0f} s of work + {self.restart_s:.0f} s restart + {self.staging_s:.0f} s staging"
        return f"{self.slots} slots x ({parts}) = {self.slot_s:.0f} slot-seconds"


@dataclass(frozen=True, slots=True)
class Holder:
    """Running work that might have to leave or shrink."""

    name: str
    rank: int
    """Of its priority class; 0 is the most urgent."""
    workers: int
    ran_s: float
    """Seconds since it started or was last resized."""
    unsaved_s: float
    """Seconds of work since its last checkpoint; all of its run time if it reported none."""
    restart_s: float
    staging_s: float
    grace_s: float
    """Seconds between a notice to leave and the kill, as it was told."""
    checkpoint_s: float | None = None
    """Seconds it takes to write a checkpoint when asked to; None if it never reported one."""
    slots_per_worker: int = 1
    smaller: tuple[int, ...] = ()
    """Numbers of workers it may shrink to, largest first; empty unless it is elastic."""
    nodes: frozenset[str] = field(default=frozenset())
    """Nodes it has slices on."""

    def __post_init__(self) -> None:
        falling = (self.workers, *self.smaller, 0)
        if list(falling) != sorted(set(falling), reverse=True):
            raise BadInput(f"{self.name}: sizes must fall from {self.workers} workers and end above 0, got {falling}")

    def cost(self, workers: int, patience_s: float = float("inf")) -> Cost:
        """What it costs to leave it with so many workers; 0 is to send it away.

        Args:
            workers: Fewer than now.
            patience_s: Longest grace that it can be given; one that saves its work within its grace loses only the
                time that this takes.
        """
        saves = self.checkpoint_s is not None and self.checkpoint_s <= min(self.grace_s, patience_s)
        lost_s = min(self.unsaved_s, self.checkpoint_s) if saves and self.checkpoint_s is not None else self.unsaved_s
        staging_s = self.staging_s if workers == 0 else 0.0
        return Cost(self.workers * self.slots_per_worker, lost_s, self.restart_s, staging_s)


@dataclass(frozen=True, slots=True)
class Asker:
    """Waiting work that wants room."""

    name: str
    rank: int
    """Of its priority class; 0 is the most urgent."""
    patience_s: float = float("inf")
    """Longest that it can wait for victims to leave; shortens their grace."""


@dataclass(frozen=True, slots=True)
class Victim:
    """Ask `workload` to go on with `after` workers instead of `before`; 0 is to leave."""

    workload: str
    rank: int
    before: int
    after: int
    grace_s: float
    """Seconds it gets from the notice to the kill."""
    cost: Cost

    @property
    def reason(self) -> str:
        """One line for people."""
        does = f"shrinks from {self.before} to {self.after} workers" if self.after else "leaves"
        return f"{self.workload} ({_class(self.rank)}) {does} within {self.grace_s:.0f} s: {self.cost}"


@dataclass(frozen=True, slots=True)
class Preemption:
    """Those who make room, by name."""

    asker: str
    victims: tuple[Victim, ...]

    @property
    def slot_s(self) -> float:
        """Slot-seconds that it costs in all."""
        return sum(victim.cost.slot_s for victim in self.victims)

    @property
    def only_shrinks(self) -> bool:
        """Whether nobody has to leave."""
        return all(victim.after for victim in self.victims)

    @property
    def ready_in_s(self) -> float:
        """Seconds until the last of them is gone, at the latest."""
        return max((victim.grace_s for victim in self.victims), default=0.0)

    @property
    def reason(self) -> str:
        """For people: a line in all and one for each victim."""
        head = f"room for {self.asker} in at most {self.ready_in_s:.0f} s, at {self.slot_s:.0f} slot-seconds"
        return "\n".join([head, *(f"  {victim.reason}" for victim in self.victims)])


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Preemption does not help."""

    asker: str
    tried: tuple[str, ...]
    """Holders without which it would still not fit."""
    protected: tuple[str, ...]
    """Holders that have not yet run long enough to be sent away."""
    as_urgent: tuple[str, ...]
    """Holders of the same or a more urgent class."""

    @property
    def reason(self) -> str:
        """One line for people."""
        parts = [f"would not fit even without {', '.join(self.tried)}" if self.tried else "nobody may be preempted"]
        if self.protected:
            parts.append(f"still in their minimum run time: {', '.join(self.protected)}")
        if self.as_urgent:
            parts.append(f"{len(self.as_urgent)} running are as urgent or more so")
        return f"{self.asker}: {'; '.join(parts)}"


def preempt(
    asker: Asker,
    holders: Sequence[Holder],
    fits: Fits,
    *,
    recovers: Callable[[Holder], bool] = lambda holder: False,
    min_run_s: float = MIN_RUN_S,
) -> Preemption | NoRoom:
    """Choose who makes room for `asker`.

    Only less urgent classes are touched, and holders of the asker's own class where `recovers` says that taking from
    them only gives back a guaranteed share. A class is touched only if all less urgent ones together are not enough.
    Elastic holders shrink before anyone of their class leaves.

    Args:
        asker: Who wants room; `fits` must be false for an empty what-if, otherwise nobody is chosen.
        holders: Everyone who holds slots where the asker could go, with different names.
        fits: Whether the asker could be placed in a what-if.
        recovers: Whether a holder uses a share that is guaranteed to the asker's project.
        min_run_s: Seconds of running before which nobody is sent away or shrunk.
    """
    open_to = [h for h in holders if h.rank > asker.rank or (h.rank == asker.rank and recovers(h))]
    movable = [h for h in open_to if h.ran_s >= min_run_s]
    may_go, may_be_asked = {h.name for h in movable}, {h.name for h in open_to}
    stuck = frozenset(node for h in holders if h.name not in may_go for node in h.nodes)
    for rank in sorted({h.rank for h in movable}, reverse=True):
        some = [h for h in movable if h.rank >= rank]
        victims = cheapest(some, fits, patience_s=asker.patience_s, stuck=stuck)
        if victims is not None:
            return Preemption(asker.name, victims)
    return NoRoom(
        asker.name,
        tried=_names(movable),
        protected=_names(h for h in open_to if h.name not in may_go),
        as_urgent=_names(h for h in holders if h.name not in may_be_asked),
    )


def cheapest(
    holders: Sequence[Holder],
    fits: Fits,
    *,
    patience_s: float = float("inf"),
    stuck: frozenset[str] = frozenset(),
) -> tuple[Victim, ...] | None:
    """The cheapest choice found among several orders of removal; nobody in it could keep more.

    One in which everybody stays, smaller, is taken before any in which somebody leaves.

    Args:
        holders: Who may be chosen.
        fits: Whether it would be enough.
        patience_s: Longest grace for anyone.
        stuck: Nodes that cannot be emptied, as others hold them too; emptied ones are preferred.

    Returns:
        Victims by name, or None where even all of them are not enough.
    """
    known: dict[frozenset[_Move], bool] = {}

    def fits_once(what_if: WhatIf) -> bool:
        # The orders meet in the same choices, and each question may be a placement.
        key = frozenset(what_if.items())
        if key not in known:
            known[key] = fits(what_if)
        return known[key]

    search = _Search({h.name: h for h in holders}, fits_once, patience_s)
    if not fits_once({h.name: 0 for h in holders}):
        return None
    if fits_once({}):
        return ()
    best = search.surely_cheapest() or search.cheapest_found(stuck)
    return tuple(search.victim(name, best[name]) for name in sorted(best))


@dataclass(frozen=True, slots=True)
class _Search:
    """What the steps of one search share."""

    holders: Mapping[str, Holder]
    fits: Fits
    patience_s: float

    def price(self, name: str, workers: int = 0) -> float:
        return self.holders[name].cost(workers, self.patience_s).slot_s

    def total(self, choice: WhatIf) -> float:
        return sum(self.price(name, workers) for name, workers in choice.items())

    def victim(self, name: str, workers: int) -> Victim:
        holder = self.holders[name]
        grace_s = min(holder.grace_s, self.patience_s)
        cost = holder.cost(workers, self.patience_s)
        return Victim(name, holder.rank, holder.workers, workers, grace_s, cost)

    def surely_cheapest(self) -> dict[str, int] | None:
        """The only victim, where one is enough that costs no more than any two together; None if that is not so.

        It saves the search. Where anybody could stay, smaller, it says nothing.
        """
        if self._shrinks():
            return None
        by_price = sorted((self.price(name), name) for name in self.holders)
        most = sum(price for price, _ in by_price[:2])
        alone = (name for price, name in by_price[:MOST_ALONE] if price <= most)
        found = next((name for name in alone if self.fits({name: 0})), None)
        return None if found is None else {found: 0}

    def cheapest_found(self, stuck: frozenset[str]) -> dict[str, int]:
        """The cheapest choice of several orders of removal, and of those with one victim."""
        found = [self.remove_then_put_back(moves) for moves in self.orders(stuck)]
        found += self.alone(min(self.total(choice) for choice in found))
        return min(found, key=lambda choice: (0 in choice.values(), self.total(choice), len(choice), sorted(choice)))

    def orders(self, stuck: frozenset[str]) -> Iterator[list[_Move]]:
        """Moves to try, the least urgent class first.

        Inside a class: cheapest, cheapest per freed slot, or node by node; once with the elastic ones shrunk before
        anyone leaves, and once with everyone leaving in order (who gets back what still fits).
        """
        nodes = self._node_places(stuck)

        def per_slot(name: str, workers: int) -> float:
            holder = self.holders[name]
            return self.price(name, workers) / ((holder.workers - workers) * holder.slots_per_worker)

        def place(name: str, workers: int) -> float:
            return min((nodes[node] for node in self.holders[name].nodes), default=len(nodes))

        shrinks, leaves = self._shrinks(), [(name, 0) for name in self.holders]
        for key in (self.price, per_slot, place):
            for moves in ([*shrinks, *leaves], leaves) if shrinks else (leaves,):
                yield sorted(moves, key=lambda m: (-self.holders[m[0]].rank, m[1] == 0, key(*m), m[0]))

    def _shrinks(self) -> list[_Move]:
        return [(name, holder.smaller[-1]) for name, holder in self.holders.items() if holder.smaller]

    def _node_places(self, stuck: frozenset[str]) -> dict[str, int]:
        """The place of each node when the cheapest to empty come first and those that stay occupied last."""
        costs: dict[str, float] = {}
        for name in sorted(self.holders):
            for node in self.holders[name].nodes:
                costs[node] = costs.get(node, 0.0) + self.price(name)
        ordered = sorted(costs, key=lambda node: (node in stuck, costs[node], node))
        return {node: number for number, node in enumerate(ordered)}

    def remove_then_put_back(self, moves: Sequence[_Move]) -> dict[str, int]:
        """Make moves until it fits; then give back as much as still fits, the most urgent and dearest first."""
        choice = dict(moves[: _first(len(moves), lambda count: self.fits(dict(moves[:count])))])
        for name in sorted(choice, key=lambda n: (self.holders[n].rank, -self.price(n, choice[n]), n)):
            choice = self._put_back(choice, name)
        return choice

    def _put_back(self, choice: dict[str, int], name: str) -> dict[str, int]:
        """The same choice with as many workers left to `name` as still fit."""
        holder = self.holders[name]
        rest = {other: workers for other, workers in choice.items() if other != name}
        if self.fits(rest):
            return rest
        larger = [size for size in holder.smaller if size > choice[name]]
        number = _first(len(larger), lambda count: self.fits({**rest, name: (*larger, choice[name])[count]}))
        return {**rest, name: (*larger, choice[name])[number]}

    def alone(self, below: float) -> list[dict[str, int]]:
        """The cheapest holder that is enough as the only victim, and as the only one to shrink, below a price."""
        found = []
        for moves in (self._shrinks(), [(name, 0) for name in self.holders]):
            cheap = sorted((move for move in moves if self.price(*move) < below), key=lambda m: (self.price(*m), m))
            enough = next((name for name, workers in cheap[:MOST_ALONE] if self.fits({name: workers})), None)
            if enough is not None:
                found.append(self._put_back({enough: dict(moves)[enough]}, enough))
        return found


def _first(most: int, holds: Callable[[int], bool]) -> int:
    """The smallest count from 0 to `most` for which it holds, if it holds for all above one that it holds for.

    It is taken to hold for `most` without asking.
    """
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return high


def _names(holders: Sequence[Holder] | Iterator[Holder]) -> tuple[str, ...]:
    return tuple(sorted(holder.name for holder in holders))


def _class(rank: int) -> str:
    """Name of a priority class by its rank."""
    return str(list(Priority)[rank])
