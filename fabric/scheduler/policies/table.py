"""Every placement policy by its name, and what several say together.

Knows nothing of who asks.
"""

from collections.abc import Mapping

import numpy as np

from fabric.core.errors import BadInput
from fabric.scheduler.policies import (
    best_fit,
    dotprod,
    fgd,
    gather,
    gpu_clustering,
    gpu_packing,
    keep_gpus_free,
    locality,
    pack,
    random_node,
    spread,
)
from fabric.scheduler.policies.columns import Ask, Floats, NodeColumns
from fabric.scheduler.policies.policy import Context, Policy

POLICIES: Mapping[str, Policy] = {
    "random": Policy(random_node.score, random_node.share, by_row=False, beside=True),
    "dotprod": Policy(dotprod.score),
    "gpu-clustering": Policy(gpu_clustering.score),
    "gpu-packing": Policy(gpu_packing.score),
    "best-fit": Policy(best_fit.score),
    "fgd": Policy(fgd.score, fgd.share),
    "pack": Policy(pack.score),
    "spread": Policy(spread.score, by_row=False, beside=True),
    "gather": Policy(gather.score, by_row=False, beside=True),
    "locality": Policy(locality.score, by_row=False),
    "keep-gpus-free": Policy(keep_gpus_free.score),
}
"""Written out; a site names them with weights."""


def policy(name: str) -> Policy:
    """The policy of that name.

    Raises:
        BadInput: If there is none, with the names there are.
    """
    if name not in POLICIES:
        raise BadInput(f"there is no placement policy {name!r}. Choose one of {', '.join(POLICIES)}.")
    return POLICIES[name]


def weighted(ask: Ask, nodes: NodeColumns, context: Context, *, weights: Mapping[str, float]) -> Floats:
    """What several policies say together.

    Args:
        ask: What one worker needs.
        nodes: Nodes on which it fits, in the order that breaks ties.
        context: What the policies look at besides.
        weights: Non-negative weight of each policy, of which at least one is above zero.

    Returns:
        (N,) The weighted mean of the scores, in [0, 1].

    Raises:
        BadInput: If a name is unknown, a weight negative, or all are zero.
    """
    scores = {name: policy(name).score for name in weights}
    total = sum(weights.values())
    if total <= 0 or min(weights.values()) < 0:
        raise BadInput(f"weights of placement policies must not be negative and not all zero, got {dict(weights)}")
    result: Floats = np.zeros(len(nodes))
    for name, score in scores.items():
        if weights[name]:
            result = result + weights[name] / total * score(ask, nodes, context)
    return result
