"""GPU clustering: put work beside work that takes accelerators in the same way.

Knows nothing of processors and memory.
"""

import numpy as np

from fabric.scheduler.policies.columns import Ask, Floats, NodeColumns
from fabric.scheduler.policies.policy import Context
from fabric.scheduler.policies.scale import gpu_share

_OTHERS_ONLY, _EMPTY, _MIXED, _SAME_ONLY = range(4)


def score(ask: Ask, nodes: NodeColumns, context: Context) -> Floats:
    """`(b + 1 - G) / 4`, where b tells the company on the node and G is the idle share of devices; 0 if none is asked.

    b is 3 where all work takes devices as this does (a share, one whole, two whole, ...), 2 where some does, 1 where
    none takes any and 0 where all takes them differently. Pulls work together with its like, then to fuller nodes.

    Source:
        Xiao et al., "Gandiva", OSDI 2018, in the form of the experiments of Weng et al., USENIX ATC 2023.
    """
    if ask.num_gpus == 0:
        return np.zeros(len(nodes))
    like = (nodes.kinds & ask.kind) != 0
    company = np.select(
        [nodes.kinds == ask.kind, like, nodes.kinds == 0], [_SAME_ONLY, _MIXED, _EMPTY], default=_OTHERS_ONLY
    )
    result: Floats = (company + 1.0 - gpu_share(nodes.free_milli_gpus.sum(axis=1))) / 4
    return result
