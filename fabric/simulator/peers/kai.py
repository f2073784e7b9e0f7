"""B4: KAI-Scheduler: allocate by saturation of queues, then consolidate, reclaim and preempt.

Knows nothing of walltimes in its order and reserves nothing. Pure, but for time-based fair share, where it is on: then
it remembers the decayed use of queues.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import Field

from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.shape import Shape
from fabric.scheduler.sizes import at_size
from fabric.scheduler.snapshot import Running, Snapshot, Waiting
from fabric.simulator.peers.batch import Ahead, lots_for, place_for
from fabric.simulator.peers.calendar import Calendar
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.kai_room import Rules, consolidate, grow_elastic, make_room
from fabric.simulator.peers.kai_shares import fair_shares, weights_of
from fabric.simulator.peers.lots import Lot
from fabric.simulator.peers.quotas import Quotas, asked_on
from fabric.simulator.peers.services import Autoscaling, begin, lots_of_service, scale, services, wanted
from fabric.simulator.peers.settings import SERVING_RANK, Decider, PeerSettings, Search
from fabric.simulator.peers.shares import Ledger
from fabric.simulator.peers.victims import Asker, keep_room


class KaiSettings(PeerSettings):
    """Queues (one for each project) below one root."""

    shares: dict[str, float] = {}
    """Deserved quota of each project as a part of every tier, unless the site guarantees its projects something.
    Without any there is one queue."""

    over_quota_weight: dict[str, float] = {}
    """overQuotaWeight of each project; KAI's default of 1 where it is left out."""

    reclaim: Literal["deserved", "fair-share"] = "fair-share"
    """Up to what a queue takes back: its deserved quota, or its whole fair share where it ends up less saturated than
    those it takes from."""

    reclaim_min_run_s: float = Field(default=600.0, ge=0)
    """reclaimMinRuntime: seconds before work may be reclaimed; the documented example of 10 minutes (default 0)."""

    preempt_min_run_s: float = Field(default=600.0, ge=0)
    """preemptMinRuntime: seconds before a more urgent job of its queue may preempt work; the same example."""

    consolidation: int = Field(default=16, ge=0)
    """maxNumberConsolidationPreemptees: most jobs that are moved for one; KAI's default. 0 turns it off."""

    elastic: bool = True
    """Whether elastic jobs start with their fewest workers and get more where some are idle."""

    elastic_settle_s: float = Field(default=600.0, ge=0)
    """Seconds of running at one size before a job grows; ours, since each change is a restart here."""

    usage_half_life_s: float | None = Field(default=None, gt=0)
    """Half life of use in time-based fair share; None, the default, turns it off."""

    k: float = Field(default=1.0, ge=0)
    """kValue of time-based fair share; KAI's default."""

    scaling: Autoscaling = Autoscaling()
    """How services are scaled; their replicas have the priority class `inference`."""


SEARCH: Search = {
    "reclaim": ("deserved", "fair-share"),
    "reclaim_min_run_s": (0.0, 600.0, 3600.0),
    "consolidation": (0, 16),
    "elastic": (True, False),
    "elastic_settle_s": (600.0, 1800.0),
    "usage_half_life_s": (None, 86400.0, 604800.0),
    "scaling.headroom": (0.0, 0.1, 0.25),
    "scaling.look_s": (0.0, 600.0),
}
"""What a tuning run tries."""


