"""What a placement policy is: a bounded score for nodes that fit, and a choice among the devices of one.

Knows nothing of any policy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from fabric.core.quantity import Bytes
from fabric.scheduler.policies.columns import WHOLE_MILLI_GPUS, Ask, Floats, Ints, NodeColumns
from fabric.scheduler.policies.fragmentation import TaskMix


@dataclass(frozen=True, slots=True)
class Context:
    """What policies may look at besides the nodes; each names in its docstring what it needs."""

    seed: tuple[int, ...] = (0,)
    """Entropy of this one decision."""
    mix: TaskMix | None = None
    """The tasks that are expected to come."""
    siblings: Ints | None = None
    """(X, 2) Topology group and rack of each slice that the same workload holds."""
    needed: Bytes = Bytes(0)
    """Image and weights that must be on the node before work starts."""
    held_bytes: Ints | None = None
    """(N,) How much of that each node has."""


STEPS = 100
"""Steps of a score that are told apart when a node is picked: whole percents, as in kube-scheduler.

It is no detail. What is equal in steps goes to the first node in order, which gathers work. On the openb trace FGD
grants 95.2 % of devices at 100 % demand in steps and 94.3 % with exact scores (`scripts/bench openb`, with and without
`--exact`, seeds 42 to 51).
"""

Score: TypeAlias = Callable[[Ask, NodeColumns, Context], Floats]
"""(N,) in [0, 1], the best node highest; every row given fits the ask."""

ChooseDevice: TypeAlias = Callable[[Ask, NodeColumns, Context], int]
"""Index of the device to share on the single node given."""


def in_steps(scores: Floats, steps: int = STEPS) -> Floats:
    """Scores rounded down to a number of steps, from 0 to `steps`, so that small differences do not decide."""
    # What is meant to lie on a step may lie a rounding error below it.
    return np.floor(scores * steps + 1e-9)


def tightest_device(ask: Ask, node: NodeColumns, context: Context) -> int:
    """The device with least left that still fits; the first of equals."""
    left = node.free_milli_gpus[0]
    return int(np.where(left >= ask.gpu.count, left, WHOLE_MILLI_GPUS + 1).argmin())


@dataclass(frozen=True, slots=True)
class Policy:
    """One line of the table."""

    score: Score
    share: ChooseDevice = tightest_device
    by_row: bool = True
    """Whether a node's score depends on the ask and on that node alone, so that it holds until the node changes."""
    beside: bool = False
    """Whether it looks at the slices that the workload holds already, so that each of a gang changes the scores."""


def devices(policy: Policy, ask: Ask, node: NodeColumns, context: Context) -> tuple[int, ...]:
    """Which devices an ask gets on the single `node`, where it fits: the first idle ones, or the policy's choice."""
    if ask.num_gpus == 0:
        return ()
    if ask.shares:
        return (policy.share(ask, node, context),)
    idle = np.flatnonzero(node.free_milli_gpus[0] == WHOLE_MILLI_GPUS)
    return tuple(int(device) for device in idle[: ask.num_gpus])
