"""The world as a decision sees it: nodes, what runs, what waits.

Knows nothing of where the values come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fabric.core.resources import Resources
from fabric.core.topology import Place
from fabric.workloads.record import Grant, Record, Slice
from fabric.workloads.spec import Group


class NodeState(StrEnum):
    """Where a node is in its life; only `ready` ones take new work."""

    BOOTING = "booting"
    VETTING = "vetting"
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


@dataclass(frozen=True, slots=True)
class Running:
    """A workload that holds a grant."""

    name: str
    grant: Grant
    ends: float | None
    """Latest end in seconds since the epoch; None where no walltime says."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A workload that wants one."""

    name: str
    rank: int
    """Of its priority class; 0 is the most urgent."""
    submitted: float
    groups: tuple[Group, ...]
    walltime_s: float | None
    blocked_by: tuple[str, ...] = ()
    """Jobs it comes after that have not succeeded yet."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a decision may look at."""

    nodes: tuple[Node, ...]
    running: tuple[Running, ...]
    waiting: tuple[Waiting, ...]
    head: Resources
    """What a Ray head of its own is charged."""

    def free(self) -> dict[str, Resources]:
        """Idle resources of every ready node, by name."""
        free = {node.name: node.capacity for node in self.nodes if node.state is NodeState.READY}
        for work in self.running:
            take(free, work.grant.slices)
        return free


def take(free: dict[str, Resources], slices: tuple[Slice, ...]) -> None:
    """Subtract `slices` from `free` in place; nodes that are not listed are passed over."""
    for part in slices:
        if part.node in free:
            free[part.node] = free[part.node] - part.resources


def give_back(free: dict[str, Resources], slices: tuple[Slice, ...]) -> None:
    """Add `slices` to `free` in place; nodes that are not listed are passed over."""
    for part in slices:
        if part.node in free:
            free[part.node] = free[part.node] + part.resources


def snapshot(
    records: Mapping[str, Record], nodes: tuple[Node, ...], head: Resources, leaving: Sequence[Running] = ()
) -> Snapshot:
    """What `records` and `nodes` say, ordered by name so that equal worlds give equal plans.

    Args:
        records: Of all workloads that are not final.
        nodes: Of the site.
        head: What a Ray head of its own is charged.
        leaving: Clusters of ended workloads, whose processes still occupy their slices.
    """
    ordered = [records[name] for name in sorted(records)]
    return Snapshot(
        nodes=tuple(sorted(nodes, key=lambda node: node.name)),
        running=(*(_running(r) for r in ordered if r.grant is not None and r.state.holds_grant), *leaving),
        waiting=tuple(_waiting(r, records) for r in ordered if r.state == "queued"),
        head=head,
    )


def _running(record: Record) -> Running:
    started, walltime = record.at.running or record.at.granted, record.spec.walltime_s
    grant = record.grant
    if grant is None:
        raise ValueError(f"{record.name} holds no grant")
    return Running(record.name, grant, started + walltime if started is not None and walltime else None)


def _waiting(record: Record, records: Mapping[str, Record]) -> Waiting:
    return Waiting(
        name=record.name,
        rank=record.spec.priority.rank,
        submitted=record.at.submitted,
        groups=record.spec.groups,
        walltime_s=record.spec.walltime_s,
        blocked_by=tuple(name for name in record.spec.after if name in records and records[name].state != "succeeded"),
    )
