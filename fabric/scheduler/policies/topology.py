"""How far a node is from what the same workload holds already.

Knows nothing of which distance is better.
"""

import numpy as np

from fabric.scheduler.policies.columns import Floats, Ints, NodeColumns
from fabric.scheduler.policies.policy import Context

FARTHEST_HOPS = 2
"""Hops between two groups, as `fabric.core.topology.Place.hops` counts them."""


def mean_distance(nodes: NodeColumns, context: Context) -> Floats:
    """(N,) Hops to a sibling slice on average, as a share of the farthest: 0 in one rack with all, 1 in another group.

    0 everywhere if there is no sibling yet.
    """
    if context.siblings is None or not len(context.siblings):
        return np.zeros(len(nodes))
    groups, racks = context.siblings[:, 0], context.siblings[:, 1]
    # A rack has a number of its own over all groups, so counts say what comparing every pair would.
    in_group = _times(nodes.group, groups)
    in_rack = np.minimum(_times(nodes.rack, racks), in_group)
    hops = FARTHEST_HOPS * (len(groups) - in_group) + (in_group - in_rack)
    result: Floats = hops / (len(groups) * FARTHEST_HOPS)
    return result


def _times(numbers: Ints, among: Ints) -> Ints:
    """How often each of `numbers` is `among` others."""
    most = int(max(numbers.max(initial=0), among.max(initial=0)))
    found: Ints = np.bincount(among, minlength=most + 1)[numbers]
    return found
