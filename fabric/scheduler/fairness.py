"""How fairly finished work was treated: its time in the shared site over its time alone on its project's share.

Knows nothing of decisions; it is a report.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources
from fabric.scheduler.amounts import Amounts
from fabric.scheduler.quota import OWN, Tree
from fabric.scheduler.usage import pairs, weight


def fair_share(tree: Tree, project: str, capacity: Amounts) -> Amounts:
    """What `project` would have if the site were divided: by weight at every level, and no less than its guarantee.

    The own work of a project with others below it has a part with them only where it is asked about.
    """
    part, path = 1.0, tree.path(project)
    for name, above in zip(path, (*path[1:], None), strict=True):
        siblings = {name, *(one for one in _below(tree, above) if not one.endswith(OWN))}
        part *= weight(tree, name) / sum(weight(tree, sibling) for sibling in sorted(siblings))
    divided = Amounts({tier: _scaled(whole, part) for tier, whole in capacity.by_tier.items()})
    entry = tree.entries.get(path[0])
    return divided + entry.guaranteed.shortfall(divided) if entry else divided


@dataclass(frozen=True, slots=True)
class Finished:
    """A job that ended, for the fairness report."""

    project: str
    submitted: float
    """Seconds since the epoch, like the next."""
    ended: float
    run_s: float
    """Seconds it ran for, preempted and redone work left out."""
    held: Amounts


@dataclass(frozen=True, slots=True)
class Fairness:
    """Finish-time fairness of one project's jobs; 1 is as fast as alone on its share, above is slower."""

    jobs: int
    median: float
    p95: float
    worst: float


def rho(job: Finished, share: Amounts) -> float | None:
    """Finish-time fairness of one job: time in the shared site over time alone on `share`.

    Alone it would start at once, and if it holds more than `share` it would run longer in proportion. There it does not
    wait for other jobs of its project, so rho is an upper bound where those queue behind each other.

    Returns:
        A ratio; None if the job took no time, or if `share` has nothing of something that it needs.

    Source:
        Themis, NSDI 2020: rho = T_shared / T_alone; report only, nothing is decided by it.
    """
    stretch = 1.0
    for tier, amount in job.held.by_tier.items():
        for need, have in pairs(amount, share.on(tier)):
            if need.count and not have.count:
                return None
            stretch = max(stretch, need.count / have.count if need.count else 1.0)
    return (job.ended - job.submitted) / (job.run_s * stretch) if job.run_s > 0 else None


def fairness(jobs: Iterable[Finished], tree: Tree, capacity: Amounts) -> Mapping[str, Fairness]:
    """Finish-time fairness by project, of the jobs for which it is defined."""
    found: dict[str, list[float]] = {}
    shares: dict[str, Amounts] = {}
    for job in jobs:
        share = shares.setdefault(job.project, fair_share(tree, job.project, capacity))
        ratio = rho(job, share)
        if ratio is not None:
            found.setdefault(job.project, []).append(ratio)
    return {name: _summary(sorted(ratios)) for name, ratios in sorted(found.items())}


def _summary(ordered: list[float]) -> Fairness:
    last = len(ordered) - 1
    at = [ordered[min(last, math.ceil(level * len(ordered)) - 1)] for level in (0.5, 0.95)]
    return Fairness(len(ordered), at[0], at[1], ordered[-1])


def _below(tree: Tree, parent: str | None) -> list[str]:
    """Entries right below `parent`, or at the top."""
    return [name for name, entry in tree.entries.items() if entry.path[1:2] == ((parent,) if parent else ())]


def _scaled(whole: Resources, part: float) -> Resources:
    return Resources(
        MilliCpus(int(whole.cpus.count * part)),
        MilliGpus(int(whole.gpus.count * part)),
        Bytes(int(whole.memory.count * part)),
    )
