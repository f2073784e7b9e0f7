"""GPU packing: devices in use first, then nodes in use, then idle nodes.

Knows nothing of processors and memory.
"""

import numpy as np

from fabric.scheduler.policies.columns import WHOLE_MILLI_GPUS, Ask, Floats, NodeColumns
from fabric.scheduler.policies.policy import Context

_TENTH_MILLI_GPUS = WHOLE_MILLI_GPUS // 10
_USED_NODE, _IDLE_NODE = 0.50, 0.33
_STEP = 0.01


def score(ask: Ask, nodes: NodeColumns, context: Context) -> Floats:
    """Three bands: a device in use (0.9 to 1), idle devices of a node in use (0.33 to 0.5), an idle node (0 to 0.33).

    Within the first the device with least left is best, by 0.01 for each tenth of a device; within the others 0.01 is
    taken off for each idle device that is broken, or that the node has. 0 everywhere if no device is asked. Pulls work
    onto as few devices and nodes as it can.

    Source:
        Weng et al., "MLaaS in the Wild", NSDI 2022, in the form of the experiments of Weng et al., USENIX ATC 2023.
    """
    if ask.num_gpus == 0:
        return np.zeros(len(nodes))
    left = nodes.free_milli_gpus
    num_idle = (left == WHOLE_MILLI_GPUS).sum(axis=1)
    tightest = np.where(left >= ask.gpu.count, left, WHOLE_MILLI_GPUS).min(axis=1)
    used_device = 1.0 - _STEP * (tightest // _TENTH_MILLI_GPUS)
    used_node = np.maximum(_USED_NODE - _STEP * ask.num_gpus, _IDLE_NODE)
    idle_node = np.maximum(_IDLE_NODE - _STEP * num_idle, 0.0)
    result: Floats = np.select(
        [num_idle == nodes.num_devices, tightest == WHOLE_MILLI_GPUS], [idle_node, used_node], default=used_device
    )
    return result
