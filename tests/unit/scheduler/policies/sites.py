"""The nodes that policies compare, as the site of a gang."""

import numpy as np

from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources
from fabric.scheduler.columns import Amounts, Node
from fabric.scheduler.columns import NodeColumns as Site
from fabric.scheduler.policies.columns import WHOLE_MILLI_GPUS, Ask, NodeColumns
from fabric.scheduler.shape import Shape, shape_of
from fabric.workloads.spec import Group


def site_of(nodes: NodeColumns) -> Site:
    """A site with the same nodes in the same order; each accelerator model is a tier."""
    amounts = zip(nodes.capacity_milli_cpus, nodes.num_devices, nodes.capacity_bytes, nodes.model, strict=True)
    return Site.of(
        Node(
            f"n{row:05d}",
            f"tier-{nodes.models[model]}",
            Resources(MilliCpus(int(cpus)), MilliGpus(int(gpus) * WHOLE_MILLI_GPUS), Bytes(int(memory))),
        )
        for row, (cpus, gpus, memory, model) in enumerate(amounts)
    )


def room_of(nodes: NodeColumns) -> Amounts:
    """What each node has left, as sums."""
    return np.stack([nodes.free_milli_cpus, nodes.free_milli_gpus.sum(axis=1), nodes.free_bytes], axis=1)


def shape_for(ask: Ask, tier: str | None = None) -> Shape:
    """A gang of one worker that asks for as much."""
    memory = f"{ask.memory.count} B"
    return shape_of([Group(cpus=ask.cpus.whole(), gpus=ask.gpus.whole(), memory=memory, tier=tier)])
