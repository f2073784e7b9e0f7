"""What one decision of a peer has decided so far; becomes a plan.

Knows nothing of any peer's rules.
"""

from collections.abc import Iterable

from fabric.scheduler.columns import subtract
from fabric.scheduler.placement import Attempt, grant_of
from fabric.scheduler.plan import Place, Plan, Preempt, Resize, Wait
from fabric.scheduler.snapshot import Running, Snapshot, Waiting
from fabric.simulator.peers.board import Board, Pieces
from fabric.simulator.peers.gangs import grown, size_of
from fabric.simulator.peers.lots import Lots, lots_of
from fabric.simulator.peers.settings import PeerSettings
from fabric.workloads.record import Grant


class Draft:
    """Private to one decision."""

    def __init__(self, snapshot: Snapshot, settings: PeerSettings, now: float) -> None:
        self.snapshot, self.settings, self.now = snapshot, settings, now
        self.site = snapshot.site
        self.lots: Lots = lots_of(snapshot.site, settings)
        grace_s = max(settings.grace_s, snapshot.grace_s)
        self.leaving = {work.name for work in snapshot.running if is_leaving(work, now, grace_s)}
        """Names of those whose room is about to be free."""
        leaving = (work.slots for work in snapshot.running if work.name in self.leaving)
        self.board = Board(snapshot, self.lots, leaving)
        self.placed: dict[str, Place] = {}
        self.preempted: dict[str, Preempt] = {}
        self.resized: dict[str, Resize] = {}
        self.notes: dict[str, str] = {}
        """What is said to those who wait, by name."""

    @property
    def ready(self) -> list[Waiting]:
        """Who could start: nothing it comes after is missing."""
        return [work for work in self.snapshot.waiting if not work.blocked_by and work.name not in self.placed]

    def use(self, lots: Lots) -> None:
        """Go on with other lots of the same nodes."""
        self.lots = lots
        self.board.use(lots)

    def movable(self, work: Running) -> bool:
        """Whether running work may still be asked to leave or to change in this decision."""
        return work.settled and work.name not in self.preempted and work.name not in self.resized

    def start(self, work: Waiting, pieces: Pieces) -> None:
        """Let `work` start on free nodes."""
        self.board.take(piece.slot for piece in pieces)
        self.placed[work.name] = Place(work.name, grant_of(Attempt(pieces, ()), self.site))

    def evict(self, work: Running, reason: str) -> None:
        """Ask running work to leave; what it holds is free soon."""
        self.preempted[work.name] = Preempt(work.name, self.settings.grace_s, reason)
        self.board.leave(work.slots)

    def grow(self, work: Running, pieces: Pieces, reason: str) -> None:
        """Let running work have more workers on free nodes."""
        self.board.take(piece.slot for piece in pieces)
        self._resize(work, grown(work.grant, pieces, self.site), reason, 0.0)

    def shrink(self, work: Running, grant: Grant, reason: str) -> None:
        """Let running work go on with less; what it gives back is free soon."""
        after = self.site.slots(grant.slices)
        self.board.leave(work.slots)
        subtract(self.board.soon, after)
        self._resize(work, grant, reason, 0.0 if work.service else self.settings.grace_s)

    def plan(self) -> Plan:
        """What was decided."""
        waits = tuple(
            Wait(work.name, after=work.blocked_by, note=self.notes.get(work.name, ""))
            for work in self.snapshot.waiting
            if work.name not in self.placed
        )
        return Plan(
            placed=tuple(self.placed.values()),
            preempted=tuple(self.preempted.values()),
            resized=tuple(self.resized.values()),
            waits=waits,
        )

    def _resize(self, work: Running, grant: Grant, reason: str, grace_s: float) -> None:
        before = size_of(work)
        after = grant.size(work.elastic.name) if work.elastic else 0
        self.resized[work.name] = Resize(work.name, before, after, grant=grant, grace_s=grace_s, reason=reason)


def is_leaving(work: Running, now: float, grace_s: float) -> bool:
    """Whether what somebody holds is about to be free: it was asked to leave, or is what shrinking work gives back."""
    return not work.settled and work.ends is not None and work.ends <= now + grace_s


def of_names(works: Iterable[Running]) -> str:
    """Names of a few, for people."""
    return ", ".join(work.name for work in works)
