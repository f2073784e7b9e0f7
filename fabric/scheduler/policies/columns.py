"""Nodes as integer columns, and what one worker asks of one of them.

Knows nothing of which node is better: only of what fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fabric.core.errors import BadInput
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

WHOLE_MILLI_GPUS = 1000
"""Thousandths in a device."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What one worker needs on one node: either a share of one device, or whole devices, or none.

    Raises:
        BadInput: If there is a count of devices without a share of each or the other way round, a share of more than a
            device, or a share below one of several devices.
    """

    cpus: MilliCpus
    memory: Bytes = Bytes(0)
    num_gpus: int = 0
    gpu: MilliGpus = MilliGpus(0)
    """Of each device: 1000 takes it whole."""
    models: frozenset[str] = frozenset()
    """Accelerator models it can use; empty for any."""

    def __post_init__(self) -> None:
        share = self.gpu.count
        if self.num_gpus < 0 or share > WHOLE_MILLI_GPUS or bool(self.num_gpus) != bool(share):
            raise BadInput(
                f"{self.num_gpus} devices with {share} thousandths of each: write a count with 1 to {WHOLE_MILLI_GPUS} "
                "thousandths, or 0 and 0."
            )
        if self.num_gpus > 1 and share < WHOLE_MILLI_GPUS:
            raise BadInput(f"{share} thousandths of each of {self.num_gpus} devices: only one device can be shared.")

    @property
    def shares(self) -> bool:
        """Whether it leaves the rest of its device to others."""
        return 0 < self.gpu.count < WHOLE_MILLI_GPUS

    @property
    def gpus(self) -> MilliGpus:
        """Over all devices together."""
        return self.gpu * self.num_gpus

    @property
    def kind(self) -> int:
        """The bit of its kind in `NodeColumns.kinds`: bit 0 for a share, bit n for n whole devices; 0 without any."""
        if self.num_gpus == 0:
            return 0
        return 1 if self.shares else 1 << self.num_gpus


@dataclass(frozen=True, slots=True)
class NodeColumns:
    """One row for each node, in the order that breaks ties (by name); N nodes of at most D devices."""

    capacity_milli_cpus: Ints
    """(N,)"""
    free_milli_cpus: Ints
    """(N,)"""
    capacity_bytes: Ints
    """(N,)"""
    free_bytes: Ints
    """(N,)"""
    num_devices: Ints
    """(N,) Accelerators of the node."""
    free_milli_gpus: Ints
    """(N, D) Of each device; 0 beyond `num_devices`. D is at least 1 and as large as the largest `num_devices`."""
    model: Ints
    """(N,) Index into `models`."""
    kinds: Ints
    """(N,) Bits of `Ask.kind` of everything that runs there."""
    group: Ints
    """(N,) Number of the widest level of the topology."""
    rack: Ints
    """(N,) Number of the rack, counted over all groups."""
    models: tuple[str, ...]
    """Names of accelerator models; "" for none."""

    def rows(self, which: Ints | Flags) -> "NodeColumns":
        """A copy of some rows, in their order."""
        return NodeColumns(
            self.capacity_milli_cpus[which],
            self.free_milli_cpus[which],
            self.capacity_bytes[which],
            self.free_bytes[which],
            self.num_devices[which],
            self.free_milli_gpus[which],
            self.model[which],
            self.kinds[which],
            self.group[which],
            self.rack[which],
            self.models,
        )

    def __len__(self) -> int:
        return len(self.num_devices)


def idle_nodes(milli_cpus: Ints, memory_bytes: Ints, num_devices: Ints, *, models: Sequence[str]) -> NodeColumns:
    """Idle nodes, all in one rack.

    Args:
        milli_cpus: (N,) Processors of each.
        memory_bytes: (N,) Memory of each.
        num_devices: (N,) Accelerators of each.
        models: Name of the accelerators of each; "" for none.
    """
    names = tuple(sorted(set(models)))
    nowhere = np.zeros(len(milli_cpus), dtype=np.int64)
    return NodeColumns(
        capacity_milli_cpus=milli_cpus,
        free_milli_cpus=milli_cpus.copy(),
        capacity_bytes=memory_bytes,
        free_bytes=memory_bytes.copy(),
        num_devices=num_devices,
        free_milli_gpus=np.where(np.arange(num_devices.max(initial=1)) < num_devices[:, None], WHOLE_MILLI_GPUS, 0),
        model=np.array([names.index(name) for name in models], dtype=np.int64),
        kinds=nowhere.copy(),
        group=nowhere,
        rack=nowhere,
        models=names,
    )


def accessible(ask: Ask, nodes: NodeColumns) -> Flags:
    """(N,) Whether the node's model is one that the ask can use."""
    if not ask.models:
        return np.ones(len(nodes), dtype=np.bool_)
    return np.array([name in ask.models for name in nodes.models], dtype=np.bool_)[nodes.model]


def fitting(ask: Ask, nodes: NodeColumns) -> Flags:
    """(N,) Whether the ask fits now: processors, memory, enough devices with enough left, and their model."""
    enough = (nodes.free_milli_cpus >= ask.cpus.count) & (nodes.free_bytes >= ask.memory.count)
    if ask.num_gpus:
        enough &= (nodes.free_milli_gpus >= ask.gpu.count).sum(axis=1) >= ask.num_gpus
    return enough & accessible(ask, nodes)
