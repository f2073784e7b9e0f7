"""Work that may use accelerators of several kinds, as one option for each kind.

Knows nothing of what is free. A gang stays on one kind, as its slowest worker would set the pace of all.
"""

from dataclasses import replace
from functools import lru_cache

from fabric.scheduler.columns import GPUS, NodeColumns
from fabric.scheduler.snapshot import Waiting
from fabric.workloads.spec import Group


def options_of(work: Waiting, site: NodeColumns) -> tuple[Waiting, ...]:
    """Work on each kind of accelerators that it may use, the fastest first; on a slower one its walltime is longer."""
    if not site.gpu_tiers or not any(tier is None for tier in work.shape.tiers):
        return (work,)
    if not any(part.tier is None and part.request[GPUS] for part in work.shape.parts):
        return (work,)
    fastest = site.speeds[site.gpu_tiers[0]]
    return tuple(_on(work, tier, fastest / site.speeds[tier]) for tier in site.gpu_tiers)


def _on(work: Waiting, tier: str, longer: float) -> Waiting:
    groups = tuple(_group_on(group, tier) for group in work.groups)
    walltime_s = work.walltime_s if work.walltime_s is None or longer == 1 else work.walltime_s * longer
    return replace(work, groups=groups, walltime_s=walltime_s)


@lru_cache(maxsize=1 << 12)
def _group_on(group: Group, tier: str) -> Group:
    return group.model_copy(update={"tier": tier}) if group.tier is None and group.request.gpus else group


def gpu_tiers(work: Waiting) -> set[str | None]:
    """Tiers of its parts that have accelerators."""
    return {part.tier for part in work.shape.parts if part.request[GPUS]}
