"""Keep GPUs free: work that needs no accelerator goes where there is none, or none left.

Knows nothing of how much of the processors it takes.
"""

import numpy as np

from fabric.scheduler.policies.columns import WHOLE_MILLI_GPUS, Ask, Floats, NodeColumns
from fabric.scheduler.policies.policy import Context

_BEST_WITH_DEVICES = 0.5


def score(ask: Ask, nodes: NodeColumns, context: Context) -> Floats:
    """1 without devices, `(1 - G) / 2` with an idle share G of devices; 1 for every node if the ask takes devices.

    Pulls work for processors off nodes whose idle accelerators it could strand: they need processors too.
    """
    if ask.num_gpus:
        return np.ones(len(nodes))
    idle = nodes.free_milli_gpus.sum(axis=1) / np.maximum(nodes.num_devices * WHOLE_MILLI_GPUS, 1)
    result: Floats = np.where(nodes.num_devices == 0, 1.0, _BEST_WITH_DEVICES * (1.0 - idle))
    return result
