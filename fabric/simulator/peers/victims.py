"""Ask running work to leave until somebody fits, and spare whoever need not.

Knows nothing of who may be asked or in which order; peers say that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fabric.scheduler.columns import subtract
from fabric.scheduler.shape import Shape
from fabric.scheduler.snapshot import Running
from fabric.simulator.peers.board import Pieces, workers_in
from fabric.simulator.peers.draft import Draft, of_names
from fabric.simulator.peers.lots import Lot

Allowed = Callable[[Sequence[Running]], bool]
"""Whether a quota allows the asker to start once these have left."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who wants room on one lot."""

    name: str
    shape: Shape
    lot: Lot
    head: bool = True
    """Whether a Ray head must find room too; what grows has one already."""


class Pool:
    """Who runs on each lot and may be asked to leave; private to one decision."""

    def __init__(self, draft: Draft, queue_of: Callable[[str], str]) -> None:
        self._draft, self._queue_of = draft, queue_of
        self._by_lot: dict[str, dict[str, list[Running]]] = {}

    def on(self, lot: Lot) -> dict[str, list[Running]]:
        """Those who could leave when the decision began, by queue; never services."""
        found = self._by_lot.get(lot.name)
        if found is None:
            found = self._by_lot[lot.name] = {}
            running = [work for work in self._draft.snapshot.running if work.settled and not work.service]
            for work in on_lot(running, lot):
                found.setdefault(self._queue_of(work.project), []).append(work)
        return found


def pieces_without(draft: Draft, asker: Asker, victims: Sequence[Running]) -> Pieces | None:
    """Where the asker would go once everybody who leaves, and the victims, have left."""
    table = draft.board.soon
    if victims:
        table = table.copy()
        for work in victims:
            subtract(table, work.slots, sign=-1)
    part = asker.shape.parts[0]
    if workers_in(part, asker.lot.rows, table) < part.count:
        return None
    return draft.board.find(asker.shape, asker.lot, table, head=asker.head)


def keep_room(draft: Draft, asker: Asker) -> bool:
    """Keep what is about to be free for the asker, if that is enough."""
    pieces = pieces_without(draft, asker, ())
    if pieces is None:
        return False
    draft.board.take(piece.slot for piece in pieces)
    return True


def on_lot(works: Sequence[Running], lot: Lot) -> list[Running]:
    """Those who hold something on a lot, in the same order."""
    rows = set(lot.rows.tolist())
    return [work for work in works if any(slot[0] in rows for slot in work.slots)]


def first_enough(draft: Draft, asker: Asker, ordered: Sequence[Running]) -> list[Running] | None:
    """The shortest beginning of `ordered` without whom the asker fits; None if even all are not enough."""
    if pieces_without(draft, asker, ordered) is None:
        return None
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if pieces_without(draft, asker, ordered[:middle]) is None:
            low = middle + 1
        else:
            high = middle
    return list(ordered[:high])


def spared(draft: Draft, asker: Asker, chosen: Sequence[Running], *, allowed: Allowed | None = None) -> list[Running]:
    """The chosen without those who may stay after all; the last chosen is looked at first."""
    kept = list(chosen)
    for work in reversed(chosen):
        rest = [one for one in kept if one is not work]
        if (allowed is None or allowed(rest)) and pieces_without(draft, asker, rest) is not None:
            kept = rest
    return kept


def evict_for(draft: Draft, asker: Asker, victims: Sequence[Running], why: str) -> None:
    """Ask victims to leave, and keep their room for the asker."""
    pieces = pieces_without(draft, asker, victims)
    for work in victims:
        draft.evict(work, f"{why} {asker.name}")
    if pieces is not None:
        draft.board.take(piece.slot for piece in pieces)
    if victims:
        draft.notes[asker.name] = f"waits until {of_names(victims[:3])} left"


def make_room(draft: Draft, asker: Asker, ordered: Sequence[Running], why: str) -> bool:
    """Keep what is about to be free, or ask the first of `ordered` to leave; whether the asker will have room.

    Args:
        draft: What is decided so far; gets what is decided here.
        asker: Who wants room.
        ordered: Who may be asked, in the order in which they are.
        why: Reason, before the asker's name.
    """
    if keep_room(draft, asker):
        return True
    candidates = on_lot(ordered, asker.lot)
    chosen = first_enough(draft, asker, candidates) if candidates else None
    if chosen is None:
        return False
    evict_for(draft, asker, spared(draft, asker, chosen), why)
    return True
