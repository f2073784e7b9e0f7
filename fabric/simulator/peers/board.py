"""What each node has free while a peer decides, and where a gang would go.

Knows nothing of queues, quotas or time. There are two tables: what is free now, and what will be once those who are
about to leave have left; who waits for the latter takes from both, so that nobody behind it gets in between.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabric.scheduler.columns import CPUS, GPUS, MEMORY, Amount, Amounts, Flags, Rows, Slot, subtract
from fabric.scheduler.placement import Piece
from fabric.scheduler.shape import Part, Shape, head_part
from fabric.scheduler.snapshot import Snapshot
from fabric.simulator.peers.lots import Lot, Lots

Pieces = tuple[Piece, ...]
"""Where the workers of a gang go."""


class Board:
    """Private to one decision."""

    def __init__(self, snapshot: Snapshot, lots: Lots, leaving: Iterable[Sequence[Slot]]) -> None:
        self.site, self.lots = snapshot.site, lots
        self.free: Amounts = snapshot.idle.copy()
        """Thousandths of CPUs and accelerators, and bytes, that nobody holds; below zero counts as nothing."""
        self.soon: Amounts = self.free.copy()
        """The same once everybody who leaves has left."""
        self.version = 0
        """Rises whenever less is free."""
        self.preferred: Flags | None = None
        """Nodes that are filled before others."""
        self._head = head_part(snapshot.head)
        self._counts: dict[tuple[Amount, str], int] = {}
        for slots in leaving:
            subtract(self.soon, slots, sign=-1)

    def use(self, lots: Lots) -> None:
        """Go on with other lots of the same nodes."""
        self.lots = lots
        self._counts.clear()

    def take(self, slots: Iterable[Slot]) -> None:
        """Let somebody hold `slots`, now or once they are free."""
        held = tuple(slots)
        subtract(self.free, held)
        subtract(self.soon, held)
        self.version += 1
        self._counts.clear()

    def leave(self, slots: Iterable[Slot]) -> None:
        """Expect `slots` to be free soon."""
        subtract(self.soon, slots, sign=-1)

    def count(self, part: Part, lot: Lot) -> int:
        """How many workers like those of `part` fit into a lot now."""
        key = (part.request, lot.name)
        found = self._counts.get(key)
        if found is None:
            found = self._counts[key] = workers_in(part, lot.rows, self.free)
        return found

    def find(self, shape: Shape, lot: Lot | None, table: Amounts, *, head: bool = True) -> Pieces | None:
        """Places for a whole gang: parts with accelerators in `lot`, others on nodes without.

        Args:
            shape: The gang.
            lot: For parts with accelerators; None if it has none.
            table: What is free; not written to.
            head: Whether it needs a Ray head too, as work that starts does and work that grows does not.
        """
        parts = shape.parts
        head_asked = self._head if head else None
        left = table if len(parts) == 1 and head_asked is None else table.copy()
        pieces: list[Piece] = []
        for part in parts:
            found = self._find_part(part, lot, left)
            if found is None:
                return None
            pieces += found
            if left is not table:
                subtract(left, [piece.slot for piece in found])
        if not head:
            return tuple(pieces)
        if len(pieces) == 1 and (head_asked is None or self.site.heads[pieces[0].row]):
            (only,) = pieces
            return (Piece(only.part, only.row, only.workers, head=True),)
        if head_asked is None:
            first, *others = pieces
            return (Piece(first.part, first.row, first.workers, head=True), *others)
        heads = spread(head_asked, self.site.head_rows, left, self.site.capacity)
        return None if heads is None else (Piece(head_asked, heads[0].row, 1, head=True), *pieces)

    def _find_part(self, part: Part, lot: Lot | None, table: Amounts) -> list[Piece] | None:
        lots = (lot,) if part.request[GPUS] and lot else self.lots.cpu
        for one in lots:
            if part.tier in (None, one.tier):
                found = spread(part, one.rows, table, self.site.capacity, prefer=self.preferred)
                if found is not None:
                    return found
        return None


def workers_in(part: Part, rows: Rows, table: Amounts) -> int:
    """How many workers like those of `part`, whatever their number, fit on `rows` together."""
    return int(np.maximum(_counts(part, table[rows]), 0).sum()) if len(rows) else 0


def spread(
    part: Part, rows: Rows, table: Amounts, capacity: Amounts, *, prefer: Flags | None = None
) -> list[Piece] | None:
    """Pieces for every worker of a part on `rows`, or None.

    As many workers as fill nodes go to empty ones; the rest packs the fullest nodes that still take it, by name.
    """
    counts = np.maximum(_counts(part, table[rows]), 0)
    if int(counts.sum()) < part.count:
        return None
    fitting = np.flatnonzero(counts)
    here, counts = rows[fitting], counts[fitting]
    free = table[here]
    keys: list[NDArray[Any]] = [free[:, MEMORY], free[:, CPUS], free[:, GPUS]]
    most = int(_counts(part, capacity[here]).max())
    left, pieces = part.count, []
    if part.count >= most > 1:
        # Whole nodes first; the last key of lexsort is the most important one.
        keys.append(counts < most)
    if prefer is not None:
        keys.append(~prefer[here])
    order = np.lexsort(keys)
    for at in _packed(order.tolist(), counts.tolist(), part.count, most):
        workers = min(left, int(counts[at]))
        pieces.append(Piece(part, int(here[at]), workers))
        left -= workers
        if not left:
            break
    return pieces


def _packed(order: list[int], counts: list[int], wanted: int, most: int) -> list[int]:
    """The order of rows, but with the rest of a gang that fills nodes on the fullest node that takes it."""
    rest = wanted % most
    if wanted < most or not rest:
        return order
    whole = [at for at in order if counts[at] == most][: wanted // most]
    others = [at for at in order if at not in whole]
    partial = [at for at in others if rest <= counts[at] < most]
    return [*whole, *partial, *(at for at in others if at not in partial)]


def _counts(part: Part, free: Amounts) -> Rows:
    (column, need), *others = part.needs
    counts: Rows = free[:, column] // need
    for column, need in others:
        counts = np.minimum(counts, free[:, column] // need)
    return counts
