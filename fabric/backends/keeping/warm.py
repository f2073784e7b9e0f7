"""Which work may get a warm cluster, what it must be told then, and which warm clusters are in somebody's way.

Knows nothing of keepers.

A warm cluster was started before anybody asked, with a Ray token and a key for control that nobody has seen. It is
given to one attempt of one workload and goes with it, so no two workloads are ever in one, and nothing of an earlier
one can be there. What it holds is free in the scheduler's eyes: whoever is granted the room gets it, at the price of
the moment that idle processes take to leave.
"""

from collections.abc import Iterator, Mapping, Sequence

from fabric.config import env
from fabric.core.resources import Resources
from fabric.scheduler.ports import WantedCluster
from fabric.scheduler.snapshot import Node
from fabric.workloads.record import Slice

_AT_START = ("RAY_", "OMP_", "MALLOC_", "LD_")
"""How variables begin that processes read when they start: work that sets one of these needs a cluster of its own."""


class NoOutput:
    """What comes of a cluster that runs nothing; implements `fabric.backends.keeping.ports.Output`."""

    def copy(self) -> None:
        """Nothing."""

    def note(self, sentence: str) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


def fits(wanted: WantedCluster, warm: WantedCluster) -> bool:
    """Whether work may get a warm cluster: it was granted exactly its slices, and asks for nothing at the start.

    Args:
        wanted: The work.
        warm: What the cluster was started as.
    """
    # Ray shows of an entrypoint what is told with it, and hidden variables are shown to nobody.
    special = wanted.serve is not None or wanted.adopted is not None or wanted.images or wanted.hidden or wanted.warm
    same = wanted.grant.slices == warm.grant.slices
    return same and not special and not any(name.startswith(_AT_START) for name in late(wanted, warm))


def late(wanted: WantedCluster, warm: WantedCluster) -> Mapping[str, str]:
    """What the work must be told besides what the processes were told at their start; no keys."""
    return {name: value for name, value in wanted.env.items() if name not in env.KEYS and warm.env.get(name) != value}


def crowded(
    parts: Sequence[Slice], held: Sequence[Slice], nodes: Sequence[Node], warm: Mapping[str, Sequence[Slice]]
) -> Iterator[str]:
    """Warm clusters that leave no room for these slices, as few as make enough.

    Args:
        parts: What is to start.
        held: What all clusters occupy, warm ones included.
        nodes: The nodes of the site.
        warm: What each warm cluster occupies, by its name.
    """
    capacity = {node.name: node.capacity for node in nodes}
    for node in sorted({part.node for part in parts}):
        used = _sum(part for part in (*held, *parts) if part.node == node)
        for name, theirs in warm.items():
            mine = _sum(part for part in theirs if part.node == node)
            if not mine or node not in capacity or used.fits(capacity[node]):
                continue
            used = used - mine
            yield name


def _sum(parts: Iterator[Slice]) -> Resources:
    total = Resources()
    for part in parts:
        total = total + part.resources
    return total
