"""Put a gang on nodes: all of its groups and its head, or nothing.

Knows nothing of queues or time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fabric.core.errors import DoesNotFit
from fabric.core.resources import Resources
from fabric.scheduler.charges import amount_on, bill_of, payable
from fabric.scheduler.columns import Amounts, Node, NodeColumns, NodeState, Rows, Slot, resources_of
from fabric.scheduler.plan import Shortfall
from fabric.scheduler.policies.choice import Scores
from fabric.scheduler.ram import require_payable
from fabric.scheduler.shape import Part, Shape, head_part, part_of_group, shape_of
from fabric.scheduler.slices import Piece, choices, spread, workers_by_row
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import HEAD_GROUP, Group

__all__ = ["Attempt", "Piece", "grant_of", "place", "require_possible", "shortfalls", "workers_by_row"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A placement that worked, or what was in its way and what it would have taken elsewhere."""

    pieces: tuple[Piece, ...]
    """Of the parts that did fit, the head first."""
    lacks: tuple[Part, ...]
    """Parts that did not; empty if the whole gang fits."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """What the pieces hold."""
        return tuple(piece.slot for piece in self.pieces)


def place(
    shape: Shape,
    room: Amounts,
    site: NodeColumns,
    head: Part | None,
    *,
    scores: Scores | None = None,
    beside: Sequence[int] = (),
) -> Attempt:
    """Find nodes for every part and the head, or say which part does not fit.

    Parts with accelerators choose first, as they have the fewest nodes. Each takes the node of the best score; without
    scores it packs the fullest node that still takes a worker, and a part without accelerators prefers nodes that have
    none. A part with accelerators that names no tier stays on one, the fastest on which it fits, since accelerators of
    different kinds would wait for the slowest. Where the whole request is one slice on a node that may hold heads, the
    head runs inside it.

    Args:
        shape: The gang.
        room: What each node has for it; not written to. Below zero counts as nothing.
        site: The nodes.
        head: What a head of its own is charged; None for nothing, then it runs inside the first slice. A gang that
            brings its head is charged none beside it.
        scores: What compares nodes, if the site weighs policies.
        beside: Rows of slices that the workload holds already.
    """
    brought = shape.brings_head
    head = None if brought else head
    alone = len(shape.parts) == 1 and head is None
    left = room if alone else room.copy()
    pieces: list[Piece] = []
    lacks: list[Part] = []
    for part in shape.parts:
        near = (*beside, *(piece.row for piece in pieces)) if scores else ()
        found = spread(part, left, site, choices(part, site), scores=scores, near=near)
        if not found:
            lacks.append(part)
        pieces += found
        if not alone:
            for piece in found:
                left[piece.row] -= piece.slot[1:]
    if brought:
        return Attempt(tuple(_head_first(pieces)), tuple(lacks))
    if not lacks and (head is None or (len(pieces) == 1 and site.heads[pieces[0].row])):
        return Attempt((_with_head(pieces[0]), *pieces[1:]), ())
    if head is not None:
        near = (*beside, *(piece.row for piece in pieces)) if scores else ()
        heads = spread(head, left, site, (site.head_rows,), scores=scores, near=near)
        pieces = [*map(_with_head, heads), *pieces]
        lacks += [] if heads else [head]
    return Attempt(tuple(pieces), tuple(lacks))


def _head_first(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces of a gang that brings its head."""
    heads = [_with_head(piece) for piece in pieces if piece.part.name == HEAD_GROUP]
    return [*heads, *(piece for piece in pieces if piece.part.name != HEAD_GROUP)]


def _with_head(piece: Piece) -> Piece:
    return Piece(piece.part, piece.row, piece.workers, head=True, charged=piece.charged)


def grant_of(attempt: Attempt, site: NodeColumns) -> Grant:
    """The slices of an attempt that worked, numbered inside each group, with one line that says where they are."""
    numbers: dict[str, int] = {}
    slices = []
    for piece in attempt.pieces:
        name = piece.part.name
        number = numbers[name] = numbers.get(name, -1) + 1
        node, tier = site.names[piece.row], site.tier_of[piece.row]
        label = name if name == HEAD_GROUP else f"{name}-{number}"
        resources = resources_of(piece.slot[1:])
        slices.append(Slice(label, name, node, tier, piece.workers, resources, head=piece.head))
    return Grant(tuple(slices), why(slices))


