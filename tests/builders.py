"""Small worlds in a few words: nodes, specs, records, and in-memory stand-ins for the ports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fabric.config.site import Capacity, Head, Site, Tier
from fabric.core.errors import NotFound, StorageFull
from fabric.core.resources import Resources
from fabric.scheduler.ports import News, WantedCluster
from fabric.scheduler.snapshot import Node, Running, Snapshot, Told, Waiting
from fabric.workloads.record import Event, Grant, Instants, Record, Slice
from fabric.workloads.spec import Group, Priority, WorkloadSpec
from fabric.workloads.states import State

HEAD = Resources.of(1, 0, "1 GiB")
"""What a head costs in test worlds."""


def group(name: str = "workers", count: int = 1, tier: str | None = None, **request: Any) -> Group:
    """A group; one CPU and 1 GiB per worker unless told otherwise."""
    return Group(name=name, count=count, tier=tier, **request)


def gpu_node(name: str, gpus: int = 2, cpus: int = 4) -> Node:
    """A GPU node that holds no heads."""
    return Node(name, "gpu", Resources.of(cpus, gpus, "8 GiB"))


def cpu_node(name: str, cpus: int = 4) -> Node:
    """A commodity node that may hold heads."""
    return Node(name, "commodity", Resources.of(cpus, 0, "8 GiB"), heads=True)


def hybrid() -> tuple[Node, ...]:
    """Two GPU nodes with two devices each, and two commodity nodes."""
    return (gpu_node("g0"), gpu_node("g1"), cpu_node("c0"), cpu_node("c1"))


def waiting(name: str, *groups: Group, at: float = 0.0, priority: str = "batch", **more: Any) -> Waiting:
    """A workload in the queue."""
    groups = groups or (group(),)
    rank = Priority(priority).rank
    return Waiting(name, rank, at, groups, more.pop("walltime_s", None), **more)


def piece(node: str, group: str = "workers", resources: Resources | None = None, head: bool = False) -> Slice:
    """A slice on `node`; one CPU and 1 GiB unless told otherwise."""
    tier = "gpu" if node.startswith("g") else "commodity"
    return Slice(f"{group}-{node}", group, node, tier, 1, resources or Resources.of(1, 0, "1 GiB"), head)


def running(name: str, *slices: Slice, ends: float | None = None) -> Running:
    """A workload that holds slices."""
    return Running(name, Grant(slices), ends)


def world(*work: Waiting | Running, nodes: Sequence[Node] | None = None, head: Resources = HEAD) -> Snapshot:
    """Nodes (the hybrid ones unless told otherwise), what runs and what waits."""
    return Snapshot.of(
        nodes if nodes is not None else hybrid(),
        [item for item in work if isinstance(item, Running)],
        [item for item in work if isinstance(item, Waiting)],
        head=head,
    )


def job(name: str = "job", entrypoint: str = "true", *groups: Group, **more: Any) -> WorkloadSpec:
    """A job; one worker anywhere unless told otherwise."""
    return WorkloadSpec(name=name, entrypoint=entrypoint, groups=groups or (group(),), **more)


def record(spec: WorkloadSpec | None = None, state: State = State.QUEUED, at: float = 0.0, **more: Any) -> Record:
    """A record of `spec`."""
    spec = spec or job()
    return Record(spec.name or "job", spec, state, Instants(at), **more)


def tiny_site(**more: Any) -> Site:
    """A hybrid site of one GPU and one commodity node."""
    tiers = (
        Tier(name="gpu", nodes=1, capacity=Capacity(cpus=4.0, gpus=2.0, memory="4 GiB"), pretend=True),
        Tier(name="commodity", nodes=1, capacity=Capacity(cpus=4.0, memory="4 GiB"), heads=True),
    )
    return Site(**{"name": "tiny", "tiers": tiers, "head": Head(cpus=1.0, memory="1 GiB"), "anonymous": True, **more})


def wanted(name: str = "w-1", *slices: Slice, entrypoint: str = "true", **more: Any) -> WantedCluster:
    """A cluster of one head slice on `c0` unless told otherwise."""
    workload, _, attempt = name.rpartition("-")
    fields: dict[str, Any] = {
        "name": name,
        "workload": workload,
        "attempt": int(attempt),
        "generation": 1,
        "grant": Grant(slices or (piece("c0", head=True),)),
        "entrypoint": entrypoint,
        "runtime_env": {},
        "env": {},
        "metadata": {},
        "driver": {},
    }
    return WantedCluster(**{**fields, **more})


@dataclass
class FakeRecords:
    """Records in a dictionary; implements `fabric.scheduler.ports.Records`."""

    kept: dict[str, Record] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    came: list[str] = field(default_factory=list)
    told: dict[str, Told] = field(default_factory=dict)
    """What those that run say of themselves."""

    def add(self, *records: Record) -> None:
        """Take in records."""
        self.kept |= {item.name: item for item in records}
        self.came += [item.name for item in records]

    def news(self, since: int) -> News:
        """Those added after the first `since`, those asked to stop, and what they come after."""
        live = {name: item for name, item in self.kept.items() if not item.state.final}
        asked = {name for name, item in live.items() if item.stop_requested or item.wants is not None}
        told = asked | (set(self.came[since:]) & live.keys())
        told |= {first for name in told for first in live[name].spec.after}
        return News({name: self.kept[name] for name in sorted(told) if name in self.kept}, len(self.came), self.told)

    def active(self) -> Mapping[str, Record]:
        """Everything that is not final, and what it comes after."""
        live = {name: item for name, item in self.kept.items() if not item.state.final}
        needed = {name for item in live.values() for name in item.spec.after}
        return live | {name: item for name, item in self.kept.items() if name in needed}

    def save(self, changes: Sequence[Record], events: Sequence[Event]) -> None:
        """Write all of them; what people write stays."""
        for item in changes:
            old = self.kept[item.name]
            self.kept[item.name] = replace(item, stop_requested=old.stop_requested, wants=old.wants)
        self.events += events

    def scale(self, name: str, workers: int) -> None:
        """What a person does."""
        self.kept[name] = replace(self.kept[name], wants=workers)

    def request_stop(self, name: str) -> None:
        """What a person does."""
        self.kept[name] = replace(self.kept[name], stop_requested=True)


@dataclass
class FakeLogs:
    """Driver output in memory."""

    kept: dict[tuple[str, int], bytes] = field(default_factory=dict)
    complete: set[tuple[str, int]] = field(default_factory=set)
    full: bool = False
    """Whether the disk is."""

    def begin(self, workload: str, attempt: int) -> None:
        """Forget."""
        self.kept = {key: data for key, data in self.kept.items() if key[0] != workload or key[1] < attempt}

    def end(self, workload: str, attempt: int) -> int:
        """Bytes kept."""
        return len(self.kept.get((workload, attempt), b""))

    def append(self, workload: str, attempt: int, offset: int, data: bytes) -> int:
        """Keep what is new.

        Raises:
            StorageFull: While `full`.
        """
        if self.full:
            raise StorageFull("logs: No space left on device")
        old = self.kept.get((workload, attempt), b"")
        self.kept[workload, attempt] = old[:offset] + data
        return offset + len(data)

    def mark_complete(self, workload: str, attempt: int) -> None:
        """Nothing follows.

        Raises:
            StorageFull: While `full`.
        """
        if self.full:
            raise StorageFull("logs: No space left on device")
        self.complete.add((workload, attempt))


class FakePackages:
    """No package was ever uploaded."""

    def path(self, name: str, project: str) -> Path:
        """Never there."""
        raise NotFound(f"project {project} has no package {name}")
