"""Pack: fill what is in use already, whatever is asked.

Knows nothing of single devices, topology or the tasks to come.
"""

import numpy as np

from fabric.scheduler.policies.columns import WHOLE_MILLI_GPUS, Ask, Floats, Ints, NodeColumns
from fabric.scheduler.policies.policy import Context


def score(ask: Ask, nodes: NodeColumns, context: Context) -> Floats:
    """`1 - mean(left / capacity)` over those of processors, memory and devices that the node has, after the ask.

    Pulls work to the node that ends up fullest, so that other nodes stay empty for wide gangs or can be given back.

    Source:
        The usual "most allocated" rule, over the node's own capacity rather than the largest node's.
    """
    parts = (
        _left_share(nodes.free_milli_cpus - ask.cpus.count, nodes.capacity_milli_cpus),
        _left_share(nodes.free_bytes - ask.memory.count, nodes.capacity_bytes),
        _left_share(nodes.free_milli_gpus.sum(axis=1) - ask.gpus.count, nodes.num_devices * WHOLE_MILLI_GPUS),
    )
    has = sum((capacity > 0).astype(np.int64) for _, capacity in parts)
    result: Floats = 1.0 - sum(share for share, _ in parts) / np.maximum(has, 1)
    return result


def _left_share(left: Ints, capacity: Ints) -> tuple[Floats, Ints]:
    """Share left, 0 where the node has none of it; and the capacity."""
    return left / np.maximum(capacity, 1), capacity