def why(slices: Sequence[Slice]) -> str:
    """One line that names each group with its nodes."""
    groups: dict[str, list[str]] = {}
    for part in slices:
        groups.setdefault(part.group, []).append(f"{part.workers} on {part.node}")
    return "; ".join(f"{group}: {', '.join(where)}" for group, where in groups.items())


def shortfalls(shape: Shape, room: Amounts, site: NodeColumns, head: Part | None) -> tuple[Shortfall, ...]:
    """What each part that does not fit lacks; empty if the whole gang fits into `room`."""
    attempt = place(shape, room, site, head)
    left = np.maximum(room, 0)
    for row, *amount in attempt.slots if attempt.lacks else ():
        left[row] -= amount
    return tuple(_shortfall(part, left, site) for part in attempt.lacks)


def _shortfall(part: Part, left: Amounts, site: NodeColumns) -> Shortfall:
    is_head = part.name == HEAD_GROUP and part.tier is None
    # Told of those nodes that take the most of it, as it may not be spread over all.
    fitting, rows = max(
        ((_fitting(part, left, rows, site), rows) for rows in ((site.head_rows,) if is_head else choices(part, site))),
        key=lambda found: found[0],
        default=(0, site.rows_of.get(part.tier, site.head_rows[:0])),
    )
    tiers = {site.tier_of[row] for row in rows.tolist()} if site.charging else set()
    charging = tiers.pop() if len(tiers) == 1 else ""
    # All workers in one slice are charged the least.
    least = resources_of(amount_on(part, charging, part.count, site))
    missing = least.shortfall(resources_of(left[rows].sum(axis=0).tolist()))
    tier = (", ".join(site.head_tiers) or None) if is_head else part.tier
    asked = resources_of(amount_on(part, charging, 1, site))
    return Shortfall(part.name, tier, asked, part.count, min(fitting, part.count), missing)


def _fitting(part: Part, left: Amounts, rows: Rows, site: NodeColumns) -> int:
    """How many workers of a part fit into what `rows` have left."""
    if not len(rows):
        return 0
    counts = np.maximum(workers_by_row(part, left[rows]), 0)
    return int((payable(part, rows, left[rows], counts=counts, site=site) if site.charging else counts).sum())


def require_possible(workload: str, groups: Sequence[Group], nodes: Sequence[Node], head: Resources) -> None:
    """Check that the empty site could hold the gang.

    Raises:
        DoesNotFit: Naming the group, what it asks and the largest possible; with the RAM bill where that is too large.
    """
    for group, part in zip(groups, map(part_of_group, groups), strict=True):
        _require_node(workload, group, part, nodes)
    # What is down today may be up again when its turn comes.
    site = NodeColumns.of(replace(node, state=NodeState.READY) for node in nodes)
    missing = shortfalls(shape_of(groups), site.capacity, site, head_part(head))
    if missing:
        raise DoesNotFit(
            f"{workload}: cannot be placed even on the empty site: {'; '.join(map(str, missing))}. "
            "Ask for fewer or smaller workers."
        )


def _require_node(workload: str, group: Group, part: Part, nodes: Sequence[Node]) -> None:
    """Check that some empty node takes a worker.

    Raises:
        DoesNotFit: If none does.
    """
    candidates = [node for node in nodes if part.tier in (None, node.tier)]
    if not candidates:
        tiers = sorted({node.tier for node in nodes})
        raise DoesNotFit(
            f"{workload}: group {part.name} wants tier {part.tier!r}, but the site has {', '.join(tiers)}.",
            group=part.name,
        )
    # Nodes of one tier are alike.
    if any(_takes(node, part) for node in {(n.tier, n.capacity): n for n in candidates}.values()):
        return
    largest = max(candidates, key=lambda n: (n.capacity.gpus, n.capacity.cpus, n.capacity.memory))
    if group.request.fits(largest.capacity) and largest.terms is not None:
        require_payable(f"{workload}: group {part.name}", bill_of(part, largest.terms), largest.capacity)
    raise DoesNotFit(
        f"{workload}: group {part.name} asks for {group.request} per worker, but the largest node "
        f"({largest.name}, tier {largest.tier}) has {largest.capacity}. Ask for that or less, "
        "or for more workers.",
        group=part.name,
    )


def _takes(node: Node, part: Part) -> bool:
    """Whether a node, if empty, takes a worker."""
    if node.terms is None:
        return resources_of(part.request).fits(node.capacity)
    return bill_of(part, node.terms).beside(frozenset()).fits(node.capacity)
