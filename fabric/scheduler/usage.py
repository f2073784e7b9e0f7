"""What projects have used of late, and who is next by it.

Knows nothing of clocks (`now` is told) and nothing of limits.

The order is the idea of Slurm's Fair Tree: siblings are compared by use over weight, level by level from the top, so
all work of a branch comes before or after all work of its sibling. Use is dominant share (DRF, NSDI 2011) over time
with exponential half-life, as in KAI's time-based fair share; unlike KAI's it changes who is next, never how much
anybody may hold.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from fabric.core.quantity import Quantity
from fabric.core.resources import Resources
from fabric.scheduler.amounts import Amounts
from fabric.scheduler.quota import Held, Tree


@dataclass(frozen=True, slots=True)
class Usage:
    """Decayed use at one instant; a new value follows from `advance`."""

    at: float
    """Seconds since the epoch."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By entry of the tree, with all below it: seconds of the whole site, so 1 is everything for a second."""

    def of(self, entry: str) -> float:
        """Site-seconds of one entry."""
        return self.seconds.get(entry, 0.0)


def dominant_share(amounts: Amounts, capacity: Amounts) -> float:
    """The largest part of any kind of resource on any tier that `amounts` take of the site, 0 to 1.

    What the site does not have counts nothing, as nobody can hold it.
    """
    parts = [
        part.count / whole.count
        for tier, have in amounts.by_tier.items()
        for part, whole in pairs(have, capacity.on(tier))
        if whole.count
    ]
    return max(parts, default=0.0)


def advance(usage: Usage, held: Held, tree: Tree, capacity: Amounts, *, now: float, half_life_s: float) -> Usage:
    """Usage at `now` if projects held `held` since `usage.at`.

    The integral is exact, so it does not matter in how many steps it is taken. A clock that goes backwards adds nothing
    and decays nothing: `at` stays where it was until time has caught up.

    Args:
        usage: Up to now.
        held: What projects held all that time.
        tree: Projects of the site.
        capacity: All that the site has.
        now: Seconds since the epoch.
        half_life_s: Seconds after which use counts half.
    """
    passed_s = now - usage.at
    if passed_s <= 0:
        return usage
    kept = 0.5 ** (passed_s / half_life_s)
    # The integral over 0..t of 2 ** (-s / half_life).
    grown_s = half_life_s / math.log(2) * (1 - kept)
    seconds = {entry: value * kept for entry, value in usage.seconds.items()}
    leaves = [entry for entry in sorted(held.whole) if tree.path(entry)[0] == entry]
    for leaf in leaves:
        used = dominant_share(held.of(leaf), capacity) * grown_s
        for entry in tree.path(leaf):
            seconds[entry] = seconds.get(entry, 0.0) + used
    return Usage(now, {entry: value for entry, value in seconds.items() if value > 0})


def order_key(usage: Usage, tree: Tree, project: str) -> tuple[tuple[float, str], ...]:
    """Sorts projects that have used least for their weight first; ties by name.

    Use over weight of each project on the way from the top down. The own work of a project with others below it stands
    beside them, and a project that the site does not list at the top, with weight 1.
    """
    return tuple((usage.of(name) / weight(tree, name), name) for name in reversed(tree.path(project)))


def weight(tree: Tree, entry: str) -> float:
    """Relative claim of one entry among its siblings; 1 where the site does not list it."""
    return tree.entries[entry].weight if entry in tree.entries else 1.0


def pairs(left: Resources, right: Resources) -> tuple[tuple[Quantity, Quantity], ...]:
    """The amounts of two vectors, kind by kind."""
    return ((left.cpus, right.cpus), (left.gpus, right.gpus), (left.memory, right.memory))
