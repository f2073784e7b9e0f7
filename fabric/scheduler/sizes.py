"""The sizes of an elastic gang: its shape at each of them, and which slices it keeps or gets when it changes.

Knows nothing of why it changes. A slice becomes one Ray node, which cannot change its size: it is kept whole, dropped
whole, or dropped for a smaller one on the same node.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from fabric.scheduler.charges import resources_on
from fabric.scheduler.columns import CPUS, GPUS, Amount, NodeColumns, Slot, amount_of, resources_of
from fabric.scheduler.placement import Piece, why
from fabric.scheduler.shape import Shape
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import Group


@lru_cache(maxsize=1 << 14)
def at_size(shape: Shape, group: str, workers: int) -> Shape:
    """The shape of a gang with so many workers in one group; the same object for the same question."""
    parts = tuple(replace(part, count=workers) if part.name == group else part for part in shape.parts)
    total = [sum(part.request[column] * part.count for part in parts) for column in range(3)]
    return Shape(parts, (total[0], total[1], total[2]), shape.tiers)


def sizes_below(group: Group, workers: int) -> tuple[int, ...]:
    """Sizes of an elastic group below the present one, largest first."""
    return tuple(range(workers - group.step, group.least - 1, -group.step))


def devices(request: Amount) -> int:
    """Slots of one worker as gangs are counted: whole accelerators where it has some, else CPUs; at least one."""
    return max(1, (request[GPUS] or request[CPUS]) // 1000)


def shrunk(grant: Grant, group: Group, workers: int, site: NodeColumns) -> Grant | None:
    """A grant with fewer workers in one group; None if the slice of the head would have to go.

    The smallest slices go first, so that the rest stays together; of equal ones the newest. If the last to go holds
    more workers than must go, a smaller slice takes its place, charged as its tier charges one of its size.

    Args:
        grant: What is held.
        group: The elastic group.
        workers: Fewer than now, at least one.
        site: The nodes.
    """
    surplus, kept = grant.size(group.name) - workers, list(grant.slices)
    movable = [part for part in grant.slices if part.group == group.name and not part.head]
    for part in sorted(movable, key=lambda p: (p.workers, -_number(p))):
        if surplus <= 0:
            break
        left = max(0, part.workers - surplus)
        surplus -= part.workers - left
        kept.remove(part)
        if left:
            resources = resources_on(group, part.tier, left, site)
            kept.append(replace(part, name=_free_name(grant.slices, group.name), workers=left, resources=resources))
    return Grant(tuple(kept), why(kept)) if surplus <= 0 else None


def freed(grant: Grant, group: Group | None, workers: int, site: NodeColumns) -> tuple[Slot, ...]:
    """What nodes get back if a grant is shrunk to so many workers of its elastic group; nothing if it cannot be."""
    kept = shrunk(grant, group, workers, site) if group is not None else None
    return () if kept is None else given_back(grant, kept, site)


def given_back(grant: Grant, kept: Grant, site: NodeColumns) -> tuple[Slot, ...]:
    """What nodes get back if a grant becomes a smaller one."""
    left, before = {part.name for part in kept.slices}, {part.name for part in grant.slices}
    gone = site.slots(part for part in grant.slices if part.name not in left)
    again = site.slots(part for part in kept.slices if part.name not in before)
    return (*gone, *((row, -cpus, -gpus, -memory) for row, cpus, gpus, memory in again))


def request_of(group: Group) -> Amount:
    """What each worker of a group asks for, as whole numbers."""
    return amount_of(group.request)


def grown(grant: Grant, pieces: Sequence[Piece], site: NodeColumns) -> Grant:
    """A grant with a slice more for each of `pieces`, under names that are free."""
    slices = list(grant.slices)
    for piece in pieces:
        name, where = _free_name(slices, piece.part.name), (site.names[piece.row], site.tier_of[piece.row])
        slices.append(Slice(name, piece.part.name, *where, piece.workers, resources_of(piece.slot[1:])))
    return Grant(tuple(slices), why(slices))


def _free_name(slices: Iterable[Slice], group: str) -> str:
    """The name after the highest number; a name that was given back may come again, as its Ray node is gone."""
    return f"{group}-{1 + max((_number(part) for part in slices if part.group == group), default=-1)}"


def _number(part: Slice) -> int:
    number = part.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1
