"""Spread: away from the workload's own other slices, over racks and groups.

Knows nothing of how full nodes are.
"""

from fabric.scheduler.policies.columns import Ask, Floats, NodeColumns
from fabric.scheduler.policies.policy import Context
from fabric.scheduler.policies.topology import mean_distance


def score(ask: Ask, nodes: NodeColumns, context: Context) -> Floats:
    """Mean hops to the sibling slices, as a share of the farthest; 0 for every node while there is none.

    Pulls replicas of a service apart, so that one rack or group takes few of them along when it fails. Looks at
    `siblings`.
    """
    return mean_distance(nodes, context)
