"""The experiment that placement policies are validated with: fill the openb cluster until 130 % is asked of it.

Knows nothing of files or tables. It behaves like the published simulator of Weng et al., "Beware of Fragmentation",
USENIX ATC 2023: all pods in a random order and then copies of random pods arrive one by one; none leaves; one that fits
nowhere is lost; nodes are put in a random order, and the first of those with equal scores is taken; scores are compared
in whole percent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fabric.core.errors import BadInput
from fabric.scheduler.policies.columns import WHOLE_MILLI_GPUS, Ask, Floats, Ints, NodeColumns
from fabric.scheduler.policies.fragmentation import TaskMix, fragments, task_mix
from fabric.scheduler.policies.policy import Context
from fabric.scheduler.policies.table import policy as named_policy
from fabric.simulator.openb_cluster import Cluster, Placed

DEMAND = 1.3
"""What is asked in all, as a multiple of the cluster's accelerators."""

FIRST_SEED = 42
"""The published runs have the seeds 42 to 51; their random streams are not ours."""

POLICIES = ("random", "dotprod", "gpu-clustering", "gpu-packing", "best-fit", "fgd")
"""Those with published results, in their order."""

DEMANDS_PCT = (50, 80, 90, 100, 110, 130)
"""Arrived demand at which a run is measured, in percent of capacity."""

_ORDER_OF_PODS, _ORDER_OF_NODES, _CHOICES = range(3)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run measured, by arrived demand in percent of capacity; on a tiny cluster demand may jump over some."""

    policy: str
    seed: int
    num_pods: int
    num_lost: int
    """Pods that fitted nowhere when they arrived."""
    allocation_pct: Mapping[int, float]
    """Granted accelerators in percent of capacity."""
    fragmentation_pct: Mapping[int, float]
    """Expected fragment in percent of what is idle."""


def simulate(nodes: NodeColumns, pods: Sequence[Ask], policy: str, seed: int, *, exact: bool = False) -> Run:
    """Let the pods and their copies arrive, once.

    Args:
        nodes: The empty cluster.
        pods: The workload, each pod as often as it occurs.
        policy: Name of a placement policy.
        seed: Decides the order of pods, copies and nodes, and what a random policy does.
        exact: Tell all scores apart, not only whole percents as the published simulator does.

    Raises:
        BadInput: If there is no such policy, or no pod asks for an accelerator.
    """
    order = np.random.default_rng((seed, _ORDER_OF_NODES)).permutation(len(nodes))
    shuffled = nodes.rows(order)
    mix = task_mix(pods, nodes.models)
    arriving = arrivals(pods, int(nodes.free_milli_gpus.sum()), seed)
    cluster = Cluster(shuffled, named_policy(policy), Context(seed=(seed, _CHOICES), mix=mix), exact=exact)
    recorder = _Recorder(shuffled, mix)
    for ask in arriving:
        recorder.note(ask, cluster.place(ask), cluster.nodes)
    allocation, fragmentation = recorder.curves()
    return Run(policy, seed, len(arriving), recorder.num_lost, allocation, fragmentation)


def arrivals(pods: Sequence[Ask], capacity_milli_gpus: int, seed: int) -> list[Ask]:
    """Every pod once in a random order, then copies of pods drawn evenly, until `DEMAND` is reached.

    The first copy one device of which would exceed it ends the list. A workload that asks for more than that is cut.

    Raises:
        BadInput: If no pod asks for an accelerator, as demand would never be reached.
    """
    if not any(pod.num_gpus for pod in pods):
        raise BadInput("no pod asks for an accelerator, so that no demand on accelerators can be reached.")
    random = np.random.default_rng((seed, _ORDER_OF_PODS))
    limit = DEMAND * capacity_milli_gpus
    arriving: list[Ask] = []
    asked = 0
    queue = [pods[index] for index in random.permutation(len(pods))]
    while True:
        for pod in queue:
            if asked + pod.gpu.count > limit:
                return arriving
            arriving.append(pod)
            asked += pod.gpus.count
        queue = [pods[index] for index in random.integers(len(pods), size=len(pods))]


class _Recorder:
    """Notes demand and grants pod by pod, and each state that a node takes; what follows is reckoned at the end."""

    def __init__(self, nodes: NodeColumns, mix: TaskMix) -> None:
        self._start, self._mix = nodes, mix
        self._asked: list[int] = []
        self._granted: list[int] = []
        self._row: list[int] = []
        self._milli_cpus: list[int] = []
        self._milli_gpus: list[Ints] = []
        self.num_lost = 0

    def note(self, ask: Ask, placed: Placed | None, nodes: NodeColumns) -> None:
        """Remember what became of `ask`; `nodes` are as they are after it."""
        self._asked.append(ask.gpus.count)
        self._granted.append(ask.gpus.count if placed else 0)
        self.num_lost += placed is None
        row = placed.row if placed else 0
        self._row.append(row)
        self._milli_cpus.append(int(nodes.free_milli_cpus[row]))
        self._milli_gpus.append(nodes.free_milli_gpus[row].copy())

    def curves(self) -> tuple[dict[int, float], dict[int, float]]:
        """Allocation and fragmentation in percent by demand in percent.

        As in the published analysis, a demand stands for all arrivals after which it rounds to that, and their mean.
        """
        capacity = int(self._start.num_devices.sum()) * WHOLE_MILLI_GPUS
        demand_pct = np.round(np.cumsum(self._asked) / capacity * 100)
        granted = np.cumsum(self._granted)
        allocation_pct = granted / capacity * 100
        idle = capacity - granted
        fragmentation_pct = self._fragments() / np.maximum(idle, 1) * 100
        return _means(demand_pct, allocation_pct), _means(demand_pct, fragmentation_pct)

    def _fragments(self) -> Floats:
        """Expected fragment of the whole cluster after each arrival, in thousandths of devices."""
        start = self._start
        now = fragments(self._mix, start.free_milli_cpus, start.free_milli_gpus, start.model)
        total = float(now.sum())
        rows = np.array(self._row)
        states = fragments(self._mix, np.array(self._milli_cpus), np.stack(self._milli_gpus), start.model[rows])
        totals = []
        for row, state in zip(self._row, states, strict=True):
            total += float(state - now[row])
            now[row] = state
            totals.append(total)
        return np.array(totals)


def _means(demand_pct: Floats, values: Floats) -> dict[int, float]:
    at = {pct: values[demand_pct == pct] for pct in DEMANDS_PCT}
    return {pct: float(found.mean()) for pct, found in at.items() if len(found)}
