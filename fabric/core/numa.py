"""The NUMA nodes of a machine: which have cores, which are the memory of accelerators, and which cores a rank uses.

Knows nothing of where the numbers are read.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NumaNode:
    """One NUMA node."""

    number: int
    cores: int
    """CPUs."""
    memory: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Numa:
    """All NUMA nodes of a machine."""

    nodes: tuple[NumaNode, ...]
    coherent: bool = False
    """Whether its accelerators share the address space of its cores, as superchips do."""

    @property
    def with_cores(self) -> int:
        """NUMA nodes on which processes run."""
        return sum(node.cores > 0 for node in self.nodes)

    @property
    def of_accelerators(self) -> int:
        """NUMA nodes with memory and no cores: the memory of accelerators."""
        return sum(node.cores == 0 and node.memory > 0 for node in self.nodes)

    @property
    def mode(self) -> str:
        """How the driver shows the memory of accelerators.

        `numa` where the system gives it out like its own, and memory that Kubernetes reports is too much by it; `cdmm`
        (coherent driver-based memory management) where it does not although it could; `plain` elsewhere.
        """
        if self.of_accelerators:
            return "numa"
        return "cdmm" if self.coherent else "plain"

    def __str__(self) -> str:
        """For people, such as `36 NUMA nodes (4 with cores, 4 of accelerators), mode numa`."""
        kinds = f"{self.with_cores} with cores, {self.of_accelerators} of accelerators"
        return f"{len(self.nodes)} NUMA nodes ({kinds}), mode {self.mode}"


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be said of a machine beside what it has and who uses it."""

    said: str = ""
    """Why it takes no work; empty where it does, or somebody drains it."""
    numa: Numa | None = None
    """Its NUMA nodes, where it showed them."""


def cpus_of(text: str) -> tuple[int, ...]:
    """Numbers of CPUs from a list as Linux writes it, such as `0-3,8`.

    Raises:
        ValueError: If it is none.
    """
    ranges = (part.partition("-") for part in text.strip().split(",") if part)
    return tuple(cpu for first, _, last in ranges for cpu in range(int(first), int(last or first) + 1))


def cores_for(
    rank: int, num_ranks: int, nodes: Mapping[int, Collection[int]], allowed: Collection[int], *, beside: int | None
) -> frozenset[int]:
    """The CPUs that one of several ranks on a machine should use.

    Args:
        rank: Number of the rank on its machine, from 0.
        num_ranks: Ranks of the job there.
        nodes: CPUs of each NUMA node, by its number.
        allowed: CPUs that the process may use.
        beside: NUMA node of the rank's accelerator; None where that is unknown.

    Returns:
        Those of the allowed CPUs that are on the accelerator's NUMA node; where that is unknown, on the rank's own if
        there is one for each rank. All that are allowed otherwise: others may work on the same machine.
    """
    usable = {number: own for number, cpus in sorted(nodes.items()) if (own := frozenset(cpus) & frozenset(allowed))}
    if beside in usable:
        return usable[beside]
    if beside is None and len(usable) == num_ranks:
        return list(usable.values())[rank]
    return frozenset(allowed)
