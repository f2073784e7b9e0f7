"""B2: Slurm with multifactor priority, backfill, and preemption by QOS with requeue.

Knows nothing of elasticity, loans or forecasts. It remembers the decayed use of projects, as Slurm's accounting does,
so it is stateful; with `weight_fairshare: 0` its decisions are a pure function of the snapshot.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from fabric.scheduler.columns import GPUS
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.shape import Shape
from fabric.scheduler.snapshot import Running, Snapshot, Waiting
from fabric.simulator.peers.batch import Backfill, MakeRoom, lots_for, walk
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.gangs import held_devices
from fabric.simulator.peers.services import (
    Autoscaling,
    MakeReplicaRoom,
    begin,
    lots_of_service,
    scale,
    services,
    wanted,
)
from fabric.simulator.peers.settings import SERVING_RANK, Decider, PeerSettings, Search
from fabric.simulator.peers.shares import Ledger
from fabric.simulator.peers.victims import Asker, make_room
from fabric.workloads.spec import Priority

LAST = len(Priority) - 1
"""Rank of the least urgent class."""


class SlurmSettings(PeerSettings):
    """What slurm.conf says."""

    weight_qos: float = Field(default=1_000_000.0, ge=0)
    """PriorityWeightQOS; the class is the QOS, with factors 1, 2/3, 1/3 and 0. Above all other weights together, so
    that classes never mix."""

    weight_age: float = Field(default=1000.0, ge=0)
    """PriorityWeightAge."""

    max_age_s: float = Field(default=7 * 86400.0, gt=0)
    """PriorityMaxAge: the age at which its factor is 1; Slurm's default of seven days."""

    weight_fairshare: float = Field(default=1000.0, ge=0)
    """PriorityWeightFairshare."""

    half_life_s: float = Field(default=7 * 86400.0, gt=0)
    """PriorityDecayHalfLife; Slurm's default of seven days."""

    shares: dict[str, float] = {}
    """Fairshare of each account (project); 1 where it is left out."""

    weight_size: float = Field(default=0.0, ge=0)
    """PriorityWeightJobSize: favours large jobs (PriorityFavorSmall=NO, the default)."""

    reserve: int = Field(default=1, ge=1)
    """bf_job_part_count_reserve: for how many jobs of each partition room is reserved. Slurm's default of 0 reserves
    for all; HTI-14 asks for EASY, which is 1."""

    max_jobs: int = Field(default=500, ge=1)
    """bf_max_job_test: jobs that are looked at; Slurm's default since 22.05."""

    window_s: float = Field(default=7 * 86400.0, gt=0)
    """bf_window: how far ahead a start is looked for. The manual: at least as long as the highest time limit."""

    preempts: dict[str, tuple[str, ...]] = {
        "serving": ("interactive", "batch", "harvest"),
        "interactive": ("harvest",),
        "batch": ("harvest",),
    }
    """Preempt of each QOS: whom it may requeue."""

    exempt_s: float = Field(default=0.0, ge=0)
    """PreemptExemptTime: seconds of running before which nobody is preempted; Slurm's default."""

    victims: Literal["smallest", "youngest"] = "youngest"
    """Whom of one QOS first: who holds least (the default order), or who started last (preempt_youngest_first)."""

    scaling: Autoscaling = Autoscaling()
    """How the script behind a service submits and cancels replicas, each a job of QOS `serving`."""


SEARCH: Search = {
    "weight_age": (0.0, 1000.0, 10000.0),
    "weight_size": (0.0, 1000.0),
    "reserve": (1, 4),
    "exempt_s": (0.0, 600.0),
    "victims": ("smallest", "youngest"),
    "scaling.headroom": (0.0, 0.1, 0.25),
    "scaling.look_s": (0.0, 600.0),
}
"""What a tuning run tries."""


def slurm(settings: SlurmSettings) -> Decider:
    """A decider like Slurm; it remembers the use of projects."""
    ledger = Ledger(settings.half_life_s)

    def decide(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        ledger.advance(snapshot, now)
        draft = Draft(snapshot, settings, now)
        sizes = {service.name: wanted(service, settings.scaling, now) for service in services(draft)}
        scale(draft, sizes, settle_s=settings.scaling.settle_s, make_room=_replica_room(draft, settings))
        begin(draft, make_room=lambda work, asker: _requeue(draft, settings, asker, work.rank))
        jobs = [work for work in draft.ready if work.rank != SERVING_RANK]
        how = Backfill(settings.reserve, horizon_s=settings.window_s, most_tried=settings.max_jobs)
        walk(draft, prioritised(jobs, ledger, settings, draft=draft), how, make_room=_job_room(draft, settings))
        return draft.plan()

    return decide


def prioritised(jobs: Sequence[Waiting], ledger: Ledger, settings: SlurmSettings, *, draft: Draft) -> list[Waiting]:
    """Jobs by multifactor priority, highest first; ties by instant of submission and name.

    Source:
        slurm.schedmd.com/priority_multifactor.html; fairshare is Fair Tree with one level of accounts: accounts are
        ranked by share over use, and the factor is the rank.
    """
    projects = sorted({work.project for work in jobs})
    used = {name: ledger.seconds.get(name, 0.0) / settings.shares.get(name, 1.0) for name in projects}
    ranked = sorted(projects, key=lambda name: (-used[name], name))
    fairshare = {name: (number + 1) / len(ranked) for number, name in enumerate(ranked)}
    devices = sum(lot.devices for lot in draft.lots.gpu) or 1

    def priority(work: Waiting) -> float:
        age = min(1.0, max(0.0, draft.now - work.submitted) / settings.max_age_s)
        size = work.shape.total[GPUS] / 1000 / devices
        return (
            settings.weight_qos * (LAST - work.rank) / LAST
            + settings.weight_age * age
            + settings.weight_fairshare * fairshare[work.project]
            + settings.weight_size * size
        )

    return sorted(jobs, key=lambda work: (-priority(work), work.submitted, work.name))


def _replica_room(draft: Draft, settings: SlurmSettings) -> MakeReplicaRoom:
    def room(service: Running, shape: Shape) -> bool:
        lots = lots_of_service(draft, shape.parts[0])
        return any(_requeue(draft, settings, Asker(service.name, shape, lot, head=False), service.rank) for lot in lots)

    return room


def _job_room(draft: Draft, settings: SlurmSettings) -> MakeRoom:
    def room(work: Waiting) -> bool:
        if not settings.preempts.get(list(Priority)[work.rank]):
            return False
        asker = Asker(work.name, work.shape, lots_for(work.shape, draft.lots)[0])
        return _requeue(draft, settings, asker, work.rank)

    return room


def _requeue(draft: Draft, settings: SlurmSettings, asker: Asker, rank: int) -> bool:
    """Requeue work of a QOS that the asker's may preempt, the lowest QOS first."""
    lower = {Priority(name).rank for name in settings.preempts.get(list(Priority)[rank], ())}
    found = [
        work
        for work in draft.snapshot.running
        if work.rank in lower and draft.movable(work) and draft.now - work.since >= settings.exempt_s
    ]
    if settings.victims == "youngest":
        found.sort(key=lambda work: (-work.rank, -work.since, work.name))
    else:
        found.sort(key=lambda work: (-work.rank, held_devices(work.slots), work.name))
    return make_room(draft, asker, found, "requeued for")
