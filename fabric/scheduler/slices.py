"""Slices for the workers of one part of a gang: on which nodes, and how many workers on each.

Knows nothing of gangs, heads or time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from fabric.scheduler.charges import amount_on, payable
from fabric.scheduler.columns import CPUS, GPUS, MEMORY, Amount, Amounts, Flags, NodeColumns, Rows, Slot
from fabric.scheduler.policies.choice import Scores
from fabric.scheduler.shape import Part


@dataclass(frozen=True, slots=True)
class Piece:
    """Workers of one part on one node."""

    part: Part
    row: int
    workers: int
    head: bool = False
    """Whether the Ray head runs there."""
    charged: Amount | None = None
    """What it takes of the node, where the tier charges more than is asked for."""

    @property
    def slot(self) -> Slot:
        """What it holds."""
        if self.charged is not None:
            return (self.row, *self.charged)
        cpus, gpus, memory = self.part.request
        return (self.row, self.workers * cpus, self.workers * gpus, self.workers * memory)


def choices(part: Part, site: NodeColumns) -> Sequence[Rows]:
    """Sets of rows that a part may use, in the order in which they are tried; it stays on the first that takes all.

    A part with accelerators that names no tier stays on one: those of another kind would wait for the slowest.
    """
    if part.tier is None and part.request[GPUS]:
        return [site.rows_of[tier] for tier in site.gpu_tiers]
    rows = site.rows_of.get(part.tier)
    return () if rows is None else (rows,)


def spread(
    part: Part,
    room: Amounts,
    site: NodeColumns,
    sets: Sequence[Rows],
    *,
    scores: Scores | None = None,
    near: Sequence[int] = (),
) -> list[Piece]:
    """Pieces for every worker of one part on the first of some sets of rows that takes them all, or none.

    Args:
        part: The workers.
        room: What each node of the site has for them.
        site: The nodes.
        sets: Rows to try.
        scores: What compares nodes; None for the fullest node that takes a worker.
        near: Rows of the slices that the workload has already.
    """
    for rows in sets:
        nodes = _taking(part, room, site, rows) if len(rows) else None
        if nodes is None:
            continue
        if scores is not None:
            found = _scored(part, nodes, site, scores=scores, near=near)
        elif len(nodes.rows) > 1:
            preferred = _preference(part, nodes, site)
            found = _filled(part, nodes.rows[preferred], nodes.counts[preferred])
        else:
            found = _filled(part, nodes.rows, nodes.counts)
        if found:
            return [_charged(piece, site) for piece in found] if site.terms else found
    return []


def _charged(piece: Piece, site: NodeColumns) -> Piece:
    tier = site.tier_of[piece.row]
    if tier not in site.terms:
        return piece
    return replace(piece, charged=amount_on(piece.part, tier, piece.workers, site))


class _Nodes(NamedTuple):
    """Nodes that take workers of a part."""

    rows: Rows
    free: Amounts
    counts: Rows
    """Workers that each takes."""

    def some(self, which: Rows) -> "_Nodes":
        """Some of them, in the order of `which`."""
        return _Nodes(self.rows[which], self.free[which], self.counts[which])


def _taking(part: Part, room: Amounts, site: NodeColumns, rows: Rows) -> _Nodes | None:
    """Those of `rows` that take a worker; None if there are none."""
    # Tiers whose names sort together are looked at in place, without a copy.
    first, last = int(rows[0]), int(rows[-1])
    free = room[first : last + 1] if last - first + 1 == len(rows) else room[rows]
    fitting = np.flatnonzero(_takes_one(part, free))
    if not len(fitting):
        return None
    free = free[fitting]
    nodes = _Nodes(rows[fitting], free, workers_by_row(part, free))
    return _paying(part, nodes, site) if site.terms else nodes


def _paying(part: Part, nodes: _Nodes, site: NodeColumns) -> _Nodes | None:
    """Those of the nodes that take a worker once it is charged."""
    counts = payable(part, nodes.rows, nodes.free, counts=nodes.counts, site=site)
    paying = np.flatnonzero(counts > 0)
    return _Nodes(nodes.rows[paying], nodes.free[paying], counts[paying]) if len(paying) else None


def _filled(part: Part, rows: Rows, counts: Rows) -> list[Piece]:
    """Pieces on rows in their order, each with as many workers as it takes; none if they do not take all."""
    reach = np.cumsum(counts)
    if reach[-1] < part.count:
        return []
    end = int(np.searchsorted(reach, part.count))
    counts[end] -= reach[end] - part.count
    return [
        Piece(part, row, workers)
        for row, workers in zip(rows[: end + 1].tolist(), counts[: end + 1].tolist(), strict=True)
    ]


def _scored(part: Part, nodes: _Nodes, site: NodeColumns, *, scores: Scores, near: Sequence[int]) -> list[Piece]:
    """Pieces on the nodes of the best scores; scored again after each where the gang's own slices matter."""
    most = scores.most(part, nodes.rows, nodes.free)
    if most is not None:
        nodes = _Nodes(nodes.rows, nodes.free, np.minimum(nodes.counts, most))
        nodes = nodes.some(np.flatnonzero(nodes.counts > 0))
    if nodes.counts.sum() < part.count:
        return []
    if not scores.beside:
        order = _by_score(part, nodes, site, scores=scores, near=near)
        return _filled(part, nodes.rows[order], nodes.counts[order])
    pieces: list[Piece] = []
    left = part.count
    while left:
        best, *rest = _by_score(part, nodes, site, scores=scores, near=(*near, *(piece.row for piece in pieces)))
        pieces.append(Piece(part, int(nodes.rows[best]), min(left, int(nodes.counts[best]))))
        left -= pieces[-1].workers
        nodes = nodes.some(np.sort(np.array(rest, dtype=np.intp)))
    return pieces


def _by_score(part: Part, nodes: _Nodes, site: NodeColumns, *, scores: Scores, near: Sequence[int]) -> Rows:
    """The order of scores, best first; of equal ones what the site takes first."""
    steps = scores.steps(part, nodes.rows, nodes.free, siblings=near)
    if scores.ties == "name":
        return np.argsort(-steps, kind="stable")
    preferred = _preference(part, nodes, site)
    return preferred[np.argsort(-steps[preferred], kind="stable")]


def _takes_one(part: Part, free: Amounts) -> Flags:
    """Which rows of `free` take at least one worker."""
    (column, need), *others = part.needs
    takes: Flags = free[:, column] >= need
    for column, need in others:
        takes &= free[:, column] >= need
    return takes


def workers_by_row(part: Part, free: Amounts) -> Rows:
    """How many workers of a part fit into each row of `free`; below zero where there is less than nothing."""
    (column, need), *others = part.needs
    counts: Rows = free[:, column] // need
    for column, need in others:
        counts = np.minimum(counts, free[:, column] // need)
    return np.minimum(counts, part.count)


def _preference(part: Part, nodes: _Nodes, site: NodeColumns) -> Rows:
    """No idle accelerators for CPU work, then the fullest node, then the name, whose order rows have."""
    keys = (nodes.free[:, MEMORY], nodes.free[:, CPUS], nodes.free[:, GPUS])
    order: Rows = np.lexsort(keys if part.request[GPUS] else (*keys, site.wastes[nodes.rows]))
    return order
