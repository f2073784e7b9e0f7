"""How KAI makes room: whom it may reclaim or preempt, what it moves together, and what elastic jobs give and get.

Knows nothing of the order in which jobs are looked at.

Source:
    KAI-Scheduler, docs/fairness (reclaim by saturation), docs/plugins/minruntime, docs/elastic (what goes beyond the
    fewest workers is evicted first), docs on consolidation (only if everybody who is moved finds another place).
"""

from collections.abc import Callable, Sequence

from fabric.core.resources import Resources
from fabric.scheduler.columns import GPUS, Amounts, amount_of, resources_of, subtract
from fabric.scheduler.shape import Part, Shape, part_of
from fabric.scheduler.snapshot import Running
from fabric.simulator.peers.batch import lots_for
from fabric.simulator.peers.board import Pieces, workers_in
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.gangs import alone, held_devices, shrunk, size_of, sizes_of, surplus
from fabric.simulator.peers.kai_shares import TINY
from fabric.simulator.peers.lots import Lot
from fabric.simulator.peers.quotas import Quotas
from fabric.simulator.peers.victims import Asker, Pool, evict_for, first_enough, on_lot, pieces_without, spared
from fabric.workloads.record import Grant

Fair = Callable[[str, Lot], float]
"""Devices of a lot that a queue should have."""


class Rules:
    """Who may take from whom; private to one decision."""

    def __init__(self, draft: Draft, quotas: Quotas, reclaim: str, *, fair: Fair) -> None:
        self._draft, self._quotas, self._reclaim, self._fair = draft, quotas, reclaim, fair
        self._pool = Pool(draft, quotas.queue)

    def within(self, queue: str, lot: Lot, asked: float) -> bool:
        """Whether a queue with `asked` more stays within what it may take back."""
        return self._quotas.used_on(queue, lot) + asked <= self._due(queue, lot) + TINY

    def reclaimable(self, queue: str, lot: Lot, asked: float, *, min_run_s: float) -> list[Running]:
        """Work of other queues, in order: the most saturated queue first, in it the least urgent and newest.

        A queue gives what it has beyond its due, and only to one that ends up less saturated than it was. The last one
        to leave may push it below, since work cannot be cut to size. Who has not run for `min_run_s` gives its surplus.
        """
        if not self.within(queue, lot, asked):
            return []
        mine = self._saturation(queue, lot, asked)
        found: list[Running] = []
        by_queue = self._pool.on(lot)
        for other in sorted(by_queue.keys() - {queue}, key=self._by(lot)):
            spare = self._quotas.used_on(other, lot) - self._due(other, lot)
            if spare <= TINY or (self._reclaim == "fair-share" and mine > self._saturation(other, lot)):
                continue
            for work in sorted(by_queue[other], key=_newest):
                old = self._draft.now - work.since >= min_run_s
                gives = (held_devices(work.slots) if old else surplus(work)) if self._draft.movable(work) else 0
                if gives and spare > TINY:
                    found.append(work)
                    spare -= gives
        return found

    def preemptible(self, queue: str, lot: Lot, rank: int) -> list[Running]:
        """Less urgent work of the same queue, the least urgent and newest first."""
        works = self._pool.on(lot).get(queue, ())
        return sorted((work for work in works if work.rank > rank and self._draft.movable(work)), key=_newest)

    def _due(self, queue: str, lot: Lot) -> float:
        return self._quotas.entitled(queue, lot) if self._reclaim == "deserved" else self._fair(queue, lot)

    def _saturation(self, queue: str, lot: Lot, more: float = 0.0) -> float:
        fair, used = self._fair(queue, lot), self._quotas.used_on(queue, lot) + more
        return used / fair if fair > 0 else (float("inf") if used > 0 else 0.0)

    def _by(self, lot: Lot) -> Callable[[str], tuple[float, str]]:
        return lambda queue: (-self._saturation(queue, lot), queue)


def _newest(work: Running) -> tuple[int, float, str]:
    return (-work.rank, -work.since, work.name)


def make_room(
    draft: Draft, quotas: Quotas, asker: Asker, *, victims: Sequence[Running], min_run_s: float, why: str
) -> bool:
    """Let victims give up what goes beyond their fewest workers, else leave; whether the asker will have room.

    Args:
        draft: What is decided so far; gets what is decided here.
        quotas: What queues hold; gets what is given back.
        asker: Who wants room.
        victims: Who may be asked, in order.
        min_run_s: Seconds of running before which only surplus workers are taken.
        why: Reason, before the asker's name.
    """
    candidates = on_lot(victims, asker.lot)
    if not candidates:
        return False
    if _take_surplus(draft, quotas, asker, candidates, why=why):
        return True
    old = [work for work in candidates if draft.now - work.since >= min_run_s]
    chosen = first_enough(draft, asker, old) if old else None
    if chosen is None:
        return False
    chosen = spared(draft, asker, chosen)
    quotas.give_back(chosen)
    evict_for(draft, asker, chosen, why)
    return True


