"""Best fit: the node that is left with least.

Knows nothing of single devices: what they have left is summed.
"""

from fabric.scheduler.policies.columns import Ask, Floats, NodeColumns
from fabric.scheduler.policies.policy import Context
from fabric.scheduler.policies.scale import cpu_share, gpu_share


def score(ask: Ask, nodes: NodeColumns, context: Context) -> Floats:
    """`1 - (C + G) / 2`: processors and devices left after the ask, as shares of the largest node.

    Pulls work to the fullest and smallest node that takes it.

    Source:
        The policy "BestFit" of the experiments of Weng et al., USENIX ATC 2023: both dimensions weigh the same.
    """
    cpus = cpu_share(nodes.free_milli_cpus - ask.cpus.count)
    gpus = gpu_share(nodes.free_milli_gpus.sum(axis=1) - ask.gpus.count)
    return 1.0 - (cpus + gpus) / 2
