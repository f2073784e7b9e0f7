"""What every queue holds while a decision is made, beside what it is entitled to.

Knows nothing of which peer asks. A queue is a project; where the site says nothing of shares, all are one queue.
"""

from collections.abc import Mapping, Sequence

from fabric.scheduler.columns import Slot
from fabric.scheduler.shape import Shape
from fabric.scheduler.snapshot import Running
from fabric.simulator.peers.board import Pieces
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.gangs import devices
from fabric.simulator.peers.lots import Lot
from fabric.simulator.peers.shares import Held, add, entitled, held, lots_by_row

ALL = "all"
"""The only queue of a site without shares."""


class Quotas:
    """Private to one decision."""

    def __init__(self, draft: Draft, shares: Mapping[str, float]) -> None:
        self._draft, self._shares = draft, shares
        self._one = not shares and not draft.snapshot.tree.entries
        self._lot_of = lots_by_row(draft)
        self._entitled: dict[tuple[str, str], float] = {}
        self.used: Held = {}
        for (project, lot), amount in held(draft).items():
            key = (self.queue(project), lot)
            self.used[key] = self.used.get(key, 0.0) + amount

    def queue(self, project: str) -> str:
        """The queue of a project."""
        return ALL if self._one else project

    def entitled(self, queue: str, lot: Lot) -> float:
        """Devices of a lot that are a queue's own."""
        found = self._entitled.get((queue, lot.name))
        if found is None:
            found = self._entitled[queue, lot.name] = entitled(queue, lot, self._draft, self._shares)
        return found

    def used_on(self, queue: str, lot: Lot) -> float:
        """Devices of a lot that a queue holds."""
        return self.used.get((queue, lot.name), 0.0)

    def over(self, queue: str, lot: Lot, more: float = 0.0) -> float:
        """Devices that a queue holds beyond its own, with `more` added; below zero where it has some to spare."""
        return self.used_on(queue, lot) + more - self.entitled(queue, lot)

    def borrowed(self, queue: str, more: float = 0.0, on: Lot | None = None) -> float:
        """Share of all accelerators that a queue holds beyond its own, with `more` added on one lot, 0 to 1."""
        lots = self._draft.lots.gpu
        total = sum(lot.devices for lot in lots) or 1
        return sum(max(0.0, self.over(queue, lot, more if lot is on else 0.0)) for lot in lots) / total

    def take(self, project: str, pieces: Pieces) -> None:
        """Count what a project gets."""
        add(self.used, self.queue(project), (piece.slot for piece in pieces), lot_of=self._lot_of)

    def take_slots(self, project: str, slots: Sequence[Slot]) -> None:
        """Count what a project keeps of what it gave back."""
        add(self.used, self.queue(project), slots, lot_of=self._lot_of)

    def take_devices(self, project: str, lot: Lot, amount: float) -> None:
        """Count what is kept for a project."""
        key = (self.queue(project), lot.name)
        self.used[key] = self.used.get(key, 0.0) + amount

    def give(self, work: Running, sign: float = 1.0) -> None:
        """Count what work gives back, or take it again with a `sign` of -1."""
        add(self.used, self.queue(work.project), work.slots, lot_of=self._lot_of, sign=-sign)

    def give_back(self, works: Sequence[Running]) -> None:
        """Count what several give back."""
        for work in works:
            self.give(work)


def asked_on(shape: Shape) -> float:
    """Devices that a gang asks for."""
    return float(devices(shape))
