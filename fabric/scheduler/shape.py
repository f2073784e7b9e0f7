"""The shape of a gang: what its groups ask for, as whole numbers and in the order in which they choose nodes.

Knows nothing of nodes. Equal requests share one shape, so that what failed for one need not be tried for the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from fabric.core.resources import Resources
from fabric.scheduler.columns import GPUS, Amount, amount_of
from fabric.scheduler.staging import Artifact
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
    image: Artifact | None = None
    """What must be on a node before its workers start there."""
    weights: Artifact | None = None

    def times_in(self, free: Sequence[int]) -> int:
        """How many of the workers fit into `free` together, at most all of them."""
        most = self.count
        for column, need in self.needs:
            most = min(most, free[column] // need)
        return max(most, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A whole gang, its Ray head only where it brings that; compared by identity, as equal ones are one."""

    parts: tuple[Part, ...]
    """Those with accelerators first, as they have the fewest nodes."""
    total: Amount
    """Of all workers together."""
    tiers: tuple[str | None, ...]
    """The wish of each part."""
    brings_head: bool = field(init=False)
    """Whether one of its parts is its Ray head, so that it is charged no other."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "brings_head", any(part.name == HEAD_GROUP for part in self.parts))


def part_of(name: str, request: Resources, count: int = 1, tier: str | None = None) -> Part:
    """Workers that ask for `request` each."""
    return _part((name, tier, count, amount_of(request), None, None))


def part_of_group(group: Group) -> Part:
    """The workers of a group."""
    return _part(_key(group))


def shape_of(groups: Sequence[Group]) -> Shape:
    """The shape that `groups` have together."""
    return _interned(tuple(map(_key, groups)))


_Key = tuple[str, str | None, int, Amount, Artifact | None, Artifact | None]


def _key(group: Group) -> _Key:
    """What tells groups apart."""
    image, weights = group.image, group.weights
    return (
        group.name,
        group.tier,
        group.count,
        amount_of(group.request),
        None if image is None else Artifact(image.name, image.num_bytes),
        None if weights is None else Artifact(weights.name, weights.num_bytes),
    )


@lru_cache(maxsize=1 << 14)
def _interned(groups: tuple[_Key, ...]) -> Shape:
    ordered = sorted(groups, key=lambda g: (-g[3][GPUS], g[1] is None, g[0]))
    total = [sum(request[column] * count for _, _, count, request, *_ in groups) for column in range(3)]
    tiers = tuple(tier for _, tier, *_ in ordered)
    return Shape(tuple(map(_part, ordered)), (total[0], total[1], total[2]), tiers)


@lru_cache(maxsize=1 << 14)
def _part(key: _Key) -> Part:
    name, tier, count, request, image, weights = key
    needs = tuple((column, need) for column, need in enumerate(request) if need)
    return Part(name, tier, count, request, needs, image, weights)


@lru_cache(maxsize=64)
def head_part(head: Resources) -> Part | None:
    """The Ray head as a group of one; None where it is charged nothing."""
    return part_of(HEAD_GROUP, head) if head else None
