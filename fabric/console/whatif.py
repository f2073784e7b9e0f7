"""The recent past decided again by the fabric's own loop on a virtual clock: as it is decided now, and otherwise.

Knows nothing of pages. Projects' shares and budgets, services' demand and resizes are left out: everybody gets what it
asked for, and runs as long as it ran.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fabric.api.overview import Amounts
from fabric.api.past import PastView, PastWork, TierFacts
from fabric.core.errors import BadInput, DoesNotFit
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources
from fabric.scheduler.placement import require_possible
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import WantedCluster
from fabric.scheduler.snapshot import Node
from fabric.simulator.cluster import Course
from fabric.simulator.engine import Engine, Parts
from fabric.simulator.holdings import HoldingRecords
from fabric.simulator.report import Occupancy, report_of
from fabric.workloads.record import Instants, Record
from fabric.workloads.spec import Group, Priority, WorkloadSpec
from fabric.workloads.states import State

AS_NOW = "as now"
"""The policy that the site has."""
MOST_NODES = 10_000
"""Nodes of a tier, added ones among them."""

POLICIES: Mapping[str, Mapping[str, object]] = {
    AS_NOW: {},
    "first come, first served; others pass (EASY)": {"protect": 1, "backfill": "fcfs"},
    "the shortest pass first": {"protect": 1, "backfill": "shortest", "max_passed": 50},
    "everybody is promised a start": {"protect": "all", "backfill": "fcfs", "max_passed": None},
    "nobody passes": {"protect": 1, "backfill": "off"},
    "nobody is asked to leave": {"preemption": False},
}
"""What may be tried, as changes of the site's policy."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; times in seconds."""

    num_started: int
    mean_wait_s: float
    p95_wait_s: float
    longest_wait_s: float
    slowdown: float | None = None
    """Average bounded slowdown of those that ended; None where it was not reckoned."""
    occupancy: tuple[Occupancy, ...] = ()
    """By tier, from the first submission on."""
    span_s: float = 0.0
    """From the first submission to the last end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The past as it was, as it would be decided now, and otherwise."""

    was: Outcome
    now: Outcome
    otherwise: Outcome
    num_works: int
    """Workloads that were decided again."""
    left_out: tuple[str, ...]
    """Those that were not, as nothing says how long they run or they fit nowhere."""


def what_if(past: PastView, policy: str, more: Mapping[str, int]) -> Answer:
    """Decide the past again.

    Args:
        past: What was asked for, and where.
        policy: A key of `POLICIES`.
        more: Nodes that are added to tiers, or taken away below zero.

    Raises:
        BadInput: If there is nothing to decide, or no such policy, or a tier would have no or too many nodes.
    """
    if policy not in POLICIES:
        raise BadInput(f"there is no policy {policy!r} to try; there are: {', '.join(POLICIES)}")
    plain, other = _nodes(past.tiers, {}), _nodes(past.tiers, more)
    works = [work for work in reversed(past.works) if runs_s(work, past.at) is not None]
    possible = [work for work in works if _fits(work, plain, past) and _fits(work, other, past)]
    if not possible:
        raise BadInput("nothing of this time can be decided again: nothing ran, or nothing says for how long")
    kept = Policy.model_validate(past.policy, strict=False)
    changed = Policy.model_validate({**kept.model_dump(), **POLICIES[policy]}, strict=False)
    names = {work.name for work in possible}
    return Answer(
        was=_was(possible),
        now=_decided(possible, past, plain, kept),
        otherwise=_decided(possible, past, other, changed),
        num_works=len(possible),
        left_out=tuple(sorted(work.name for work in past.works if work.name not in names)),
    )


def runs_s(work: PastWork, now: float) -> float | None:
    """How long work ran, or has run so far; where it waits, as long as it may. None where nothing says."""
    if work.running_at is not None:
        return max(0.0, (work.ended_at if work.ended_at is not None else now) - work.running_at)
    return None if work.ended_at is not None else work.walltime_s


def _was(works: Sequence[PastWork]) -> Outcome:
    return _outcome([work.granted_at - work.submitted_at for work in works if work.granted_at is not None])


def _outcome(waits_s: Sequence[float]) -> Outcome:
    ordered = sorted(max(0.0, wait) for wait in waits_s) or [0.0]
    p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
    return Outcome(len(waits_s), sum(ordered) / len(ordered), p95, ordered[-1])


def _decided(works: Sequence[PastWork], past: PastView, nodes: tuple[Node, ...], policy: Policy) -> Outcome:
    """What the loop makes of it, with times counted from the first submission."""
    begins = min(work.submitted_at for work in works)
    lengths = {work.name: runs_s(work, past.at) or 0.0 for work in works}
    engine = Engine(
        nodes, _course_of(lengths), policy=policy, head=_resources(past.head), grace_s=past.grace_s,
        overhead_s=past.overhead_s, parts=Parts(records=HoldingRecords),
    )  # fmt: skip
    records = sorted((_record(work, begins) for work in works), key=lambda each: (each.at.submitted, each.name))
    engine.run(records)
    report = report_of(engine.records.kept.values(), nodes, engine.records.holdings, engine.records.events)
    plain = _outcome(report.waits_s)
    return Outcome(
        plain.num_started, plain.mean_wait_s, plain.p95_wait_s, plain.longest_wait_s,
        report.avebsld, report.occupancy, report.span_s,
    )  # fmt: skip


def _course_of(lengths: Mapping[str, float]) -> Callable[[WantedCluster], Course]:
    return lambda wanted: Course(lengths[wanted.workload])


def _record(work: PastWork, begins: float) -> Record:
    spec = WorkloadSpec(
        name=work.name, project=work.project, entrypoint="decided again", priority=Priority(work.priority),
        groups=_groups(work), walltime_s=work.walltime_s, checkpoints=work.checkpoints,
    )  # fmt: skip
    return Record(work.name, spec, State.QUEUED, Instants(work.submitted_at - begins))


def _groups(work: PastWork) -> tuple[Group, ...]:
    return tuple(Group.model_validate(group.model_dump()) for group in work.groups)


def _fits(work: PastWork, nodes: tuple[Node, ...], past: PastView) -> bool:
    try:
        require_possible(work.name, _groups(work), nodes, _resources(past.head))
    except DoesNotFit:
        return False
    return True


def _nodes(tiers: Sequence[TierFacts], more: Mapping[str, int]) -> tuple[Node, ...]:
    return tuple(node for tier in tiers for node in _of_tier(tier, tier.nodes + more.get(tier.name, 0)))


def _of_tier(tier: TierFacts, count: int) -> list[Node]:
    if not 1 <= count <= MOST_NODES:
        raise BadInput(f"tier {tier.name} would have {count} nodes; it must have from 1 to {MOST_NODES}")
    each = _resources(tier.each)
    return [Node(f"{tier.name}-{i}", tier.name, each, tier.heads, speed=tier.speed) for i in range(count)]


def _resources(amounts: Amounts) -> Resources:
    cpus, gpus = MilliCpus(round(amounts.cpus * 1000)), MilliGpus(round(amounts.gpus * 1000))
    return Resources(cpus, gpus, Bytes(amounts.memory_bytes))
