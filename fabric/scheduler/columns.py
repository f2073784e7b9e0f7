"""Nodes as columns of whole numbers, so that one operation looks at all of them.

Knows nothing of who wants them. Amounts leave and enter as `Resources`; inside, a row of `int64` holds thousandths of
CPUs, thousandths of accelerators and bytes of memory, in the order of `CPUS`, `GPUS`, `MEMORY`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources
from fabric.core.topology import Place
from fabric.scheduler.ram_lines import Terms
from fabric.workloads.record import Slice

CPUS, GPUS, MEMORY = 0, 1, 2
"""Columns of an amount: thousandths of a CPU, thousandths of an accelerator, bytes."""

Amounts = NDArray[np.int64]
"""One row a node, one column a resource."""
Rows = NDArray[np.intp]
"""Numbers of nodes."""
Flags = NDArray[np.bool_]
"""Yes or no for each node."""
Amount = tuple[int, int, int]
"""One row of `Amounts` as plain numbers."""
Tiers = tuple[str, ...]
"""Names of tiers."""
Slot = tuple[int, int, int, int]
"""A node's row, and the amount that is held there."""


class NodeState(StrEnum):
    """Where a node is in its life; only `ready` ones take new work."""

    BOOTING = "booting"
    VETTING = "vetting"
    REFUSED = "refused"
    """It did not show what its tier asks of it."""
    READY = "ready"
    DRAINING = "draining"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Node:
    """A machine and what it has for workloads."""

    name: str
    tier: str
    capacity: Resources
    heads: bool = False
    """Whether Ray heads may run here."""
    state: NodeState = NodeState.READY
    place: Place = Place()
    speed: float = 1.0
    """Progress of work on one of its accelerators, relative to other tiers."""
    terms: Terms | None = None
    """How slices are charged; None where they are charged what their workers ask for."""
    holds: frozenset[str] = frozenset()
    """Names of images and weights that are on it."""


def amount_of(resources: Resources) -> Amount:
    """A resource vector as a row."""
    return (resources.cpus.count, resources.gpus.count, resources.memory.count)


def resources_of(amount: Sequence[int]) -> Resources:
    """A row as a resource vector; what is below zero counts as nothing."""
    cpus, gpus, memory = (max(0, int(part)) for part in amount)
    return Resources(MilliCpus(cpus), MilliGpus(gpus), Bytes(memory))


@dataclass(frozen=True, slots=True, eq=False)
class Charging:
    """A tier that charges more than is asked for."""

    terms: Terms
    flags: Flags
    """Its nodes, among all."""
    most: Amount
    """The most that one of them, ready and empty, has of each."""


@dataclass(frozen=True, slots=True, eq=False)
class NodeColumns:
    """The nodes of a site, one row each in the order of their names."""

    names: tuple[str, ...]
    tiers: tuple[str, ...]
    """Every tier, by name."""
    tier_of: tuple[str, ...]
    """Tier of each row."""
    heads: Flags
    """Where Ray heads may run."""
    wastes: Flags
    """Where work without accelerators would leave some idle."""
    capacity: Amounts
    """Of nodes that are ready; nothing of the others."""
    row: Mapping[str, int]
    """Row of each name."""
    rows_of: Mapping[str | None, Rows]
    """Rows of each tier; under None those of all."""
    head_rows: Rows
    head_tiers: tuple[str, ...]
    """Tiers with nodes that may hold heads."""
    speeds: Mapping[str, float]
    """Of each tier: of the fastest of its nodes."""
    gpu_tiers: Tiers
    """Tiers whose nodes have accelerators, the fastest first, then by name."""
    places: tuple[Place, ...]
    """Of each row."""
    charging: Mapping[str, Charging]
    """Tiers that charge more than is asked for; see `charges.py`."""
    holders: Mapping[str, Rows]
    """Rows of the nodes that hold an image or weights."""
    _wishes: dict[tuple[str | None, ...], Tiers] = field(default_factory=dict, repr=False)
    """What `wishes` found before."""

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> Self:
        """Columns of `nodes`."""
        ordered = sorted(nodes, key=lambda node: node.name)
        tiers = tuple(sorted({node.tier for node in ordered}))
        capacity = np.zeros((len(ordered), 3), dtype=np.int64)
        for row, node in enumerate(ordered):
            if node.state is NodeState.READY:
                capacity[row] = amount_of(node.capacity)
        tier_of = np.array([node.tier for node in ordered])
        heads = np.array([node.heads for node in ordered], dtype=np.bool_)
        speeds: dict[str, float] = {}
        for node in ordered:
            speeds[node.tier] = max(node.speed, speeds.get(node.tier, 0.0))
        holders: dict[str, list[int]] = {}
        for row, node in enumerate(ordered):
            for name in node.holds:
                holders.setdefault(name, []).append(row)
        with_gpus = {node.tier for node in ordered if node.capacity.gpus}
        return cls(
            names=tuple(node.name for node in ordered),
            tiers=tiers,
            tier_of=tuple(node.tier for node in ordered),
            heads=heads,
            wastes=np.array([bool(node.capacity.gpus) for node in ordered], dtype=np.bool_),
            capacity=capacity,
            row={node.name: row for row, node in enumerate(ordered)},
            rows_of={None: np.arange(len(ordered)), **{tier: np.flatnonzero(tier_of == tier) for tier in tiers}},
            head_rows=np.flatnonzero(heads),
            head_tiers=tuple(sorted({node.tier for node in ordered if node.heads})),
            speeds=speeds,
            gpu_tiers=tuple(sorted(with_gpus, key=lambda tier: (-speeds[tier], tier))),
            places=tuple(node.place for node in ordered),
            charging={
                tier: Charging(terms, tier_of == tier, tuple(capacity[tier_of == tier].max(axis=0).tolist()))
                for tier, terms in {node.tier: node.terms for node in ordered}.items()
                if terms is not None
            },
            holders={name: np.array(rows, dtype=np.intp) for name, rows in holders.items()},
        )

    def slots(self, slices: Iterable[Slice]) -> tuple[Slot, ...]:
        """What `slices` hold, as rows; nodes that the site no longer has are passed over."""
        return tuple((self.row[part.node], *amount_of(part.resources)) for part in slices if part.node in self.row)

    def tiers_for(self, tier: str | None) -> tuple[str, ...]:
        """The tiers that a wish allows: the one named, or all."""
        return self.tiers if tier is None else (tier,)

    def wishes(self, tiers: tuple[str | None, ...]) -> Tiers:
        """The tiers that several wishes allow together."""
        found = self._wishes.get(tiers)
        if found is None:
            allowed = dict.fromkeys(name for tier in tiers for name in self.tiers_for(tier))
            found = self._wishes[tiers] = tuple(allowed)
        return found


def subtract(amounts: Amounts, slots: Iterable[Slot], sign: int = 1) -> None:
    """Take `slots` from `amounts` in place, or give them back with a `sign` of -1."""
    for row, cpus, gpus, memory in slots:
        held = amounts[row]
        held[CPUS] -= sign * cpus
        held[GPUS] -= sign * gpus
        held[MEMORY] -= sign * memory
