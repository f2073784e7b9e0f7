"""Locality: where image and weights are already.

Knows nothing of how long it takes to bring them.
"""

import numpy as np

from fabric.core.errors import BadInput
from fabric.scheduler.policies.columns import Ask, Floats, NodeColumns
from fabric.scheduler.policies.policy import Context


def score(ask: Ask, nodes: NodeColumns, context: Context) -> Floats:
    """`min(1, held / needed)` in bytes of image and weights; 1 for every node if nothing is needed.

    Pulls work to nodes that start it soonest. Needs `needed`, and `held_bytes` for every node.

    Raises:
        BadInput: If something is needed and the context does not say for each node how much of it is there.
    """
    if not context.needed:
        return np.ones(len(nodes))
    held = np.empty(0) if context.held_bytes is None else context.held_bytes
    if len(held) != len(nodes):
        raise BadInput(
            f"locality compares {len(nodes)} nodes, but the context tells the held bytes of {len(held)}. "
            "Give one number for each row."
        )
    result: Floats = np.minimum(held / context.needed.count, 1.0)
    return result
