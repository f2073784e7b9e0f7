"""A rank keeps to the cores beside its accelerator, by its own doing: no kubelet's TopologyManager takes part.

Knows nothing of Ray. The kubelet refuses machines with more than 8 NUMA nodes unless told otherwise, and tries 2^n
hints where it takes them (KEP-4622); a machine of four GH200 has 36.
"""

import os
from pathlib import Path

from fabric.core.numa import cores_for, cpus_of

SYSTEM = Path("/sys")
"""Where Linux shows devices."""


def pin(rank: int, num_ranks: int, pci: str | None = None, system: Path = SYSTEM) -> frozenset[int]:
    """Let this thread, and all that it starts from now on, use only the cores beside its rank's accelerator.

    Args:
        rank: Number of the rank on its machine, from 0.
        num_ranks: Ranks of the job there.
        pci: Where the accelerator is, such as `0009:01:00.0`; None where that is unknown.
        system: Where the machine shows its devices.

    Returns:
        The CPUs that it uses from now on.
    """
    nodes = {int(node.name.removeprefix("node")): node for node in (system / "devices/system/node").glob("node[0-9]*")}
    cores = {number: cpus_of((node / "cpulist").read_text(encoding="ascii")) for number, node in nodes.items()}
    beside = None if pci is None else node_of(pci, system)
    chosen = cores_for(rank, num_ranks, cores, os.sched_getaffinity(0), beside=beside)
    os.sched_setaffinity(0, chosen)
    return chosen


def node_of(pci: str, system: Path = SYSTEM) -> int | None:
    """NUMA node of a device on the PCI bus; None where the machine does not say."""
    try:
        number = int((system / "bus/pci/devices" / pci.lower() / "numa_node").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return number if number >= 0 else None
