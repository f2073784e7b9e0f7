"""B3: Kueue's ClusterQueues in one cohort: quota, borrowing, reclaim, preemption, and admission by heads.

Knows nothing of walltimes in its order and reserves nothing for a blocked gang. Pure: it remembers nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.shape import Shape
from fabric.scheduler.snapshot import Running, Snapshot, Waiting
from fabric.simulator.peers.batch import Ahead, lots_for, place_for
from fabric.simulator.peers.calendar import Calendar
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.kueue_preemption import Claim, KueuePreemption, victims
from fabric.simulator.peers.lots import Lot
from fabric.simulator.peers.quotas import Quotas, asked_on
from fabric.simulator.peers.services import Autoscaling, begin, lots_of_service, scale, services, wanted
from fabric.simulator.peers.settings import SERVING_RANK, Decider, PeerSettings, Search
from fabric.simulator.peers.victims import Asker, Pool, evict_for, keep_room


class KueueSettings(PeerSettings):
    """ClusterQueues (one for each project) in one cohort, with a flavor for each tier."""

    queueing: Literal["BestEffortFIFO", "StrictFIFO"] = "BestEffortFIFO"
    """queueingStrategy: whether a head that does not fit lets those behind it in its queue pass; Kueue's default."""

    shares: dict[str, float] = {}
    """nominalQuota of each project as a part of every tier, unless the site guarantees its projects something. Without
    any there is one ClusterQueue."""

    borrowing_limit: float | None = Field(default=None, ge=0)
    """borrowingLimit of every ClusterQueue as a part of each tier; None, Kueue's default, borrows all that is idle."""

    preemption: KueuePreemption = KueuePreemption()
    """The `preemption` of every ClusterQueue."""

    scaling: Autoscaling = Autoscaling()
    """How the HPA scales services; each replica is a workload of its service's project."""


SEARCH: Search = {
    "queueing": ("BestEffortFIFO", "StrictFIFO"),
    "preemption.fair_sharing": (False, True),
    "preemption.reclaim_within_cohort": ("Any", "LowerPriority"),
    "preemption.within_cluster_queue": ("LowerPriority", "LowerOrNewerEqualPriority"),
    "borrowing_limit": (None, 0.25),
    "scaling.headroom": (0.0, 0.1, 0.25),
    "scaling.look_s": (0.0, 600.0),
}
"""What a tuning run tries."""


