"""What a run leaves behind, as plain records: jobs, replicas, windows, harvested work.

Knows nothing of who made the decisions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fabric.simulator.hti.jobs import Service
from fabric.simulator.hti.queue import Steps, Traffic, ttft_p99_s


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch in which a job held the same accelerators."""

    start_s: float
    end_s: float
    gpus: int
    speed: float = 1.0
    """Of the tier, relative to the GPU tier."""
    rate: float = 1.0
    """Progress per second, relative to the size asked for on the GPU tier; speed and scaling are in it."""
    overhead_s: float = 0.0
    """At its beginning, without progress: staging and restart."""
    lost_s: float = 0.0
    """At its end, whose progress was lost: since the last checkpoint."""
    ended: Literal["finished", "preempted", "resized", "failed", "open"] = "finished"

    @property
    def useful_s(self) -> float:
        """Time whose progress was kept."""
        return max(0.0, self.end_s - self.start_s - self.overhead_s - self.lost_s)


@dataclass(frozen=True, slots=True)
class JobLog:
    """The life of one training job."""

    name: str
    project: str
    gpus: int
    """As asked for."""
    submit_s: float
    run_s: float
    """On the size asked for, without interruption."""
    ended_s: float | None
    """None where the run ended first."""
    deadline_s: float | None = None
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplicaLog:
    """The life of one replica."""

    service: str
    gpus: int
    asked_s: float
    """When the scheduler wanted its accelerators."""
    granted_s: float | None
    """When it had them."""
    ready_s: float | None
    """When it answered."""
    ended_s: float | None
    """When it stopped taking requests; None if it was there at the end."""
    reclaimed: bool = False
    """Whether others had to leave for it."""


@dataclass(frozen=True, slots=True)
class WindowLog:
    """One service in one service-level window."""

    service: str
    start_s: float
    length_s: float
    ttft_p99_s: float
    needed_gpus: float
    ready_gpus: float
    """On average over the window."""


@dataclass(frozen=True, slots=True)
class HarvestLog:
    """A stretch of batch inference on leftovers."""

    start_s: float
    end_s: float
    gpus: int
    speed: float = 1.0
    overhead_s: float = 0.0
    lost_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RunLog:
    """Everything of one run."""

    duration_s: float
    """Length of the benchmark: arrivals and service windows are inside."""
    ended_s: float
    """When the simulation stopped; later, if it let the last jobs finish."""
    jobs: tuple[JobLog, ...]
    replicas: tuple[ReplicaLog, ...] = ()
    windows: tuple[WindowLog, ...] = ()
    harvest: tuple[HarvestLog, ...] = ()
    decisions_s: tuple[float, ...] = ()
    """Processor seconds of each decision."""
    fragmentation: tuple[float, ...] = ()
    """Share of idle accelerators that the workload's mix cannot use (FGD), at equal intervals."""


def ready_steps(replicas: Sequence[ReplicaLog], service: str) -> Steps:
    """How many replicas of `service` answer, from zero on."""
    changes: dict[float, int] = {0.0: 0}
    for replica in replicas:
        if replica.service != service or replica.ready_s is None:
            continue
        changes[max(0.0, replica.ready_s)] = changes.get(max(0.0, replica.ready_s), 0) + 1
        if replica.ended_s is not None:
            gone = max(0.0, replica.ended_s, replica.ready_s)
            changes[gone] = changes.get(gone, 0) - 1
    steps, count = [], 0
    for at in sorted(changes):
        count += changes[at]
        steps.append((at, count))
    return steps


def windows_of(service: Service, traffic: Traffic, replicas: Sequence[ReplicaLog]) -> tuple[WindowLog, ...]:
    """The service-level windows of one service under the replicas of a run.

    Raises:
        BadInput: If the replicas' instants make no step function.
    """
    steps = ready_steps(replicas, service.name)
    slowest = ttft_p99_s(traffic, steps)
    return tuple(
        WindowLog(
            service=service.name,
            start_s=index * service.window_s,
            length_s=service.window_s,
            ttft_p99_s=float(p99),
            needed_gpus=float(needed * service.gpus_per_replica),
            ready_gpus=service.gpus_per_replica * ready,
        )
        for index, (p99, needed, ready) in enumerate(
            zip(slowest, service.needed, _means(steps, len(slowest), service.window_s), strict=True)
        )
    )


def _means(steps: Steps, num: int, length_s: float) -> list[float]:
    """Mean of a step function over each of `num` windows."""
    totals = [0.0] * num
    ends = [at for at, _ in steps[1:]] + [num * length_s]
    for (start, count), end in zip(steps, ends, strict=True):
        index = int(start // length_s)
        while index < num and index * length_s < end:
            totals[index] += count * max(0.0, min(end, (index + 1) * length_s) - max(start, index * length_s))
            index += 1
    return [total / length_s for total in totals]
