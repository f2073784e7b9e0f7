"""Dot product: keep a node for the work whose shape it has.

Knows nothing of single devices: what they have left is summed.
"""

from fabric.scheduler.policies.columns import Ask, Floats, NodeColumns
from fabric.scheduler.policies.policy import Context
from fabric.scheduler.policies.scale import cpu_share, gpu_share


def score(ask: Ask, nodes: NodeColumns, context: Context) -> Floats:
    """`1 - (c * C + g * G) / 2`: asked (c, g) and idle (C, G) processors and devices, as shares of the largest node.

    Pulls work to nodes that have little left of what it needs most, so that empty ones stay whole.

    Source:
        Grandl et al., "Multi-resource packing for cluster schedulers", SIGCOMM 2014, in the form that the experiments
        of Weng et al., USENIX ATC 2023, compare with: two dimensions, and a larger product scores lower.
    """
    cpus = cpu_share(ask.cpus.count) * cpu_share(nodes.free_milli_cpus)
    gpus = gpu_share(ask.gpus.count) * gpu_share(nodes.free_milli_gpus.sum(axis=1))
    return 1.0 - (cpus + gpus) / 2
