"""Who is looked at first: the order of the queue, and the order in which those behind a blocked workload may pass it.

Knows nothing of nodes.
"""

import math
from collections.abc import Callable, Iterable, Mapping

from fabric.scheduler.columns import CPUS, GPUS
from fabric.scheduler.policy import Policy, QueueOrder
from fabric.scheduler.snapshot import Snapshot, Waiting
from fabric.scheduler.usage import order_key

Score = Callable[[Waiting, float], tuple[float, ...]]
"""From a workload and `now` in seconds to its place; the smallest is looked at first."""

_TINY = 1e-15
"""What RLScheduler adds so that nothing is divided by zero."""


def width(work: Waiting) -> float:
    """How many devices it asks for: accelerators where it asks for some, otherwise CPUs."""
    return (work.shape.total[GPUS] or work.shape.total[CPUS]) / 1000


def waits_since(work: Waiting) -> float:
    """When it began to wait for its next attempt, in seconds since the epoch."""
    return work.submitted if work.since is None else work.since


def fcfs(work: Waiting, now: float) -> tuple[float, ...]:
    """First come, first served."""
    return (work.submitted,)


def sjf(work: Waiting, now: float) -> tuple[float, ...]:
    """Shortest expected time first: the requested one, or what earlier runs of the owner took where it is known."""
    return (work.likely_s, work.submitted)


def wfp3(work: Waiting, now: float) -> tuple[float, ...]:
    """Long waits relative to the requested time first, and wide work before narrow.

    Source:
        WFP3, Tang et al., "Fault-aware, utility-based job scheduling on Blue Gene/P", CLUSTER 2009:
        (wait / requested time)^3 times processors, largest first.
    """
    return (-(((now - work.submitted) / work.duration_s) ** 3) * width(work),)


def uni(work: Waiting, now: float) -> tuple[float, ...]:
    """Small and short work that has waited long first.

    Source:
        UNICEF, the same paper: wait / (log2(processors) times requested time), largest first.
    """
    return (-(now - work.submitted) / ((math.log2(width(work)) + _TINY) * work.duration_s),)


def f1(work: Waiting, now: float) -> tuple[float, ...]:
    """A learned mix of size and instant of submission.

    Source:
        F1, Carastan-Santos and de Camargo, "Obtaining dynamic scheduling policies with simulation and machine
        learning", SC'17: log10(requested time) times processors + 870 log10(submission).
    """
    return (math.log10(work.duration_s or 0.1) * width(work) + 870 * math.log10(max(work.submitted, 0.1)),)


def wfp3_sc20(work: Waiting, now: float) -> tuple[float, ...]:
    """WFP3 as the simulator of RLScheduler (SC'20) reckons it: the start still unset at -1 stands for `now`."""
    return (-(((-1.0 - work.submitted) / work.duration_s) ** 3) * width(work),)


def uni_sc20(work: Waiting, now: float) -> tuple[float, ...]:
    """UNICEF as the simulator of RLScheduler (SC'20) reckons it: the start still unset at -1 stands for `now`."""
    return (-(-1.0 - work.submitted + _TINY) / (math.log2(width(work) + _TINY) * work.duration_s),)


SCORES: Mapping[QueueOrder, Score] = {
    "fcfs": fcfs,
    "sjf": sjf,
    "wfp3": wfp3,
    "uni": uni,
    "f1": f1,
    "wfp3-sc20": wfp3_sc20,
    "uni-sc20": uni_sc20,
}
"""Every order of the queue; the priority class comes before it, ties break by instant of submission and name."""


def in_order(snapshot: Snapshot, policy: Policy, now: float) -> list[Waiting]:
    """The queue: class, whoever must stay first, use of the project over its weight, the policy's order, first come."""
    queue = list(snapshot.waiting)
    if policy.order != "fcfs":
        score = SCORES[policy.order]
        queue.sort(key=lambda work: (work.rank, score(work, now), work.submitted, work.name))
    if policy.fair and snapshot.tree.entries:
        shares = {work.project: order_key(snapshot.usage, snapshot.tree, work.project) for work in queue}
        queue.sort(key=lambda work: (work.rank, shares[work.project]))
    if policy.sticky:
        queue.sort(key=lambda work: (work.rank, work.promise is None))
    return queue


def in_backfill_order(behind: Iterable[Waiting], policy: Policy) -> list[Waiting]:
    """Those who may pass, in the order in which they are tried."""
    if policy.backfill == "shortest":
        return sorted(behind, key=lambda work: (work.rank, work.likely_s, work.submitted, work.name))
    if policy.backfill == "smallest":
        return sorted(behind, key=lambda work: (work.rank, width(work) * work.likely_s, work.submitted, work.name))
    return sorted(behind, key=_first_come)


def _first_come(work: Waiting) -> tuple[int, float, str]:
    return work.key
