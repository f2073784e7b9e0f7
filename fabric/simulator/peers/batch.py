"""Walk through a queue: who starts, for whom room is reserved, and who may pass (EASY backfill).

Knows nothing of priorities: the queue comes in order.

The rule for the older tier, the same for every peer that looks at walltimes: a job that names no tier takes the fastest
one it fits on; it takes a slower one, if it fits there now, only where its walltime there (longer by the ratio of
speeds) ends before it would on the faster tier, where it starts once the walltimes of running work have freed as many
devices as it and all who wait before it ask for. A gang never mixes tiers with accelerators.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fabric.scheduler.columns import GPUS
from fabric.scheduler.shape import Shape
from fabric.scheduler.snapshot import Waiting
from fabric.simulator.peers.board import Pieces
from fabric.simulator.peers.calendar import Calendar
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.gangs import devices
from fabric.simulator.peers.lots import Lot, Lots

MakeRoom = Callable[[Waiting], bool]
"""Let others leave for somebody who does not fit; whether anything was set in motion or is on its way."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """How a queue is walked through."""

    protect: int = 1
    """For how many blocked jobs on each lot room is reserved; 1 is EASY."""
    shortest: bool = False
    """Whether those who may pass are tried by walltime instead of in the order of the queue."""
    horizon_s: float = 7 * 86400.0
    """How far ahead a start is looked for, in seconds."""
    most_tried: int = 1000
    """Jobs that are looked at in one decision."""


@lru_cache(maxsize=1 << 14)
def lots_for(shape: Shape, lots: Lots) -> tuple[Lot, ...]:
    """Where a gang may go, the fastest first: lots of its accelerators, or of its CPUs."""
    gpu = [part for part in shape.parts if part.request[GPUS]]
    wishes = {part.tier for part in gpu or shape.parts} - {None}
    return tuple(lot for lot in (lots.gpu if gpu else lots.cpu) if not wishes or wishes == {lot.tier})


class Ahead:
    """Devices that those before a job ask for on each lot."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._devices: Counter[str] = Counter()

    def wait(self, shape: Shape, lot: Lot) -> None:
        """Count somebody who waits for a lot."""
        self._devices[lot.name] += devices(shape)

    def worth(self, work: Waiting, lot: Lot, main: Lot) -> bool:
        """Whether starting on `lot` now ends earlier than waiting for the faster `main`."""
        if lot is main or lot.speed == main.speed:
            return True
        at = self._calendar.expected(main, self._devices[main.name] + devices(work.shape))
        now = self._calendar.now
        return now + work.duration_s / lot.speed < at + work.duration_s / main.speed


def walk(draft: Draft, queue: Sequence[Waiting], how: Backfill, *, make_room: MakeRoom | None = None) -> Calendar:
    """Start who may start; `queue` is in order of priority.

    Args:
        draft: What is decided so far; gets what is decided here.
        queue: Who waits.
        how: Settings of backfill.
        make_room: Asked for a job that does not fit, as long as nothing is reserved on its lot for anybody before it.
    """
    calendar = Calendar(draft, how.horizon_s)
    ahead = Ahead(calendar)
    reserved: Counter[str] = Counter()
    behind: list[Waiting] = []
    for work in queue[: how.most_tried]:
        lots = lots_for(work.shape, draft.lots)
        if not lots:
            draft.notes[work.name] = "no tier is as it asks for"
            continue
        main = lots[0]
        if how.shortest and reserved[main.name] >= how.protect:
            behind.append(work)
            continue
        if try_start(draft, work, calendar, ahead=ahead):
            continue
        if make_room is not None and not reserved[main.name] and make_room(work):
            continue
        if reserved[main.name] < how.protect:
            reserved[main.name] += 1
            start = calendar.reserve(work.shape, main, work.duration_s / main.speed)
            draft.notes[work.name] = "" if start is None else f"reserved from {start:.0f}"
        ahead.wait(work.shape, main)
    for work in sorted(behind, key=lambda work: (work.rank, work.duration_s, work.submitted, work.name)):
        if not try_start(draft, work, calendar, ahead=ahead):
            ahead.wait(work.shape, lots_for(work.shape, draft.lots)[0])
    return calendar


def try_start(draft: Draft, work: Waiting, calendar: Calendar, *, ahead: Ahead) -> bool:
    """Start a job on the first lot that it fits on and that is worth it."""
    found = place_for(draft, work, calendar, ahead=ahead)
    if found is None:
        return False
    lot, pieces = found
    draft.start(work, pieces)
    calendar.hold(pieces, draft.now + work.duration_s / lot.speed)
    return True


def place_for(
    draft: Draft, work: Waiting, calendar: Calendar, *, ahead: Ahead, shape: Shape | None = None
) -> tuple[Lot, Pieces] | None:
    """Where a job could start now without delaying a reservation; at the size it asks for or that of `shape`."""
    shape = shape or work.shape
    lots = lots_for(shape, draft.lots)
    for lot in lots:
        end = draft.now + work.duration_s / lot.speed
        if calendar.count(shape, lot, end) < shape.parts[0].count or not ahead.worth(work, lot, lots[0]):
            continue
        pieces = calendar.find(shape, lot, end)
        if pieces is not None:
            return lot, pieces
    return None
