"""The fair share of every queue as KAI reckons it: deserved quota first, the rest by weight.

Knows nothing of single jobs.

Source:
    KAI-Scheduler, docs/fairness and docs/time-based-fairshare: deserved quota up to what is requested; what is left is
    divided by over-quota weight among those who request more, again and again until nothing is left. With time-based
    fair share a queue's normalised weight w becomes max(0, w + k * (w - u)), u being its part of decayed use.
"""

from collections.abc import Mapping

from fabric.simulator.peers.lots import Lot
from fabric.simulator.peers.quotas import Quotas

TINY = 1e-6
"""Devices that count as none, as parts of devices are divided."""


def fair_shares(
    quotas: Quotas, lot: Lot, requested: Mapping[str, float], weights: Mapping[str, float]
) -> dict[str, float]:
    """Devices of a lot that each queue should have.

    Args:
        quotas: What the queues are entitled to.
        lot: Where.
        requested: Devices that each queue holds and waits for.
        weights: Claim of each queue on what is left.
    """
    share = {queue: min(quotas.entitled(queue, lot), asked) for queue, asked in requested.items()}
    left = lot.devices - sum(share.values())
    while left > TINY:
        hungry = [queue for queue in sorted(requested) if requested[queue] - share[queue] > TINY]
        total = sum(weights[queue] for queue in hungry)
        if not hungry or total <= 0:
            break
        given = 0.0
        for queue in hungry:
            more = min(requested[queue] - share[queue], left * weights[queue] / total)
            share[queue] += more
            given += more
        left -= given
        if given <= TINY:
            break
    return share


def weights_of(
    queues: Mapping[str, float], base: Mapping[str, float], used: Mapping[str, float], k: float
) -> dict[str, float]:
    """Over-quota weights, lowered for queues that used more of late than their weight.

    Args:
        queues: The queues, as keys.
        base: Weight of each queue; 1 where it is left out.
        used: Decayed use of each queue; empty where time does not count.
        k: How much it counts.
    """
    total = sum(base.get(queue, 1.0) for queue in queues) or 1.0
    use = sum(used.get(queue, 0.0) for queue in queues)
    result = {}
    for queue in queues:
        weight = base.get(queue, 1.0) / total
        result[queue] = max(0.0, weight + k * (weight - used.get(queue, 0.0) / use)) if use > 0 else weight
    return result
