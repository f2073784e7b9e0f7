"""The shape of a gang: what its groups ask for, as whole numbers and in the order in which they choose nodes.

Knows nothing of nodes. Equal requests share one shape, so that what failed for one need not be tried for the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from fabric.core.resources import Resources
from fabric.scheduler.columns import GPUS, Amount, amount_of
from fabric.workloads.spec import HEAD_GROUP, Group


@dataclass(frozen=True, slots=True)
class Part:
    """Equal workers of a gang."""

    name: str
    """Of the group."""
    tier: str | None
    count: int
    """Workers."""
    request: Amount
    """Of each worker: thousandths of CPUs and of accelerators, bytes."""
    needs: tuple[tuple[int, int], ...] = field(compare=False)
    """Column and amount of what is not zero in `request`."""

    def times_in(self, free: Sequence[int]) -> int:
        """How many of the workers fit into `free` together, at most all of them."""
        most = self.count
        for column, need in self.needs:
            most = min(most, free[column] // need)
        return max(most, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A whole gang without its Ray head; compared by identity, as equal ones are one."""

    parts: tuple[Part, ...]
    """Those with accelerators first, as they have the fewest nodes."""
    total: Amount
    """Of all workers together."""
    tiers: tuple[str | None, ...]
    """The wish of each part."""


def part_of(name: str, request: Resources, count: int = 1, tier: str | None = None) -> Part:
    """Workers that ask for `request` each."""
    return _part(name, tier, count, amount_of(request))


def part_of_group(group: Group) -> Part:
    """The workers of a group."""
    return _part(group.name, group.tier, group.count, amount_of(group.request))


def shape_of(groups: Sequence[Group]) -> Shape:
    """The shape that `groups` have together."""
    return _interned(tuple((group.name, group.tier, group.count, amount_of(group.request)) for group in groups))


@lru_cache(maxsize=1 << 14)
def _interned(groups: tuple[tuple[str, str | None, int, Amount], ...]) -> Shape:
    ordered = sorted(groups, key=lambda g: (-g[3][GPUS], g[1] is None, g[0]))
    total = [sum(request[column] * count for _, _, count, request in groups) for column in range(3)]
    tiers = tuple(tier for _, tier, _, _ in ordered)
    return Shape(tuple(_part(*group) for group in ordered), (total[0], total[1], total[2]), tiers)


@lru_cache(maxsize=1 << 14)
def _part(name: str, tier: str | None, count: int, request: Amount) -> Part:
    needs = tuple((column, need) for column, need in enumerate(request) if need)
    return Part(name, tier, count, request, needs)


@lru_cache(maxsize=64)
def head_part(head: Resources) -> Part | None:
    """The Ray head as a group of one; None where it is charged nothing."""
    return part_of(HEAD_GROUP, head) if head else None
