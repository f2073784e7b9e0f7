"""What slices are charged on tiers that charge more than workers ask for: the whole RAM bill, in whole superchips.

Knows nothing of which node is better. A slice of several workers pays once for what a Ray node keeps anyway, so the
bill is that of the slice and not the sum over its workers, which is never less.
"""

from functools import lru_cache

import numpy as np

from fabric.core.quantity import Bytes
from fabric.core.resources import Resources
from fabric.scheduler.columns import Amount, Amounts, NodeColumns, Rows, amount_of, resources_of
from fabric.scheduler.ram import Bill, bill
from fabric.scheduler.ram_lines import Image, Needs, Terms
from fabric.scheduler.shape import Part, part_of_group
from fabric.workloads.spec import Group

MOST_WORKERS = 512
"""Workers of one slice on a tier that charges; a choice that keeps the table of one request below 10 ms. A node of a
GH200 system has 288 cores."""


def bill_of(part: Part, terms: Terms, workers: int = 1) -> Bill:
    """The bill of a slice of some workers, line by line."""
    image = None if part.image is None else Image(part.image.name, part.image.size)
    weights = part.weights.size if part.weights else Bytes(0)
    return bill(Needs(resources_of(part.request) * workers, image=image, weights=weights), terms)


def resources_on(group: Group, tier: str, workers: int, site: NodeColumns) -> Resources:
    """What a slice of some workers of `group` takes of a node of `tier`; what a smaller slice in its place would."""
    return resources_of(amount_on(part_of_group(group), tier, workers, site))


def amount_on(part: Part, tier: str, workers: int, site: NodeColumns) -> Amount:
    """What a slice of some workers takes of a node of `tier` on which it shares nothing."""
    terms = site.terms.get(tier)
    if terms is None:
        cpus, gpus, memory = part.request
        return (workers * cpus, workers * gpus, workers * memory)
    return _amount(part, terms, workers)


def payable(part: Part, rows: Rows, free: Amounts, *, counts: Rows, site: NodeColumns) -> Rows:
    """How many workers each node takes, once it is charged as its tier charges.

    Args:
        part: The workers.
        rows: Nodes.
        free: What each of these has left.
        counts: How many it would take if it were charged what is asked.
        site: All nodes.
    """
    counts = counts.copy()
    for tier, terms in site.terms.items():
        of_tier = site.rows_of[tier]
        here = np.flatnonzero(np.isin(rows, of_tier))
        if len(here):
            cpus, gpus, memory = site.capacity[of_tier].max(axis=0).tolist()
            table = _table(part, terms, (cpus, gpus, memory))
            most = [np.searchsorted(table[:, column], free[here, column], side="right") for column in range(3)]
            counts[here] = np.minimum(counts[here], np.minimum.reduce(most))
    return counts


@lru_cache(maxsize=1 << 12)
def _table(part: Part, terms: Terms, most: Amount) -> Amounts:
    """(W, 3) What slices of 1, 2, ... workers are charged, up to the last that an empty node of `most` can pay."""
    rows: list[Amount] = []
    while len(rows) < min(MOST_WORKERS, part.count):
        charged = _amount(part, terms, len(rows) + 1)
        if any(need > have for need, have in zip(charged, most, strict=True)):
            break
        rows.append(charged)
    return np.array(rows, dtype=np.int64).reshape(len(rows), 3)


@lru_cache(maxsize=1 << 14)
def _amount(part: Part, terms: Terms, workers: int) -> Amount:
    return amount_of(bill_of(part, terms, workers).beside(frozenset()))
