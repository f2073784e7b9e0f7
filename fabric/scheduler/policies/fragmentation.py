"""How much idle accelerator capacity the expected tasks cannot use: the measure of fragmentation.

Knows nothing of policies. The definition is that of Weng et al., "Beware of Fragmentation", USENIX ATC 2023, section 3:
on one node, for one task, idle thousandths are a fragment if the task does not fit there, and otherwise only those of
devices that have less left than the task needs of one; the node's fragmentation is the mean over the task mix.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fabric.core.errors import BadInput
from fabric.scheduler.policies.columns import Ask, Floats, Ints

POPULARITY = 0.95
"""Share of all tasks that the mix stands for, most frequent shapes first; the published experiments use 95 %."""


@dataclass(frozen=True, slots=True)
class TaskMix:
    """How likely each shape of task is, for each accelerator model; S shapes, L levels of need, M models."""

    milli_cpus: Ints
    """(S,) Processors of each shape."""
    num_devices: Ints
    """(S,) Devices of each shape."""
    level: Ints
    """(S,) Index into `level_milli_gpus` of what it needs of each device."""
    level_milli_gpus: Ints
    """(L,) Different needs of one device, ascending."""
    weight: Floats
    """(M, S) Probability of the shape among all tasks, counting those that can use the model."""
    useless: Floats
    """(M,) Probability that a task uses no device of this model: it needs none, or another."""


def task_mix(asks: Sequence[Ask], models: tuple[str, ...], popularity: float = POPULARITY) -> TaskMix:
    """The mix of the most frequent shapes among `asks`, memory left aside.

    Args:
        asks: A sample of the workload, each as often as it occurs.
        models: Names of accelerator models, as in `NodeColumns.models`.
        popularity: Share of the sample to stand for, above 0 and at most 1; rarer shapes are left out.

    Raises:
        BadInput: If the sample is empty, or the share out of bounds.
    """
    return mix_of(Counter(asks), models, popularity)


def mix_of(counts: Mapping[Ask, int], models: tuple[str, ...], popularity: float = POPULARITY) -> TaskMix:
    """The mix of a sample of which each ask is told once, with how often it occurs; see `task_mix`.

    Raises:
        BadInput: If the sample is empty, or the share out of bounds.
    """
    if not counts or not 0 < popularity <= 1:
        raise BadInput(f"a task mix needs tasks and a share in (0, 1], got {len(counts)} tasks and {popularity}")
    typical = _most_frequent(counts, popularity)
    total = sum(typical.values())
    shapes = sorted({(a.cpus.count, a.num_gpus, a.gpu.count) for a in typical if a.num_gpus})
    index = {shape: column for column, shape in enumerate(shapes)}
    weight = np.zeros((len(models), len(shapes)))
    for ask, times in typical.items():
        if ask.num_gpus:
            can = [not ask.models or name in ask.models for name in models]
            weight[can, index[ask.cpus.count, ask.num_gpus, ask.gpu.count]] += times / total
    needs = np.array([shape[2] for shape in shapes], dtype=np.int64)
    levels, level = np.unique(needs, return_inverse=True)
    return TaskMix(
        milli_cpus=np.array([shape[0] for shape in shapes], dtype=np.int64),
        num_devices=np.array([shape[1] for shape in shapes], dtype=np.int64),
        level=level.astype(np.int64),
        level_milli_gpus=levels,
        weight=weight,
        useless=1.0 - weight.sum(axis=1),
    )


def _most_frequent(asks: Mapping[Ask, int], popularity: float) -> dict[Ask, int]:
    """How often each shape occurs, until the share is reached; of equally frequent ones the larger is taken first."""
    counts: Counter[Ask] = Counter()
    for a, times in asks.items():
        counts[Ask(cpus=a.cpus, num_gpus=a.num_gpus, gpu=a.gpu, models=a.models)] += times
    order = sorted(counts, key=lambda a: (-counts[a], -a.cpus.count, -a.gpu.count, -a.num_gpus, sorted(a.models)))
    taken: dict[Ask, int] = {}
    seen = 0
    for ask in order:
        if seen >= popularity * counts.total():
            break
        taken[ask] = counts[ask]
        seen += counts[ask]
    return taken


def fragments(mix: TaskMix, free_milli_cpus: Ints, free_milli_gpus: Ints, model: Ints) -> Floats:
    """Expected fragment on nodes in given states.

    Args:
        mix: What is expected to come.
        free_milli_cpus: (K,) Idle processors of each node.
        free_milli_gpus: (K, D) Idle thousandths of each of its devices.
        model: (K,) Index of its accelerator model.

    Returns:
        (K,) Thousandths of devices that the next task cannot use, on average over the mix.
    """
    idle = free_milli_gpus.sum(axis=1)
    too_small = free_milli_gpus[:, :, None] < mix.level_milli_gpus
    num_enough = free_milli_gpus.shape[1] - too_small.sum(axis=1)
    in_small = np.einsum("kd,kdl->kl", free_milli_gpus, too_small)
    fits = (free_milli_cpus[:, None] >= mix.milli_cpus) & (num_enough[:, mix.level] >= mix.num_devices)
    lost = np.where(fits, in_small[:, mix.level], idle[:, None])
    expected: Floats = idle * mix.useless[model] + np.einsum("ks,ks->k", lost, mix.weight[model])
    return expected
