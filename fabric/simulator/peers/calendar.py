"""When the room of running work comes back by its walltimes, and what is reserved for those who wait for it.

Knows nothing of the order in which anybody is looked at. Work without a walltime stays for ever.
"""

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fabric.scheduler.columns import CPUS, GPUS, Amount, Amounts, Rows, Slot, subtract
from fabric.scheduler.shape import Shape
from fabric.simulator.peers.board import Board, Pieces, workers_in
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.lots import Lot

OVERDUE_S = 1.0
"""How much longer work is expected to stay that is past its walltime, in seconds."""


class Releases(NamedTuple):
    """What comes back on the nodes of one lot, by time."""

    times: list[float]
    """Seconds since the epoch."""
    rows: Rows
    amounts: Amounts
    devices: list[int]
    """How many accelerators (CPU cores, on a lot without) will have come back with each."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What nobody else may hold from an instant on."""

    start: float
    end: float
    slots: tuple[Slot, ...]


class Calendar:
    """Private to one decision; changes with the board."""

    def __init__(self, draft: Draft, horizon_s: float = math.inf) -> None:
        self._draft, self._board, self._horizon_s = draft, draft.board, horizon_s
        self.now = draft.now
        self._reservations: list[Reservation] = []
        self._starts: list[float] = []
        self._later: list[Amounts] = []
        self._least: list[Amounts] = []
        self._version = -1
        self._counts: dict[tuple[Amount, str, int], int] = {}
        self._releases: dict[str, Releases] = {}
        self._started: list[tuple[float, Slot]] = []

    def class_of(self, end: float) -> int:
        """How many reservations begin before `end`."""
        return bisect_left(self._starts, end)

    def room(self, end: float) -> Amounts:
        """What work that starts now and stays until `end` may use; not to be written to."""
        number = self.class_of(end)
        if not number:
            return self._board.free
        self._refresh()
        return self._least[number - 1]

    def count(self, shape: Shape, lot: Lot, end: float) -> int:
        """How many workers like those of a gang's first part fit into a lot until `end`."""
        number, part = self.class_of(end), shape.parts[0]
        if not number:
            return self._board.count(part, lot)
        self._refresh()
        key = (part.request, lot.name, number)
        found = self._counts.get(key)
        if found is None:
            found = self._counts[key] = workers_in(part, lot.rows, self._least[number - 1])
        return found

    def find(self, shape: Shape, lot: Lot, end: float) -> Pieces | None:
        """Places for a gang that stays until `end` and delays no reservation."""
        if self.count(shape, lot, end) < shape.parts[0].count:
            return None
        return self._board.find(shape, lot, self.room(end))

    def hold(self, pieces: Pieces, end: float) -> None:
        """Count what the draft lets somebody hold from now until `end`."""
        slots = tuple(piece.slot for piece in pieces)
        for start, later in zip(self._starts, self._later, strict=True):
            if start < end:
                subtract(later, slots)
        if end < math.inf:
            self._started += [(end, slot) for slot in slots]
            self._releases.clear()

    def reserve(self, shape: Shape, lot: Lot, duration_s: float) -> float | None:
        """Set aside what a gang needs at its earliest start on a lot; None if nobody can say when within the horizon.

        Of gangs whose parts go to different lots, the others and the head are taken to find room.
        """
        here = [part for part in shape.parts if bool(part.request[GPUS]) == bool(lot in self._draft.lots.gpu)]
        sole = Shape(tuple(here), shape.total, shape.tiers)
        coming = self.releases(lot)
        for start in self._candidates(self._first(sole, lot, coming), coming):
            if start > self.now + self._horizon_s:
                return None
            table = self._free_at(coming, bisect_right(coming.times, start))
            for other in self._reservations:
                if other.start < start + duration_s and other.end > start:
                    subtract(table, other.slots)
            pieces = self._board.find(sole, lot, table, head=False)
            if pieces is not None:
                self._keep(pieces, start, duration_s, table=table)
                return start
        return None

    def _candidates(self, number: int, coming: Releases) -> list[float]:
        """Instants at which room may come back once so many releases have: those, and ends of reservations."""
        if number > len(coming.times):
            return []
        least = coming.times[number - 1] if number else self.now
        ends = [other.end for other in self._reservations if other.end > least]
        return sorted({least, *coming.times[number:], *ends})

    def expected(self, lot: Lot, devices: int) -> float:
        """The first instant at which so many devices of a lot will have become free; infinite if never."""
        column = GPUS if lot in self._draft.lots.gpu else CPUS
        missing = devices - int(np.maximum(self._board.free[lot.rows, column], 0).sum()) // 1000
        if missing <= 0:
            return self.now
        coming = self.releases(lot)
        at = bisect_left(coming.devices, missing)
        return coming.times[at] if at < len(coming.times) else math.inf

    def releases(self, lot: Lot) -> Releases:
        """What comes back on a lot."""
        found = self._releases.get(lot.name)
        if found is None:
            found = self._releases[lot.name] = self._collect(lot)
        return found

    def _collect(self, lot: Lot) -> Releases:
        mine = set(lot.rows.tolist())
        ends = [
            (self._end(work.name, work.ends), slot)
            for work in self._draft.snapshot.running
            if work.ends is not None or work.name in self._draft.preempted
            for slot in work.slots
            if slot[0] in mine
        ]
        ends += [(end, slot) for end, slot in self._started if slot[0] in mine]
        ends.sort()
        column = GPUS if lot in self._draft.lots.gpu else CPUS
        rows = np.array([slot[0] for _, slot in ends], dtype=np.intp)
        amounts = np.array([slot[1:] for _, slot in ends], dtype=np.int64).reshape(len(ends), 3)
        devices = (np.cumsum(amounts[:, column]) // 1000).tolist()
        return Releases([end for end, _ in ends], rows, amounts, devices)

    def _end(self, name: str, ends: float | None) -> float:
        if name in self._draft.preempted:
            return self.now + self._draft.settings.grace_s
        return ends if ends is not None and ends > self.now else self.now + OVERDUE_S

    def _first(self, shape: Shape, lot: Lot, coming: Releases) -> int:
        """How many releases it takes until every part, looked at alone, has its number of workers."""
        low, high = 0, len(coming.times) + 1
        while low < high:
            middle = (low + high) // 2
            table = self._free_at(coming, middle)
            if middle > len(coming.times) or all(workers_in(p, lot.rows, table) >= p.count for p in shape.parts):
                high = middle
            else:
                low = middle + 1
        return low

    def _free_at(self, coming: Releases, number: int) -> Amounts:
        table = self._board.free.copy()
        np.add.at(table, coming.rows[:number], coming.amounts[:number])
        return table

    def _keep(self, pieces: Pieces, start: float, duration_s: float, *, table: Amounts) -> None:
        """Remember a reservation; `table` is what is free at its start beside the others."""
        mine = Reservation(start, start + duration_s, tuple(piece.slot for piece in pieces))
        for begin, later in zip(self._starts, self._later, strict=True):
            if mine.start < begin < mine.end:
                subtract(later, mine.slots)
        subtract(table, mine.slots)
        # What comes back elsewhere until then may be used too.
        self._release_elsewhere(pieces, start, table)
        at = bisect_left(self._starts, start)
        self._starts.insert(at, start)
        self._later.insert(at, table)
        self._reservations.append(mine)
        self._version = -1

    def _release_elsewhere(self, pieces: Pieces, start: float, table: Amounts) -> None:
        """Add to `table` what comes back until `start` on other lots than that of `pieces`."""
        here = pieces[0].row
        for lot in (*self._draft.lots.gpu, *self._draft.lots.cpu):
            if here in lot.rows:
                continue
            coming = self.releases(lot)
            number = bisect_left(coming.times, start)
            np.add.at(table, coming.rows[:number], coming.amounts[:number])

    def _refresh(self) -> None:
        """Bring the least tables in step with the board."""
        if self._version == self._board.version:
            return
        self._version = self._board.version
        self._counts.clear()
        self._least = []
        least = self._board.free
        for later in self._later:
            least = np.minimum(least, later)
            self._least.append(least)


def room_now(board: Board, shape: Shape, lot: Lot) -> Pieces | None:
    """Places for a gang on what is free now."""
    if board.count(shape.parts[0], lot) < shape.parts[0].count:
        return None
    return board.find(shape, lot, board.free)
