"""A few nodes and asks in a few words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from fabric.core.resources import Resources
from fabric.scheduler.policies.columns import Ask, NodeColumns, idle_nodes
from fabric.scheduler.policies.fragmentation import TaskMix, task_mix

GIB = 2**30


@dataclass(frozen=True)
class Box:
    """A node: idle cores, what its devices have left, and where and what it is."""

    cores: int = 16
    left: tuple[int, ...] = ()
    model: str = ""
    gib: int = 64
    kinds: int = 0
    place: tuple[int, int] = (0, 0)
    """Group and rack."""
    used_cores: int = 0


def boxes(*nodes: Box) -> NodeColumns:
    """Columns of `nodes`."""
    free = np.array([node.cores * 1000 for node in nodes])
    used = np.array([node.used_cores * 1000 for node in nodes])
    columns = idle_nodes(
        free + used,
        np.array([node.gib * GIB for node in nodes]),
        np.array([len(node.left) for node in nodes]),
        models=[node.model for node in nodes],
    )
    for row, node in enumerate(nodes):
        columns.free_milli_gpus[row, : len(node.left)] = node.left
    return replace(
        columns,
        free_milli_cpus=free,
        kinds=np.array([node.kinds for node in nodes]),
        group=np.array([node.place[0] for node in nodes]),
        rack=np.array([node.place[1] for node in nodes]),
    )


def ask(cores: float = 1, gpus: float = 0, gib: int = 1, models: str = "") -> Ask:
    """A share of a device where `gpus` is below one."""
    need = Resources.of(cores, min(gpus, 1), f"{gib} GiB")
    count = max(1, int(gpus)) if gpus else 0
    return Ask(need.cpus, need.memory, count, need.gpus, frozenset(models.split("|")) - {""})


def mix(*asks: Ask, models: Sequence[str] = ("",)) -> TaskMix:
    """All of the asks, each as likely as it is often."""
    return task_mix(asks, tuple(models), popularity=1.0)


SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)

some_asks = st.builds(
    ask,
    cores=st.sampled_from([1, 2, 4, 8, 16]),
    gpus=st.sampled_from([0, *SHARES, 1, 2, 4]),
    gib=st.integers(0, 16),
    models=st.sampled_from(["", "T4", "G2|T4"]),
)
"""Work of all kinds."""

some_boxes = st.builds(
    Box,
    cores=st.integers(0, 300),
    left=st.lists(st.sampled_from([0, 100, 250, 500, 900, 1000]), max_size=10).map(tuple),
    model=st.sampled_from(["", "T4", "G2"]),
    gib=st.integers(0, 64),
    kinds=st.integers(0, 31),
    place=st.tuples(st.integers(0, 2), st.integers(0, 5)),
    used_cores=st.integers(0, 16),
)
"""Nodes in any state, also larger than those of the openb trace."""
