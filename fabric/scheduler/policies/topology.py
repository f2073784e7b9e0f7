"""How far a node is from what the same workload holds already.

Knows nothing of which distance is better.
"""

import numpy as np

from fabric.scheduler.policies.columns import Floats, NodeColumns
from fabric.scheduler.policies.policy import Context

FARTHEST_HOPS = 2
"""Hops between two groups, as `fabric.core.topology.Place.hops` counts them."""


def mean_distance(nodes: NodeColumns, context: Context) -> Floats:
    """(N,) Hops to a sibling slice on average, as a share of the farthest: 0 in one rack with all, 1 in another group.

    0 everywhere if there is no sibling yet.
    """
    if context.siblings is None or not len(context.siblings):
        return np.zeros(len(nodes))
    other_group = nodes.group[:, None] != context.siblings[:, 0]
    other_rack = nodes.rack[:, None] != context.siblings[:, 1]
    hops = np.where(other_group, FARTHEST_HOPS, other_rack.astype(np.int64))
    result: Floats = hops.mean(axis=1) / FARTHEST_HOPS
    return result
