"""Gather: close to the workload's own other slices, in one rack or at least one group.

Knows nothing of how full nodes are.
"""

from fabric.scheduler.policies.columns import Ask, Floats, NodeColumns
from fabric.scheduler.policies.policy import Context
from fabric.scheduler.policies.topology import mean_distance


def score(ask: Ask, nodes: NodeColumns, context: Context) -> Floats:
    """`1 - h`, where h is the mean of hops to the sibling slices as a share of the farthest; 1 while there is none.

    Pulls the workers of a gang together, where the network between them is shortest. Looks at `siblings`.
    """
    return 1.0 - mean_distance(nodes, context)
