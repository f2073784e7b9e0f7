"""Lend idle serving nodes to training and take them back whole, at least cost.

Knows nothing of which training job would use them.

Source:
    Lyra, EuroSys'23 (Aryl, arXiv 2202.07896), sections 3 to 4: servers are lent and returned whole; of those to return,
    the one whose jobs have the smallest part of their devices there goes first, and jobs that are preempted for one
    server free others; workers beyond a job's base demand leave without preempting it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from pydantic import Field

from fabric.scheduler.columns import GPUS
from fabric.scheduler.snapshot import Running
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.gangs import held_devices, shrunk, size_of, surplus
from fabric.simulator.peers.lots import Lot, Lots
from fabric.simulator.peers.services import Autoscaling, begin, replicas, scale, services, wanted
from fabric.simulator.peers.settings import SplitSettings


class LoanSettings(SplitSettings):
    """When serving nodes are lent."""

    look_s: float = Field(default=600.0, ge=0)
    """How far ahead the need of services decides what is kept: two of Lyra's intervals of five minutes, as a replica
    takes some of them to start. 0 lends by the last value."""

    spare_nodes: int = Field(default=1, ge=0)
    """Serving nodes that are kept idle beyond the need that is foreseen. Lyra's headroom; the number is ours."""

    settle_s: float = Field(default=300.0, ge=0)
    """Seconds after a change of size before a service shrinks: an interval of Lyra's orchestrator."""


def lend(draft: Draft, settings: LoanSettings) -> None:
    """Scale services on their nodes, then lend whole nodes that they do not need; takes nodes back if too few are left.

    The lot of their tier has the lent nodes as well from then on, and fills its own first.
    """
    apart = draft.lots.apart
    how = Autoscaling(headroom=0.0, look_s=settings.look_s, settle_s=settings.settle_s)
    sizes = {service.name: wanted(service, how, draft.now) for service in services(draft)}
    if apart is None:
        begin(draft)
        scale(draft, sizes, settle_s=settings.settle_s)
        return
    by_row = _borrowers(draft, apart)
    serving = _serving_rows(draft, apart)
    vacant = [row for row in apart.rows.tolist() if row not in serving and not by_row.get(row)]
    kept = _needed_nodes(draft, apart, sizes) + settings.spare_nodes
    short = kept - len(vacant)
    leaving = reclaim(draft, by_row, short) if short > 0 else set()
    lent = sorted({*by_row} - leaving | set(vacant[max(0, kept) :]))
    own, training = _with_lent(draft.lots, tuple(lent))
    draft.use(own)
    begin(draft)
    scale(draft, sizes, settle_s=settings.settle_s)
    draft.use(training)
    draft.board.preferred = ~np.isin(np.arange(len(draft.site.names)), apart.rows)


def reclaim(draft: Draft, by_row: Mapping[int, Sequence[Running]], number: int) -> set[int]:
    """Take back at least so many nodes whole, or all: the cheapest to empty first.

    Args:
        draft: What is decided so far; gets what is decided here.
        by_row: Who borrows on each node.
        number: Nodes that are wanted.

    Returns:
        The nodes' rows.
    """
    left = {row: {work.name: work for work in works} for row, works in by_row.items()}
    taken: set[int] = {row for row, works in left.items() if all(w.name in draft.leaving for w in works.values())}
    gone: dict[str, Running] = {}
    while len(taken) < number and len(taken) < len(left):
        open_rows = [row for row in left if row not in taken]
        row = min(open_rows, key=lambda row: (_price(draft, left[row].values(), row, gone), row))
        gone |= left[row]
        taken.add(row)
        # Whoever left for this node may have been all that kept another.
        taken |= {other for other in open_rows if _price(draft, left[other].values(), other, gone) == 0.0}
    for work in gone.values():
        if draft.movable(work):
            _leave_rows(draft, work, taken)
    return taken


def _price(draft: Draft, works: Iterable[Running], row: int, gone: Mapping[str, Running]) -> float:
    """Parts of jobs that would be preempted to empty a node; workers beyond a job's fewest cost nothing."""
    total = 0.0
    for work in works:
        if work.name in gone or work.name in draft.leaving:
            continue
        here = held_devices(slot for slot in work.slots if slot[0] == row)
        if here > surplus(work):
            total += here / max(1, held_devices(work.slots))
    return total


def _leave_rows(draft: Draft, work: Running, rows: set[int]) -> None:
    """Let an elastic job give up what it has on some nodes if the rest is enough for it; else it leaves."""
    nodes = {draft.site.names[row] for row in rows}
    group = work.elastic
    if group is not None:
        here = sum(part.workers for part in work.grant.slices if part.group == group.name and part.node in nodes)
        size = size_of(work) - here
        size -= max(0, (size - group.least) % group.step)
        grant = shrunk(work.grant, group.name, size, nodes=nodes) if size >= group.least and here else None
        if grant is not None and not any(part.node in nodes for part in grant.slices):
            draft.shrink(work, grant, "gives lent nodes back")
            return
    draft.evict(work, "its nodes go back to serving")


def _borrowers(draft: Draft, apart: Lot) -> dict[int, list[Running]]:
    """Who runs on serving nodes and is no service, by row."""
    rows = set(apart.rows.tolist())
    found: dict[int, list[Running]] = {}
    for work in draft.snapshot.running:
        if not work.service and work.rank > 0:
            for row in sorted({slot[0] for slot in work.slots} & rows):
                found.setdefault(row, []).append(work)
    return found


def _serving_rows(draft: Draft, apart: Lot) -> set[int]:
    rows = set(apart.rows.tolist())
    return {slot[0] for work in draft.snapshot.running if work.rank == 0 for slot in work.slots} & rows


def _needed_nodes(draft: Draft, apart: Lot, sizes: Mapping[str, int]) -> int:
    """Nodes without replicas that services will want, beyond what fits beside those they have."""
    each = int(draft.site.capacity[apart.rows, GPUS].max()) // 1000 if len(apart.rows) else 1
    serving = np.array(sorted(_serving_rows(draft, apart)), dtype=np.intp)
    beside = int(draft.board.soon[serving, GPUS].clip(min=0).sum()) // 1000
    missing = 0
    for service in services(draft):
        part, more = replicas(service), sizes[service.name] - size_of(service)
        if part is not None and more > 0:
            missing += more * part.request[GPUS] // 1000
    waiting = [work for work in draft.ready if work.rank == 0]
    missing += sum(work.shape.total[GPUS] // 1000 for work in waiting)
    return math.ceil(max(0, missing - beside) / max(1, each))


@lru_cache(maxsize=256)
def _with_lent(lots: Lots, lent: tuple[int, ...]) -> tuple[Lots, Lots]:
    """The lots for services, without what is lent, and for training, with it."""
    apart = lots.apart
    if apart is None:
        return lots, lots
    rows = np.array(lent, dtype=np.intp)
    own = np.setdiff1d(apart.rows, rows)
    each = apart.devices // max(1, len(apart.rows))
    rest = Lot(apart.name, apart.tier, own, apart.speed, each * len(own))
    gpu = tuple(
        Lot(lot.name, lot.tier, np.concatenate((lot.rows, rows)), lot.speed, lot.devices + each * len(rows))
        if lot.tier == apart.tier
        else lot
        for lot in lots.gpu
    )
    return Lots(lots.gpu, lots.cpu, (rest,), rest), Lots(gpu, lots.cpu, (rest,), rest)
