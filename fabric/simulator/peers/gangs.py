"""A gang at one size, and how a grant grows and shrinks.

Knows nothing of nodes' free amounts or of why a size changes.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from fabric.scheduler.columns import CPUS, GPUS, NodeColumns, Slot, amount_of, resources_of
from fabric.scheduler.placement import Piece
from fabric.scheduler.shape import Part, Shape
from fabric.scheduler.snapshot import Running
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import Group


@lru_cache(maxsize=1 << 12)
def alone(part: Part, workers: int) -> Shape:
    """A gang of only so many workers of one part, as what a running gang grows by."""
    sole = replace(part, count=workers)
    cpus, gpus, memory = part.request
    return Shape((sole,), (cpus * workers, gpus * workers, memory * workers), (part.tier,))


def sizes_of(group: Group) -> range:
    """Every size that an elastic group may have."""
    return range(group.least, group.most + 1, group.step)


def size_of(work: Running) -> int:
    """Workers of the elastic group; 0 for rigid work."""
    return work.grant.size(work.elastic.name) if work.elastic else 0


def devices(shape: Shape) -> int:
    """Accelerators that a gang asks for; CPU cores, at least one, where it asks for none."""
    return max(1, (shape.total[GPUS] or shape.total[CPUS]) // 1000)


def held_devices(slots: Iterable[Slot]) -> int:
    """Accelerators of what is held; CPU cores where it has none."""
    cpus = gpus = 0
    for _, cpu, gpu, _ in slots:
        cpus, gpus = cpus + cpu, gpus + gpu
    return (gpus or cpus) // 1000


def surplus(work: Running) -> int:
    """Devices that elastic work holds beyond its fewest workers."""
    group, size = work.elastic, size_of(work)
    return 0 if group is None or not size else held_devices(work.slots) * (size - group.least) // size


def grown(grant: Grant, pieces: Sequence[Piece], site: NodeColumns) -> Grant:
    """The grant with another slice for each piece, under names that are free."""
    slices = list(grant.slices)
    for piece in pieces:
        name = _free_name(slices, piece.part.name)
        node, tier = site.names[piece.row], site.tier_of[piece.row]
        slices.append(Slice(name, piece.part.name, node, tier, piece.workers, resources_of(piece.slot[1:])))
    return Grant(tuple(slices), grant.reason)


def shrunk(grant: Grant, group: str, workers: int, *, nodes: Collection[str] = ()) -> Grant | None:
    """The grant with fewer workers in one group, or None if the head would have to go.

    A slice is dropped whole, the smallest first; if the last holds more than must go, a smaller one takes its place.

    Args:
        grant: What is held.
        group: The elastic group.
        workers: Size afterwards, at least one.
        nodes: Nodes whose slices go before any others.
    """
    surplus, kept = grant.size(group) - workers, list(grant.slices)
    movable = [part for part in grant.slices if part.group == group and not part.head]
    for part in sorted(movable, key=lambda p: (p.node not in nodes, p.workers, -_number(p))):
        if surplus <= 0:
            break
        left = max(0, part.workers - surplus)
        surplus -= part.workers - left
        kept.remove(part)
        if left:
            each = resources_of([count // part.workers for count in amount_of(part.resources)])
            name = _free_name([*grant.slices, *kept], group)
            kept.append(replace(part, name=name, workers=left, resources=each * left))
    return Grant(tuple(kept), grant.reason) if surplus <= 0 else None


def _free_name(slices: Iterable[Slice], group: str) -> str:
    return f"{group}-{1 + max((_number(part) for part in slices if part.group == group), default=-1)}"


def _number(part: Slice) -> int:
    number = part.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1
