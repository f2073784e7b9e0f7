"""Fragmentation gradient descent: place where expected fragmentation grows least.

Knows nothing of queues or gangs.
"""

import numpy as np

from fabric.core.errors import BadInput
from fabric.scheduler.policies.columns import WHOLE_MILLI_GPUS, Ask, Floats, Ints, NodeColumns
from fabric.scheduler.policies.fragmentation import TaskMix, fragments
from fabric.scheduler.policies.policy import Context


def score(ask: Ask, nodes: NodeColumns, context: Context) -> Floats:
    """`1 / (1 + exp(-r))`, where r is by how many devices the expected fragment shrinks, on the node's best device.

    Pulls work to where it uses up what the mix cannot use anyway: 0.5 where nothing changes, more where a fragment is
    filled, less where a gap is broken that others could have used. Needs `mix`.

    Raises:
        BadInput: If the context has no task mix.

    Source:
        Weng et al., "Beware of Fragmentation", USENIX ATC 2023, section 4.
    """
    relief = _relief(ask, nodes, _mix(context)).max(axis=1) / WHOLE_MILLI_GPUS
    result: Floats = 1.0 / (1.0 + np.exp(-relief))
    return result


def share(ask: Ask, node: NodeColumns, context: Context) -> int:
    """The device whose sharing leaves the smallest expected fragment; the first of equals.

    Raises:
        BadInput: If the context has no task mix.
    """
    return int(_relief(ask, node, _mix(context))[0].argmax())


def _mix(context: Context) -> TaskMix:
    if context.mix is None:
        raise BadInput("fgd weighs fragments by the tasks to come: give the context a task mix.")
    return context.mix


def _relief(ask: Ask, nodes: NodeColumns, mix: TaskMix) -> Floats:
    """(N, D) Thousandths by which the fragment shrinks with the ask on that device; minus infinity where it cannot be.

    Whole devices, which are all alike, and an ask for none are told in the first column. Of devices with equally much
    left only the first is looked at.
    """
    rows, columns, after = _states_after(ask, nodes)
    cpus_after = nodes.free_milli_cpus[rows] - ask.cpus.count
    before = fragments(mix, nodes.free_milli_cpus, nodes.free_milli_gpus, nodes.model)
    relief: Floats = np.full(nodes.free_milli_gpus.shape, -np.inf)
    relief[rows, columns] = before[rows] - fragments(mix, cpus_after, after, nodes.model[rows])
    return relief


def _states_after(ask: Ask, nodes: NodeColumns) -> tuple[Ints, Ints, Ints]:
    """Node, device and what all devices of that node have left, for each different way to grant the ask."""
    left = nodes.free_milli_gpus
    if not ask.shares:
        rows = np.arange(len(nodes))
        idle = left == WHOLE_MILLI_GPUS
        taken = idle & (idle.cumsum(axis=1) <= ask.num_gpus)
        return rows, np.zeros_like(rows), np.where(taken, 0, left)
    seen_before = np.tril(left[:, :, None] == left[:, None, :], k=-1).any(axis=2)
    rows, columns = np.nonzero((left >= ask.gpu.count) & ~seen_before)
    after = left[rows]
    after[np.arange(len(rows)), columns] -= ask.gpu.count
    return rows, columns, after
