"""Promises that outlive the process: what is set aside by rows of the site becomes names of nodes, and back.

Knows nothing of who was promised, or why.
"""

from collections.abc import Mapping

from fabric.scheduler.columns import NodeColumns, amount_of, resources_of
from fabric.scheduler.snapshot import Promise
from fabric.workloads.record import Record, SetAside
from fabric.workloads.states import State


def set_aside_of(promise: Promise, site: NodeColumns) -> SetAside:
    """A promise by names of nodes, which stay the same when others come and go.

    Args:
        promise: Made on `site`.
        site: Its nodes.
    """
    parts = ((site.names[row], resources_of(amount)) for row, *amount in promise.slots)
    return SetAside(promise.start, tuple(parts))


def promise_of(kept: SetAside, site: NodeColumns) -> Promise | None:
    """What was set aside, on the nodes that there are now.

    Returns:
        None if one of its nodes is gone, is not ready, or has become too small.
    """
    left: dict[int, list[int]] = {}
    slots = []
    for node, resources in kept.parts:
        row = site.row.get(node)
        if row is None:
            return None
        amount = amount_of(resources)
        have = left.get(row) or site.capacity[row].tolist()
        left[row] = [there - asked for there, asked in zip(have, amount, strict=True)]
        if min(left[row]) < 0:
            return None
        slots.append((row, *amount))
    return Promise(kept.start, tuple(slots))


def promises_in(records: Mapping[str, Record], site: NodeColumns) -> dict[str, Promise | None]:
    """By name of who waits, what its record says is set aside for it; None where that is not possible any more."""
    queued = (record for record in records.values() if record.state is State.QUEUED)
    return {record.name: promise_of(record.set_aside, site) for record in queued if record.set_aside}
