"""Any node that fits, drawn from the seed: the yardstick of those that choose.

Knows nothing of what is on the nodes.
"""

import numpy as np

from fabric.scheduler.policies.columns import Ask, Floats, NodeColumns
from fabric.scheduler.policies.policy import Context

_NODES, _DEVICES = 0, 1


def score(ask: Ask, nodes: NodeColumns, context: Context) -> Floats:
    """1 for one of the nodes, each as likely as the others, and 0 for the rest; pulls nowhere. Needs `seed`.

    Source:
        The policy "Random" of the experiments of Weng et al., USENIX ATC 2023.
    """
    drawn = np.zeros(len(nodes))
    held = 0 if context.siblings is None else len(context.siblings)
    # Each slice of a gang draws anew.
    seed = (*context.seed, held, _NODES) if held else (*context.seed, _NODES)
    if len(nodes):
        drawn[np.random.default_rng(seed).integers(len(nodes))] = 1.0
    return drawn


def share(ask: Ask, node: NodeColumns, context: Context) -> int:
    """Any device with enough left, each as likely as the others."""
    enough = np.flatnonzero(node.free_milli_gpus[0] >= ask.gpu.count)
    return int(np.random.default_rng((*context.seed, _DEVICES)).choice(enough))
