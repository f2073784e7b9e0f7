"""The benchmark's machines as the scheduler sees them.

Knows nothing of what runs on them.
"""

from fabric.core.resources import Resources
from fabric.core.topology import Place
from fabric.scheduler.snapshot import Node
from fabric.simulator.hti.settings import HtiSettings, Pool


def nodes(settings: HtiSettings) -> tuple[Node, ...]:
    """Every node of the site, ready, in its dragonfly group; each tier has groups of its own."""
    return tuple(node for pool in (settings.gpu, settings.older, settings.cpu) for node in _of(pool))


def _of(pool: Pool) -> list[Node]:
    each = pool.nodes // pool.groups
    capacity = Resources.of(pool.cpus, pool.gpus, pool.memory)
    return [
        Node(f"{pool.tier}-{i}", pool.tier, capacity, heads=pool.heads, place=Place(group=f"{pool.tier}-d{i // each}"))
        for i in range(pool.nodes)
    ]


def speeds(settings: HtiSettings) -> dict[str, float]:
    """Progress of training on one accelerator of each tier that has some, relative to the GPU tier."""
    pools = (settings.gpu, settings.older, settings.cpu)
    return {pool.tier: pool.speed for pool in pools if pool.gpus}
