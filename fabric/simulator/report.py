"""What a scenario came to: waits, slowdowns, and how much of each tier was held over time.

Knows nothing of files or of how a report is shown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fabric.core.resources import Resources
from fabric.scheduler.snapshot import Node
from fabric.simulator.metrics import TAU_S
from fabric.simulator.records import Holding
from fabric.workloads.record import Event, Record
from fabric.workloads.states import State


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How much of a tier was held, as a step function."""

    tier: str
    device: str
    """What is counted: GPUs where the tier has some, otherwise CPUs."""
    there: float
    """Devices of the tier."""
    steps: tuple[tuple[float, float], ...]
    """Instants in seconds from the beginning, and devices held from then on."""

    def share(self, until_s: float) -> float:
        """Mean share of the tier that was held from the first instant until `until_s`."""
        if not self.steps or until_s <= self.steps[0][0]:
            return 0.0
        ends = [at for at, _ in self.steps[1:]] + [until_s]
        held = sum(max(0.0, end - at) * amount for (at, amount), end in zip(self.steps, ends, strict=True))
        return held / (self.there * (until_s - self.steps[0][0]))


@dataclass(frozen=True, slots=True)
class Start:
    """A grant, from which on an attempt held nodes."""

    workload: str
    attempt: int
    at_s: float
    """Seconds from the beginning."""


@dataclass(frozen=True, slots=True)
class Report:
    """One run of a scenario; all times in seconds."""

    waits_s: tuple[float, ...]
    """Of every workload that started, from its submission to its grant, in the order of names."""
    avebsld: float
    """Average bounded slowdown of the jobs that ended, with a tau of 10 s."""
    late_s: tuple[float, ...]
    """How much later than first promised each workload started that was promised a start; below zero if earlier."""
    occupancy: tuple[Occupancy, ...]
    """By name of the tier."""
    span_s: float
    """From the first submission to the last end."""
    states: tuple[tuple[str, int], ...]
    """How many workloads ended in each state."""
    starts: tuple[Start, ...] = ()
    """Every grant to every attempt, in order."""

    @property
    def mean_wait_s(self) -> float:
        """Mean wait of those that started; 0 if nobody did."""
        return sum(self.waits_s) / len(self.waits_s) if self.waits_s else 0.0


def report_of(
    records: Iterable[Record],
    nodes: Sequence[Node],
    holdings: Iterable[Holding] = (),
    events: Iterable[Event] = (),
) -> Report:
    """The report of finished records.

    Args:
        records: Of everything that came.
        nodes: Of the site.
        holdings: What each held over time; without them each counts with its last grant, from that to its end.
        events: History of all, which tells the starts of all attempts.
    """
    done = sorted(records, key=lambda record: record.name)
    started = [record for record in done if record.at.granted is not None]
    held = list(holdings) or [
        Holding(record.name, record.grant, record.at.granted, record.at.ended)
        for record in started
        if record.grant is not None and record.at.granted is not None
    ]
    first = min((record.at.submitted for record in done), default=0.0)
    last = max((record.at.ended for record in done if record.at.ended is not None), default=first)
    jobs = [record for record in started if record.spec.kind == "job" and record.state is State.SUCCEEDED]
    slowdowns = [_slowdown(record) for record in jobs]
    counts = {str(state): sum(record.state is state for record in done) for state in State}
    return Report(
        waits_s=tuple((r.at.granted or 0.0) - r.at.submitted for r in started),
        avebsld=sum(slowdowns) / len(slowdowns) if slowdowns else 1.0,
        late_s=tuple((r.at.granted or 0.0) - r.promised_start for r in started if r.promised_start is not None),
        occupancy=tuple(_occupancy(tier, nodes, held) for tier in sorted({node.tier for node in nodes})),
        span_s=last - first,
        states=tuple((state, count) for state, count in counts.items() if count),
        starts=tuple(Start(e.workload, e.attempt, e.at) for e in events if e.state is State.PLACING),
    )


def _slowdown(record: Record) -> float:
    at = record.at
    started = at.running if at.running is not None else at.granted
    ran = (at.ended or 0.0) - (started or 0.0)
    return max(1.0, ((at.ended or 0.0) - at.submitted) / max(ran, TAU_S))


def _occupancy(tier: str, nodes: Sequence[Node], holdings: Iterable[Holding]) -> Occupancy:
    mine = [node for node in nodes if node.tier == tier]
    there = sum((node.capacity for node in mine), Resources())
    device = "GPUs" if there.gpus else "CPUs"
    changes: dict[float, float] = {}
    for holding in holdings:
        held = sum(_devices(part.resources, device) for part in holding.grant.slices if part.tier == tier)
        if held and holding.end_s is not None:
            changes[holding.start_s] = changes.get(holding.start_s, 0.0) + held
            changes[holding.end_s] = changes.get(holding.end_s, 0.0) - held
    now, steps = 0.0, []
    for at in sorted(changes):
        now += changes[at]
        steps.append((at, now))
    return Occupancy(tier, device, _devices(there, device), tuple(steps))


def _devices(resources: Resources, device: str) -> float:
    return resources.gpus.whole() if device == "GPUs" else resources.cpus.whole()
