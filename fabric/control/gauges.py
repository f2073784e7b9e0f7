"""What can be read off nodes, records and the last decision when somebody asks, as Prometheus' families.

Knows nothing of stores or HTTP: values in, families out. Labels are tiers, projects, classes and the like, never the
names of workloads, so that their number is bounded.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from fabric.api.overview import Amounts, TierView
from fabric.api.use import UseView
from fabric.control.overview import promises_view, tier_views
from fabric.scheduler.plan import Wait
from fabric.scheduler.readiness import Experience
from fabric.scheduler.replay import Decision
from fabric.scheduler.snapshot import Node
from fabric.scheduler.staging import Artifact, Holds, Kind, Line, Stage, Wanted, predict
from fabric.workloads.record import Record
from fabric.workloads.states import State

K = TypeVar("K", bound=tuple[str, ...])

_RESOURCES = ("cpus", "gpus", "memory_bytes")


@dataclass(frozen=True, slots=True)
class Seen:
    """The site at one instant."""

    now: float
    """Seconds since the epoch."""
    nodes: Sequence[Node]
    active: Sequence[Record]
    """Workloads that are not final."""
    starts: Sequence[tuple[float, float]]
    """Promised and actual starts, in seconds since the epoch."""
    decision: Decision | None
    """The last; None before the first, and in a control that follows."""
    loop_age_s: float
    leads: bool
    uses: Mapping[str, UseView]
    """What workloads use of their grants, by name."""


def families(seen: Seen) -> Iterator[Metric]:
    """Everything that there is to say of an instant."""
    yield _one("fabric_leads", "Whether this control acts.", float(seen.leads))
    yield _one("fabric_loop_age_seconds", "Seconds since the loop last finished a step.", seen.loop_age_s)
    states = Counter((node.tier, str(node.state)) for node in seen.nodes)
    yield _many("fabric_nodes", "Nodes by what they are good for.", ("tier", "state"), states)
    yield from _tiers(tier_views(seen.nodes, seen.active))
    yield from _used(seen)
    yield from _work(seen)
    yield from _promises(seen.starts)
    yield from _staging(seen.decision.snapshot.known if seen.decision else Experience({}))


def _one(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _many(name: str, about: str, labels: tuple[str, ...], values: Mapping[K, float]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, float(value))
    return family


def _tiers(tiers: Iterable[TierView]) -> Iterator[Metric]:
    """Three metrics for each resource, as one metric has one unit."""
    tiers = tuple(tiers)
    for resource in _RESOURCES:

        def amount(of: Amounts, name: str = resource) -> float:
            return float(getattr(of, name))

        total = {(tier.name,): amount(tier.total) for tier in tiers}
        yield _many(f"fabric_capacity_{resource}", "What the ready nodes have.", ("tier",), total)
        free = {(tier.name,): amount(tier.free) for tier in tiers}
        yield _many(f"fabric_free_{resource}", "What nobody holds of it.", ("tier",), free)
        held = {(tier.name, name): amount(of) for tier in tiers for name, of in tier.held.items()}
        yield _many(f"fabric_held_{resource}", "What is held, also on other nodes.", ("tier", "class"), held)


def _used(seen: Seen) -> Iterator[Metric]:
    """What is used of what is held, as far as it is measured, beside how much of it that is."""
    for resource in _RESOURCES:
        used, measured = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for record in seen.active:
            tiers = {part.name: part.tier for part in record.grant.slices} if record.grant else {}
            for part in seen.uses[record.name].slices if record.name in seen.uses else ():
                if part.slice in tiers and (amount := getattr(part, resource)) is not None:
                    key = tiers[part.slice], str(record.spec.priority)
                    used[key] += amount
                    measured[key] += getattr(part, f"of_{resource}")
        labels = ("tier", "class")
        yield _many(f"fabric_used_{resource}", "What is used of what is held and measured.", labels, used)
        about = "What is held and measured, beside which fabric_used stands."
        yield _many(f"fabric_measured_{resource}", about, labels, measured)


def _work(seen: Seen) -> Iterator[Metric]:
    states = Counter((r.spec.kind, r.spec.project, str(r.spec.priority), str(r.state)) for r in seen.active)
    yield _many(
        "fabric_workloads", "Workloads that have not ended.", ("kind", "project", "class", "state"), states
    )  # fmt: skip
    queue = [record for record in seen.active if record.state is State.QUEUED]
    waits = {wait.workload: kind_of(wait) for wait in seen.decision.plan.waits} if seen.decision else {}
    reasons = Counter((r.spec.project, str(r.spec.priority), waits.get(r.name, "undecided")) for r in queue)
    about = "Waiting workloads, by what they wait for."
    yield _many("fabric_queue_length", about, ("project", "class", "reason"), reasons)
    oldest: dict[tuple[str, ...], float] = {}
    for record in queue:
        of_class = (str(record.spec.priority),)
        oldest[of_class] = max(oldest.get(of_class, 0.0), seen.now - record.at.submitted)
    yield _many("fabric_queue_oldest_seconds", "Age of the oldest waiting workload.", ("class",), oldest)


def kind_of(wait: Wait) -> str:
    """What a workload waits for, in a word: `dependencies`, `room`, `limit` of its project, or its `turn`."""
    if wait.after:
        return "dependencies"
    if wait.shortfalls:
        return "room"
    return "limit" if wait.note else "turn"


def _promises(starts: Sequence[tuple[float, float]]) -> Iterator[Metric]:
    kept = promises_view(starts)
    yield _one("fabric_promised_starts", "Latest starts that had been promised.", kept.num)
    about = f"Of these, those at most {kept.within_s:g} s late."
    yield _one("fabric_promised_starts_kept", about, kept.num_kept)
    late = {"0.5": kept.p50_s, "0.95": kept.p95_s, "1": kept.worst_s}
    told = {(quantile,): seconds for quantile, seconds in late.items() if seconds is not None}
    yield _many("fabric_start_delay_seconds", "Starts minus their promises.", ("quantile",), told)


def _staging(known: Experience) -> Iterator[Metric]:
    """What the next start of each kind is predicted to take, and what the latest one took."""
    predicted: dict[tuple[str, ...], float] = {}
    for kind, line in _lines(known):
        predicted[kind.tier, str(kind.stage), kind.artifact, "expected"] = line.expected_s
        predicted[kind.tier, str(kind.stage), kind.artifact, "safe"] = line.safe_s
    about = "Seconds that a start is predicted to take."
    yield _many("fabric_staging_predicted_seconds", about, ("tier", "stage", "artifact", "bound"), predicted)
    samples = known.measured.samples.items()
    latest = {(kind.tier, str(kind.stage), kind.artifact): seconds[-1] for kind, seconds in samples}
    about = "Seconds that the latest start took."
    yield _many("fabric_staging_latest_seconds", about, ("tier", "stage", "artifact"), latest)


def _lines(known: Experience) -> Iterator[tuple[Kind, Line]]:
    """Predictions for Ray on every tier, and for whatever weights were loaded somewhere."""
    for tier, priors in sorted(known.priors.items()):
        [*_, line] = predict(Wanted(tier), Holds(), known.measured, priors).lines
        yield Kind(Stage.RAY, tier), line
    for kind, size in sorted(known.measured.sizes.items()):
        if kind.stage is not Stage.WEIGHTS or kind.tier not in known.priors:
            continue
        wanted = Wanted(kind.tier, weights=Artifact(kind.artifact, size), loader=kind.loader)
        lines = predict(wanted, Holds(), known.measured, known.priors[kind.tier]).lines
        yield kind, next(line for line in lines if line.stage is Stage.WEIGHTS)