def kai(settings: KaiSettings) -> Decider:
    """A decider like KAI-Scheduler."""
    ledger = Ledger(settings.usage_half_life_s) if settings.usage_half_life_s else None

    def decide(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        if ledger is not None:
            ledger.advance(snapshot, now)
        draft = Draft(snapshot, settings, now)
        session = _Session(draft, settings, ledger.seconds if ledger is not None else {})
        sizes = {service.name: wanted(service, settings.scaling, now) for service in services(draft)}
        scale(draft, sizes, settle_s=settings.scaling.settle_s, make_room=session.replica_room)
        begin(draft, make_room=session.service_room)
        session.run([work for work in draft.ready if work.rank != SERVING_RANK])
        return draft.plan()

    return decide


class _Session:
    """One scheduling session: allocate, consolidate, reclaim, preempt, in this order over all jobs."""

    def __init__(self, draft: Draft, settings: KaiSettings, used: dict[str, float]) -> None:
        self._draft, self._settings = draft, settings
        self._quotas = Quotas(draft, settings.shares)
        self._fair = self._fair_shares(used)
        self._rules = Rules(draft, self._quotas, settings.reclaim, fair=self.fair)
        self._calendar = Calendar(draft)
        self._ahead = Ahead(self._calendar)
        self._failed: dict[tuple[object, ...], int] = {}
        self._shapes: dict[str, Shape] = {}

    def run(self, jobs: Sequence[Waiting]) -> None:
        """Every action looks at who is still pending."""
        pending = self._walk(jobs, self._allocate)
        if self._settings.consolidation:
            pending = self._walk(pending, self._consolidate)
        self._walk(pending, self._make_room)
        if self._settings.elastic:
            grow_elastic(self._draft, self._quotas, self._settings.elastic_settle_s, fair=self.fair)

    def fair(self, queue: str, lot: Lot) -> float:
        """Devices of a lot that a queue should have."""
        return self._fair[lot.name].get(queue, 0.0)

    def replica_room(self, service: Running, shape: Shape) -> bool:
        """Reclaim or preempt for replicas of a running service."""
        for lot in lots_of_service(self._draft, shape.parts[0]):
            asker = Asker(service.name, shape, lot, head=False)
            if self._room(service.project, service.rank, asker):
                return True
        return False

    def service_room(self, work: Waiting, asker: Asker) -> bool:
        """Reclaim or preempt for a service that waits."""
        return self._room(work.project, work.rank, asker)

    def _fair_shares(self, used: dict[str, float]) -> dict[str, dict[str, float]]:
        """Fair shares on each lot, by queue."""
        lots = self._draft.lots
        asked = {lot.name: dict.fromkeys(self._queues(), 0.0) for lot in {*lots.gpu, *lots.cpu}}
        for (queue, lot), amount in self._quotas.used.items():
            if lot in asked:
                asked[lot][queue] = asked[lot].get(queue, 0.0) + amount
        for work in self._draft.snapshot.waiting:
            for one in lots_for(work.shape, lots)[:1]:
                queue = self._quotas.queue(work.project)
                asked[one.name][queue] = asked[one.name].get(queue, 0.0) + asked_on(work.shape)
        result = {}
        for one in {*lots.gpu, *lots.cpu}:
            wanted_here = asked[one.name]
            weights = weights_of(wanted_here, self._settings.over_quota_weight, used, self._settings.k)
            result[one.name] = fair_shares(self._quotas, one, wanted_here, weights)
        return result

    def _queues(self) -> list[str]:
        projects = {work.project for work in self._draft.snapshot.waiting}
        return sorted({self._quotas.queue(project) for project in projects})

    def _walk(self, jobs: Sequence[Waiting], action: Callable[[Waiting], bool]) -> list[Waiting]:
        """Try every job: the next of the least saturated queue, the most urgent and oldest of it; those left over."""
        queues: dict[str, list[Waiting]] = {}
        for work in reversed(jobs):  # the first of each queue last
            queues.setdefault(self._quotas.queue(work.project), []).append(work)
        left: list[Waiting] = []
        saturation = {queue: self._saturation(queue) for queue in queues}
        while queues:
            queue = min(queues, key=lambda name: (saturation[name], queues[name][-1].key))
            jobs_of = queues[queue]
            # As long as its jobs get nothing, the queue stays the least saturated.
            while jobs_of:
                work = jobs_of.pop()
                if action(work):
                    break
                left.append(work)
            saturation[queue] = self._saturation(queue)
            if not jobs_of:
                del queues[queue]
        return left

    def _saturation(self, queue: str) -> float:
        """Allocated over fair share, of accelerators on all lots."""
        lots = self._draft.lots.gpu
        fair = sum(self.fair(queue, lot) for lot in lots)
        used = sum(self._quotas.used_on(queue, lot) for lot in lots)
        return used / fair if fair > 0 else float(used > 0)

    def _allocate(self, work: Waiting) -> bool:
        """Start a job: elastic ones with their fewest workers, the others whole."""
        found = place_for(self._draft, work, self._calendar, ahead=self._ahead, shape=self._smallest(work))
        if found is None:
            for main in lots_for(work.shape, self._draft.lots)[:1]:
                self._ahead.wait(work.shape, main)
            return False
        lot, pieces = found
        self._draft.start(work, pieces)
        self._calendar.hold(pieces, self._draft.now + work.duration_s / lot.speed)
        self._quotas.take(work.project, pieces)
        return True

    def _consolidate(self, work: Waiting) -> bool:
        """Move running jobs together so that a gang fits that only fragmentation keeps waiting."""

        def move(asker: Asker) -> bool:
            if not consolidate(self._draft, asker, self._settings.consolidation):
                return False
            self._quotas.take_devices(work.project, asker.lot, asked_on(asker.shape))
            return True

        return self._unless_in_vain(work, ("moved",), move)

    def _make_room(self, work: Waiting) -> bool:
        kind = (self._quotas.queue(work.project), work.rank)
        return self._unless_in_vain(work, kind, lambda asker: self._room(work.project, work.rank, asker))

    def _unless_in_vain(self, work: Waiting, kind: tuple[object, ...], action: Callable[[Asker], bool]) -> bool:
        """Try something for a job, unless it failed for a smaller one of its kind in this session."""
        lots, shape = lots_for(work.shape, self._draft.lots), self._smallest(work)
        part = shape.parts[0]
        key = (*kind, part.request, part.tier, shape.parts[1:])
        if not lots or part.count >= self._failed.get(key, part.count + 1):
            return False
        if action(Asker(work.name, shape, lots[0])):
            return True
        self._failed[key] = part.count
        return False

    def _room(self, project: str, rank: int, asker: Asker) -> bool:
        """Reclaim from other queues, else preempt in the own one."""
        asked, queue = asked_on(asker.shape), self._quotas.queue(project)
        eligible = self._rules.within(queue, asker.lot, asked)
        if eligible and keep_room(self._draft, asker):
            self._quotas.take_devices(project, asker.lot, asked)
            return True
        reclaim_s, preempt_s = self._settings.reclaim_min_run_s, self._settings.preempt_min_run_s
        for victims, least_s, why in (
            (self._rules.reclaimable(queue, asker.lot, asked, min_run_s=reclaim_s), reclaim_s, "reclaimed for"),
            (self._rules.preemptible(queue, asker.lot, rank), preempt_s, "preempted for"),
        ):
            if make_room(self._draft, self._quotas, asker, victims=victims, min_run_s=least_s, why=why):
                self._quotas.take_devices(project, asker.lot, asked)
                return True
        return False

    def _smallest(self, work: Waiting) -> Shape:
        """A job at its fewest workers, where elastic jobs are resized."""
        found = self._shapes.get(work.name)
        if found is None:
            group = work.elastic if self._settings.elastic else None
            found = work.shape if group is None else at_size(work.shape, group.name, group.least)
            self._shapes[work.name] = found
        return found
