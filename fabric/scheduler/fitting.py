"""Whether a gang would fit once others gave back what they hold: what is asked most for whoever wants room.

Knows nothing of who gives, or of what that costs. Most gangs are one group on one tier with its head elsewhere; for
these only the nodes that get something back are counted again. All others are placed.
"""

from collections.abc import Iterable

import numpy as np

from fabric.scheduler.columns import Amounts, NodeColumns, Slot, subtract
from fabric.scheduler.placement import place
from fabric.scheduler.shape import Part, Shape
from fabric.scheduler.slices import workers_by_row


class Fitting:
    """A gang and the room that there is without anybody's help."""

    def __init__(self, shape: Shape, room: Amounts, site: NodeColumns, head: Part | None) -> None:
        """Count what fits.

        Args:
            shape: The gang.
            room: What each node has for it; not written to.
            site: The nodes.
            head: What a head of its own is charged; None for nothing.
        """
        self._shape, self._room, self._site, self._head = shape, room, site, head
        self._part = _counted(shape, room, site, head)
        self._free: dict[int, list[int]] = {}
        self._counts: dict[int, int] = {}
        self._missing = 0
        if self._part is not None:
            rows = site.rows_of[self._part.tier]
            counts = np.maximum(workers_by_row(self._part, room[rows]), 0).tolist()
            self._free = dict(zip(rows.tolist(), room[rows].tolist(), strict=True))
            self._counts = dict(zip(self._free, counts, strict=True))
            self._missing = self._part.count - sum(counts)

    def after(self, given: Iterable[Slot]) -> bool:
        """Whether the gang fits once nodes got `given` back."""
        if self._part is None:
            room = self._room.copy()
            subtract(room, given, sign=-1)
            return not place(self._shape, room, self._site, self._head).lacks
        free = dict[int, list[int]]()
        for row, *amount in given:
            before = free.get(row) or self._free.get(row)
            if before is not None:
                free[row] = [have + more for have, more in zip(before, amount, strict=True)]
        return self._missing <= sum(self._part.times_in(have) - self._counts[row] for row, have in free.items())


def _counted(shape: Shape, room: Amounts, site: NodeColumns, head: Part | None) -> Part | None:
    """The only part of a gang that is placed by counting: its tier is known, charges what is asked, and holds no heads.

    Its head, if it has one of its own, must fit already; nobody who gives something back takes that away.
    """
    part, *others = shape.parts
    if others or part.tier is None or part.tier in site.charging or part.tier not in site.rows_of or shape.brings_head:
        return None
    if head is not None and (part.tier in site.head_tiers or not _takes(head, room, site)):
        return None
    return part


def _takes(head: Part, room: Amounts, site: NodeColumns) -> bool:
    """Whether some node takes a head."""
    if not len(site.head_rows) or site.charging:
        return False
    return bool((workers_by_row(head, room[site.head_rows]) > 0).any())
