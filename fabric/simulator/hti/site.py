"""The benchmark's machines and projects as the scheduler sees them.

Knows nothing of what runs on them.
"""

import math

from fabric.config.projects import Project, Share
from fabric.core.resources import Resources
from fabric.core.topology import Place
from fabric.scheduler.snapshot import Node
from fabric.simulator.hti.settings import HtiSettings, Pool
from fabric.simulator.hti.workload import Workload


def nodes(settings: HtiSettings) -> tuple[Node, ...]:
    """Every node of the site, ready, in its dragonfly group; each tier has groups of its own."""
    return tuple(node for pool in (settings.gpu, settings.older, settings.cpu) for node in _of(pool))


def _of(pool: Pool) -> list[Node]:
    each = pool.nodes // pool.groups
    capacity = Resources.of(pool.cpus, pool.gpus, pool.memory)
    return [
        Node(
            f"{pool.tier}-{i}", pool.tier, capacity,
            heads=pool.heads, place=Place(group=f"{pool.tier}-d{i // each}"), speed=pool.speed,
        )
        for i in range(pool.nodes)
    ]  # fmt: skip


def speeds(settings: HtiSettings) -> dict[str, float]:
    """Progress of training on one accelerator of each tier that has some, relative to the GPU tier."""
    pools = (settings.gpu, settings.older, settings.cpu)
    return {pool.tier: pool.speed for pool in pools if pool.gpus}


SERVING = "serving"
"""Project of the services."""
DATA_PREPARATION = "data-preparation"
"""Project of the CPU work."""


def projects(settings: HtiSettings, workload: Workload) -> tuple[Project, ...]:
    """What the site guarantees: to serving its peak, to the others their shares of the rest, in whole accelerators.

    A share is rounded down, so a project with less than one accelerator is guaranteed none. Data preparation has the
    CPU tier for itself, on which nobody is guaranteed anything.
    """
    peak = sum(max(service.needed) * service.gpus_per_replica for service in workload.services)
    rest = {settings.gpu.tier: settings.gpu.total_gpus - peak, settings.older.tier: settings.older.total_gpus}
    found = [
        Project(name=SERVING, guaranteed={settings.gpu.tier: Share(gpus=float(peak))}),
        Project(name=DATA_PREPARATION),
    ]
    for project in workload.projects:
        shares = {tier: float(math.floor(project.share * gpus)) for tier, gpus in rest.items()}
        guaranteed = {tier: Share(gpus=gpus) for tier, gpus in shares.items() if gpus}
        found.append(Project(name=project.name, weight=max(project.share, _LEAST_WEIGHT), guaranteed=guaranteed))
    return tuple(found)


_LEAST_WEIGHT = 1e-6