def _take_surplus(draft: Draft, quotas: Quotas, asker: Asker, victims: Sequence[Running], *, why: str) -> bool:
    """Shrink elastic jobs until the asker fits, if that is enough."""
    table: Amounts = draft.board.soon.copy()
    shrinks: list[tuple[Running, Grant]] = []
    part = asker.shape.parts[0]
    for work in victims:
        group = work.elastic
        grant = shrunk(work.grant, group.name, group.least) if group and size_of(work) > group.least else None
        if grant is None:
            continue
        shrinks.append((work, grant))
        subtract(table, work.slots, sign=-1)
        subtract(table, draft.site.slots(grant.slices))
        enough = workers_in(part, asker.lot.rows, table) >= part.count
        pieces = draft.board.find(asker.shape, asker.lot, table, head=asker.head) if enough else None
        if pieces is not None:
            _shrink_all(draft, quotas, shrinks, f"{why} {asker.name}")
            draft.board.take(piece.slot for piece in pieces)
            return True
    return False


def _shrink_all(draft: Draft, quotas: Quotas, shrinks: Sequence[tuple[Running, Grant]], reason: str) -> None:
    for work, grant in shrinks:
        quotas.give(work)
        quotas.take_slots(work.project, draft.site.slots(grant.slices))
        draft.shrink(work, grant, reason)


def consolidate(draft: Draft, asker: Asker, most: int) -> bool:
    """Move at most `most` jobs elsewhere so that the asker fits; whether that is possible.

    Only where the devices are there and are scattered. Nodes with most idle devices are emptied first.
    """
    idle = int(draft.board.free[asker.lot.rows, GPUS].clip(min=0).sum())
    if not 0 < asker.shape.total[GPUS] <= idle:
        return False
    movable = [w for w in draft.snapshot.running if draft.movable(w) and not w.service]
    on_row: dict[int, list[Running]] = {}
    for work in movable:
        for row in {slot[0] for slot in work.slots}:
            on_row.setdefault(row, []).append(work)
    rows = sorted(asker.lot.rows.tolist(), key=lambda row: (-int(draft.board.free[row, GPUS]), row))
    chosen: dict[str, Running] = {}
    for row in rows:
        chosen |= {work.name: work for work in on_row.get(row, ())}
        moved = list(chosen.values())
        if pieces_without(draft, asker, moved) is None:
            continue
        moved = spared(draft, asker, moved)
        places = _relocated(draft, asker, moved)
        if places is not None and 0 < len(moved) <= most:
            evict_for(draft, asker, moved, "moved for")
            draft.board.take(piece.slot for pieces in places for piece in pieces)
            return True
    return False


def _relocated(draft: Draft, asker: Asker, moved: Sequence[Running]) -> list[Pieces] | None:
    """Other places for everybody who is moved, beside the asker; None if somebody finds none."""
    own = pieces_without(draft, asker, moved)
    if own is None:
        return None
    table = draft.board.soon.copy()
    for work in moved:
        subtract(table, work.slots, sign=-1)
    subtract(table, [piece.slot for piece in own])
    places = []
    for work in sorted(moved, key=lambda w: (-held_devices(w.slots), w.name)):
        shape = shape_of_running(work)
        lots = [lot for lot in lots_for(shape, draft.lots) if lot.tier in {part.tier for part in work.grant.slices}]
        pieces = draft.board.find(shape, lots[0], table, head=False) if lots else None
        if pieces is None:
            return None
        subtract(table, [piece.slot for piece in pieces])
        places.append(pieces)
    return places


def shape_of_running(work: Running) -> Shape:
    """The gang that running work is, its head as a part of its own."""
    workers: dict[str, tuple[int, Resources]] = {}
    for part in work.grant.slices:
        each = resources_of([count // part.workers for count in amount_of(part.resources)])
        workers[part.group] = (workers.get(part.group, (0, each))[0] + part.workers, each)
    parts: tuple[Part, ...] = tuple(part_of(name, each, count) for name, (count, each) in sorted(workers.items()))
    total = [sum(part.request[column] * part.count for part in parts) for column in range(3)]
    ordered = tuple(sorted(parts, key=lambda part: (-part.request[GPUS], part.name)))
    return Shape(ordered, (total[0], total[1], total[2]), tuple(None for _ in ordered))


def grow_elastic(draft: Draft, quotas: Quotas, settle_s: float, *, fair: Fair) -> None:
    """Give idle devices to elastic jobs that run, the least saturated queue first; as many as fit of what they may use.

    Args:
        draft: What is decided so far; gets what is decided here.
        quotas: What queues hold.
        settle_s: Seconds of running at one size before a job grows.
        fair: Devices of a lot that a queue should have.
    """
    board = draft.board

    def key(work: Running) -> tuple[float, float, str]:
        queue = quotas.queue(work.project)
        lots = draft.lots.gpu
        share = sum(fair(queue, lot) for lot in lots)
        return (sum(quotas.used_on(queue, lot) for lot in lots) / share if share else 0.0, work.submitted, work.name)

    growing = [
        work
        for work in draft.snapshot.running
        if work.elastic and not work.service and draft.movable(work) and draft.now - work.since >= settle_s
    ]
    for work in sorted(growing, key=key):
        group, size = work.elastic, size_of(work)
        part = next((p for p in shape_of_running(work).parts if group and p.name == group.name), None)
        tier = next((p.tier for p in work.grant.slices if group and p.group == group.name), None)
        lot = next((one for one in draft.lots.gpu if one.tier == tier), None)
        if group is None or part is None or lot is None:
            continue
        most = min(group.most, size + board.count(part, lot))
        target = max((n for n in sizes_of(group) if n <= most), default=size)
        pieces = board.find(alone(part, target - size), lot, board.free, head=False) if target > size else None
        if pieces:
            quotas.take(work.project, pieces)
            draft.grow(work, pieces, f"{target - size} more workers are idle")