def kueue(settings: KueueSettings) -> Decider:
    """A decider like Kueue."""

    def decide(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        draft = Draft(snapshot, settings, now)
        cycle = _Cycle(draft, settings)
        sizes = {service.name: wanted(service, settings.scaling, now) for service in services(draft)}
        scale(draft, sizes, settle_s=settings.scaling.settle_s, make_room=cycle.replica_room)
        begin(draft, make_room=cycle.service_room)
        cycle.admit([work for work in draft.ready if work.rank != SERVING_RANK])
        return draft.plan()

    return decide


@dataclass(frozen=True, slots=True)
class _Entry:
    """A head of a ClusterQueue."""

    work: Waiting
    lots: tuple[Lot, ...]

    @property
    def asked(self) -> float:
        return asked_on(self.work.shape)


class _Cycle:
    """Admission in one decision: cycle after cycle over the heads of all queues, until none is left."""

    def __init__(self, draft: Draft, settings: KueueSettings) -> None:
        self._draft, self._settings = draft, settings
        self._quotas = Quotas(draft, settings.shares)
        self._pool = Pool(draft, self._quotas.queue)
        self._calendar = Calendar(draft)
        self._ahead = Ahead(self._calendar)
        self._failed: dict[tuple[object, ...], int] = {}

    def admit(self, jobs: Sequence[Waiting]) -> None:
        """Cycles over the heads; each is admitted, has room made for it, or waits until something changes."""
        queues: dict[str, list[Waiting]] = {}
        for work in reversed(jobs):  # by class and instant of submission, the head of each queue last
            queues.setdefault(self._quotas.queue(work.project), []).append(work)
        while queues:
            heads = [_Entry(queue[-1], lots_for(queue[-1].shape, self._draft.lots)) for queue in queues.values()]
            for entry in sorted(heads, key=self._order):
                name = self._quotas.queue(entry.work.project)
                came = self._nominate(entry)
                queues[name].pop()
                if not queues[name] or (not came and self._settings.queueing == "StrictFIFO"):
                    del queues[name]

    def replica_room(self, service: Running, shape: Shape) -> bool:
        """Preempt for replicas of a running service."""
        for lot in lots_of_service(self._draft, shape.parts[0]):
            claim = Claim(service.project, service.rank, service.submitted, asked_on(shape))
            if self._make_room(claim, Asker(service.name, shape, lot, head=False)):
                return True
        return False

    def service_room(self, work: Waiting, asker: Asker) -> bool:
        """Preempt for a service that waits."""
        claim = Claim(work.project, work.rank, work.submitted, asked_on(asker.shape))
        return self._make_room(claim, asker)

    def _order(self, entry: _Entry) -> tuple[float, int, float, str]:
        """Heads that need not borrow first, or with fair sharing those of the queue that borrows least.

        Source:
            Kueue, docs/concepts: classical admission order (within nominal quota, priority, creation); with fair
            sharing the share of the queue with the head admitted comes first.
        """
        work, quotas = entry.work, self._quotas
        queue = quotas.queue(work.project)
        if self._settings.preemption.fair_sharing and entry.lots:
            first = quotas.borrowed(queue, entry.asked, entry.lots[0])
        else:
            first = float(bool(entry.lots) and quotas.over(queue, entry.lots[0], entry.asked) > 0)
        return (first, work.rank, work.submitted, work.name)

    def _nominate(self, entry: _Entry) -> bool:
        """Admit a head, or make room for it; whether either was possible."""
        work = entry.work
        key = _kind(self._quotas.queue(work.project), work)
        count = work.shape.parts[0].count
        if not entry.lots:
            return False
        if any(self._within_limit(work.project, lot, entry.asked) for lot in entry.lots) and self._fits(entry):
            return True
        if count < self._failed.get(key, count + 1):
            claim = Claim(work.project, work.rank, work.submitted, entry.asked)
            if self._make_room(claim, Asker(work.name, work.shape, entry.lots[0])):
                return True
            self._failed[key] = count
        self._ahead.wait(work.shape, entry.lots[0])
        return False

    def _fits(self, entry: _Entry) -> bool:
        found = place_for(self._draft, entry.work, self._calendar, ahead=self._ahead)
        if found is None or not self._within_limit(entry.work.project, found[0], entry.asked):
            return False
        lot, pieces = found
        self._draft.start(entry.work, pieces)
        self._calendar.hold(pieces, self._draft.now + entry.work.duration_s / lot.speed)
        self._quotas.take(entry.work.project, pieces)
        return True

    def _within_limit(self, project: str, lot: Lot, asked: float) -> bool:
        limit = self._settings.borrowing_limit
        return limit is None or self._quotas.over(self._quotas.queue(project), lot, asked) <= limit * lot.devices

    def _make_room(self, claim: Claim, asker: Asker) -> bool:
        """Keep room that is about to be free, or preempt, where the quota lets the asker do so."""
        queue, rules = self._quotas.queue(claim.project), self._settings.preemption
        if not self._within_limit(claim.project, asker.lot, claim.asked):
            return False
        borrows = self._quotas.over(queue, asker.lot, claim.asked) > 0
        if not borrows and keep_room(self._draft, asker):
            self._quotas.take_devices(claim.project, asker.lot, claim.asked)
            return True
        chosen = victims(self._draft, self._quotas, rules, pool=self._pool, claim=claim, asker=asker)
        if chosen is None:
            return False
        self._quotas.give_back(chosen)
        self._quotas.take_devices(claim.project, asker.lot, claim.asked)
        evict_for(self._draft, asker, chosen, "preempted for")
        return True


def _kind(queue: str, work: Waiting) -> tuple[object, ...]:
    """What is the same of workloads of which the larger gets no room where none could be made for the smaller.

    Kueue leaves workloads alone that are like one that was just found inadmissible.
    """
    parts = work.shape.parts
    rest = parts[1:] if len(parts) > 1 else ()
    return (queue, work.rank, parts[0].request, parts[0].tier, rest)
