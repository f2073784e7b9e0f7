"""What the loop needs of the world: eyes and hands of a backend, and records.

Knows nothing of who implements them. One contract suite runs against every implementation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from fabric.scheduler.snapshot import Node, Told
from fabric.workloads.record import Event, Grant, Record, Slice
from fabric.workloads.spec import AdoptedSpec


class Phase(StrEnum):
    """How far a workload's Ray cluster is."""

    ABSENT = "absent"
    """Nothing of it exists."""
    STARTING = "starting"
    """Some of its Ray nodes have not joined yet."""
    READY = "ready"
    """Every slice is a live Ray node of it."""
    BROKEN = "broken"
    """A Ray node that was there is lost, or it could not start."""
    LEAVING = "leaving"
    """It is being removed."""


class Outcome(StrEnum):
    """What is known of the entrypoint or the service of a cluster."""

    NONE = "none"
    """Not submitted yet."""
    UNKNOWN = "unknown"
    """An earlier fabric may have submitted it; the cluster has not been asked yet."""
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self in {Outcome.SUCCEEDED, Outcome.FAILED, Outcome.STOPPED}


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One workload's Ray cluster as it is."""

    name: str
    """Of the cluster: workload and attempt."""
    phase: Phase
    outcome: Outcome = Outcome.NONE
    problem: str = ""
    """What is wrong, naming slice and node, where something is."""
    message: str = ""
    """What Ray says of the entrypoint or service."""
    exit_code: int | None = None
    unmet: str = ""
    """A Ray demand that the grant cannot meet, and the flag that would grant it."""
    endpoint: str | None = None
    """Base URL of a service that answers."""
    secret: str = field(default="", repr=False)
    """What the service wants to see in the header `X-Fabric-Service`."""
    details: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """What Serve said last of its applications, in its own form; a change of it alone is no news to the loop."""
    logs_complete: bool = True
    """Whether everything the entrypoint wrote has been copied to the store."""
    generation: int = 1
    """Of the grant that it has: the last whose new slices have all joined and whose old ones are gone."""
    born: float = 0.0
    """When its workload was submitted, which tells it from a later workload of the same name."""
    held: tuple[Slice, ...] = ()
    """What its processes occupy until it is gone, also after its workload has ended."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where the head of a Ray cluster answers, for who opens it to people."""

    url: str
    """Base URL of its dashboard and REST API."""
    token: str = field(repr=False)
    """The cluster's own Ray token, which is shown to nobody."""


@dataclass(frozen=True, slots=True)
class WantedCluster:
    """A Ray cluster that should be: a recorded grant and what runs on it."""

    name: str
    """Workload and attempt; also Ray's submission id."""
    workload: str
    attempt: int
    generation: int
    grant: Grant
    entrypoint: str
    """Empty for a service."""
    runtime_env: Mapping[str, Any]
    """As Ray's Jobs API takes it; `working_dir` may name a package of the store."""
    env: Mapping[str, str]
    """Told to every process of the cluster."""
    hidden: frozenset[str] = field(default=frozenset(), kw_only=True)
    """Variables of `env` whose values are told to processes alone, and are in nothing that a cluster shows."""
    metadata: Mapping[str, str]
    driver: Mapping[str, float]
    """`num_cpus`, `num_gpus`, `memory` that were asked for the entrypoint itself; empty if it runs beside the head."""
    driver_group: str = ""
    """Group on whose first slice such an entrypoint runs."""
    serve: Mapping[str, Any] | None = None
    """Ray Serve configuration of a service."""
    born: float = 0.0
    """When the workload was submitted."""
    secret: str = field(default="", repr=False)
    """What a service's replicas require in the header `X-Fabric-Service`."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Container image of those groups that name one; processes of this machine have none."""
    submitted_by: str = ""
    """For whom it runs: a person, or a key that is nobody's; a backend labels what it starts with it where it can."""
    project: str = ""
    """Whose work it is, and so whose packages it may use."""
    adopted: AdoptedSpec | None = None
    """The object that is started in place of a new cluster; None where the fabric makes the cluster."""
    warm: bool = False
    """Whether nobody has asked for it yet: it starts, runs nothing, and waits until work gets it."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What changed since an earlier look."""

    views: Mapping[str, ClusterView]
    """By name of the cluster; what is gone is `absent`."""
    cursor: int
    """What to give next time, so that only later changes come."""


@dataclass(frozen=True, slots=True)
class News:
    """What people changed in the records since an earlier reading, and what running work tells of itself."""

    records: Mapping[str, Record]
    """By name; what an active record comes after is among them."""
    cursor: int
    """What to give next time, so that only later changes come."""
    told: Mapping[str, Told] = field(default_factory=dict)
    """By name; the same may be told again."""


class Eyes(Protocol):
    """What exists."""

    def nodes(self) -> tuple[Node, ...]:
        """Every node of the site and its state; the same tuple while nothing changed, where that is cheap."""
        ...

    def changes(self, since: int) -> Sight:
        """The clusters with our label that changed after the look `since`; with 0, all that exist. Never waits."""
        ...

    def observe(self) -> Mapping[str, ClusterView]:
        """Every cluster that carries our label, by name. Never waits for a foreign process."""
        ...


class Hands(Protocol):
    """What may be done. Every call is idempotent and returns at once; results show in `Eyes.observe`."""

    def realise(self, wanted: WantedCluster) -> None:
        """Bring about the cluster, then submit its entrypoint or Serve configuration once every slice has joined.

        A higher generation of a cluster that is there adds the slices that are new in its grant and ends those that
        are not in it any more; what runs on the others goes on, and the view shows the generation once that is done.

        While a cluster of that name that was born earlier still leaves, nothing happens; the loop asks again.

        Raises:
            Unavailable: If it cannot be started now; nothing of it is left.
        """
        ...

    def stop(self, cluster: str, grace_s: float) -> None:
        """Ask the entrypoint to end; kill it after `grace_s` seconds."""
        ...

    def remove(self, cluster: str) -> None:
        """End every process of the cluster, workers before the head, and forget it once its log is copied."""
        ...


class Backend(Eyes, Hands, Protocol):
    """Eyes and hands of one kind of machines."""


class Records(Protocol):
    """What should be. Writes are durable when the call returns."""

    def active(self) -> Mapping[str, Record]:
        """Every workload that is not final, and the final ones that an active one comes after, by name."""
        ...

    def news(self, since: int) -> News:
        """Active workloads that came after the reading `since`, with 0 all; and those that somebody asked to end.

        The same may be told again. What a told one comes after is told with it.
        """
        ...

    def save(self, changes: Sequence[Record], events: Sequence[Event]) -> None:
        """Write all of `changes` and append `events`, or nothing.

        The column that people write (`stop_requested`) is left as it is.
        """
        ...


class Blueprint(Protocol):
    """How a record becomes a wanted cluster: secrets, environment, Serve configuration."""

    def wanted(self, record: Record) -> WantedCluster:
        """The cluster that `record` should have.

        Raises:
            FabricError: If what it refers to (a model, a package) is not there.
        """
        ...
