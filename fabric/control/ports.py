"""What the service needs of the world, as ports; `fabric.control.build` fills them.

Knows nothing of who implements them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fabric.api.admin import ModelVersionView, ProgressView, Report
from fabric.api.past import TellingView
from fabric.api.use import UsePoint, UseView
from fabric.control.artifacts import Files
from fabric.control.draining import Drains
from fabric.control.figures import Figures
from fabric.control.named_secrets import KeptSecrets
from fabric.control.people_ports import Keys, Ledger, People
from fabric.control.registered_models import KeptMoves
from fabric.control.reloading import Reloads, Source
from fabric.control.retention import Pruning
from fabric.core.clock import Clock
from fabric.core.numa import Note
from fabric.scheduler.ports import ClusterView, Door
from fabric.scheduler.replay import Decision
from fabric.scheduler.snapshot import Node
from fabric.store.site_events import SiteEvent
from fabric.workloads.record import Event, Record
from fabric.workloads.states import State


class Workloads(Protocol):
    """Records of workloads as people read and write them."""

    def submit(self, record: Record, idempotency_key: str | None = None) -> Record:
        """Take in `record`; the same key again returns what was taken in then.

        Raises:
            Conflict: If the name is taken, or the key was used for another request.
        """
        ...

    def submit_array(self, records: Sequence[Record], idempotency_key: str | None = None) -> Sequence[Record]:
        """Take in the elements of an array, all or none; the same key again returns what was taken in then.

        Raises:
            Conflict: If a name is taken, or the key was used for another request.
        """
        ...

    def elements(self, array: str) -> Sequence[Record]:
        """The elements of an array, by number; none if there is no such array."""
        ...

    def get(self, name: str) -> Record:
        """The record called `name`.

        Raises:
            NotFound: If there is none.
        """
        ...

    def list(
        self,
        project: str | None = None,
        states: Collection[State] | None = None,
        limit: int = 1000,
        kind: str | None = None,
    ) -> Sequence[Record]:
        """Records, newest first."""
        ...

    def search(
        self,
        text: str,
        project: str | None = None,
        states: Collection[State] | None = None,
        *,
        offset: int = 0,
        limit: int = 1000,
    ) -> tuple[Sequence[Record], int]:
        """Records whose names contain `text`, newest first, without the first `offset`; and how many match in all."""
        ...

    def num_active(self) -> int:
        """How many workloads are not final."""
        ...

    def services(self) -> Sequence[Record]:
        """Every service that is not final, oldest first."""
        ...

    def active(self) -> Mapping[str, Record]:
        """Every workload that is not final, and the final ones that an active one comes after, by name."""
        ...

    def starts(self, project: str | None = None, limit: int = 1000) -> Sequence[tuple[float, float]]:
        """Promised and actual start of those that have both, newest workload first; in seconds since the epoch."""
        ...

    def request_stop(self, name: str, reason: str) -> Record:
        """Remember that somebody wants it to end."""
        ...

    def request_stops(self, names: Sequence[str], reason: str) -> None:
        """The same for several; those that are gone by now are left out."""
        ...

    def scale(self, name: str, workers: int) -> Record:
        """Remember how many workers of its elastic group somebody wants."""
        ...

    def delete(self, name: str) -> None:
        """Forget a workload that has ended.

        Raises:
            Conflict: If it has not ended, or another one comes after it.
        """
        ...

    def delete_all(self, names: Sequence[str]) -> None:
        """The same for several, or for none of them.

        Raises:
            Conflict: If one has not ended, or another one comes after it.
            NotFound: If one is gone.
        """
        ...

    def of_key(self, project: str, idempotency_key: str) -> Record | None:
        """What a project submitted with a key; None if nothing, or it was deleted."""
        ...


class Reports(Protocol):
    """What is known of a workload beyond its record: its history, and what it tells of itself."""

    def events(self, name: str) -> Sequence[Event]:
        """History, oldest first."""
        ...

    def report(self, name: str, report: Report, attempt: int | None = None) -> None:
        """Add what is new to what was told.

        Raises:
            Conflict: If `attempt` is over.
        """
        ...

    def progress(self, name: str) -> ProgressView:
        """What was told so far."""
        ...

    def progresses(self, names: Collection[str]) -> Mapping[str, ProgressView]:
        """The same of many workloads by name; names that nobody has are left out."""
        ...

    def points(self, name: str) -> Sequence[TellingView]:
        """What a workload told over time, oldest first."""
        ...

    def uses(self, names: Collection[str]) -> Mapping[str, UseView]:
        """What was last measured of present attempts, by name; those of which nothing was are left out."""
        ...

    def use_points(self, name: str) -> Sequence[UsePoint]:
        """What a workload used over time, oldest first."""
        ...

    def reported_at(self) -> Mapping[str, float]:
        """When those that run last told anything in their present attempt, by name, in seconds since the epoch."""
        ...


class Packages(Protocol):
    """Uploaded working directories and modules."""

    def put(self, name: str, chunks: Iterable[bytes], project: str) -> object:
        """Keep a package of a project, all of it or nothing; without a project it is the site's, for all of them.

        Raises:
            BadPackage: If it is too large, truncated, would write outside its folder, may not be called so, or the
                project's quota is full.
            StorageFull: If the disk is full.
        """
        ...

    def has(self, name: str, project: str) -> bool:
        """Whether a project can use it; any text may be asked for."""
        ...

    def collect(self, named: Collection[tuple[str, str]]) -> int:
        """Remove what has long not been used and is not named (project, name); the bytes that became free."""
        ...

    def make_room(self, project: str, num_bytes: int, named: Collection[tuple[str, str]]) -> None:
        """Remove what is not named while so many bytes would not fit the project's quota."""
        ...


class LogMark(Protocol):
    """How far a log is; unlike any other one as soon as something was written."""

    @property
    def complete(self) -> bool:
        """Whether nothing follows in the newest attempt."""
        ...


class Logs(Protocol):
    """Copies of what drivers wrote, over all attempts."""

    def read(self, workload: str, offset: int, max_bytes: int) -> tuple[bytes, int]:
        """Bytes from `offset`, and the offset to ask for next."""
        ...

    def is_complete(self, workload: str, attempt: int) -> bool:
        """Whether the last byte of that attempt is there."""
        ...

    def mark(self, workload: str) -> LogMark:
        """What changes whenever there is more to read; much cheaper than reading."""
        ...

    def written_at(self, workload: str, attempt: int) -> float | None:
        """When the last piece of an attempt's output came, in seconds since the epoch; None before the first."""
        ...

    def delete(self, workload: str) -> None:
        """Remove everything of a workload; one that is not known is no mistake."""
        ...


@dataclass(frozen=True, slots=True)
class LogPart:
    """A piece of a workload's log."""

    content: bytes
    next_offset: int
    """Byte to ask for next."""
    complete: bool
    """Whether nothing will follow."""


class Models(Protocol):
    """Registered model versions."""

    def models(self, project: str | None = None) -> Sequence[ModelVersionView]:
        """Those of a project, or of all of them, by name, newest version first.

        Raises:
            Unavailable: If the registry does not answer.
        """
        ...

    def move_alias(self, project: str, model: str, alias: str, version: int) -> None:
        """Point an alias to a version, whether it pointed elsewhere or is new.

        Raises:
            FabricError: If the registry does not take it, or does not answer.
        """
        ...

    def pinned(self, workload: str) -> str:
        """MODEL:VERSION that a service began to serve, and goes on to; empty if it has not begun."""
        ...


class KeptEvents(Protocol):
    """Where events outlive the process."""

    def site_events(
        self, project: str | None = None, *, before: int | None = None, limit: int = 50, without: Collection[str] = ()
    ) -> Sequence[SiteEvent]:
        """The newest first; of one project those of the site, too."""
        ...

    def add_site_events(self, events: Iterable[SiteEvent]) -> None:
        """Append some, in order."""
        ...

    def node_kinds(self) -> Mapping[str, str]:
        """The kind of the newest event about each node since the last one about several."""
        ...


class Process(Protocol):
    """The process that the service lives in."""

    def wake(self) -> None:
        """Let the loop take its next step at once."""
        ...

    def loop_age_s(self) -> float:
        """Seconds since the loop last finished a step."""
        ...

    def shutdown(self, kill: bool) -> None:
        """Begin to end every workload and then the fabric; returns at once."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything the service needs, in one hand."""

    workloads: Workloads
    reports: Reports
    keys: Keys
    people: People
    ledger: Ledger
    packages: Packages
    artifacts: Files
    logs: Logs
    models: Models
    nodes: Callable[[], tuple[Node, ...]]
    """Every node of the site; never waits for a foreign process, like the next."""
    views: Callable[[], Mapping[str, ClusterView]]
    """Every cluster as it is, by its name."""
    process: Process
    clock: Clock
    entropy: Callable[[int], bytes]
    """So many random bytes."""
    drains: Drains
    """Nodes out of service."""
    alias_moves: KeptMoves
    """Aliases that people moved by hand."""
    named_secrets: KeptSecrets
    """What processes of a project's work may be told."""
    reloads: Reloads
    """When the site file was read again."""
    site_events: KeptEvents
    """What happened."""
    source: Source
    """Where the site comes from, and who goes by it."""
    pruning: Pruning
    """Removes what ended work left long ago."""
    wall: Callable[[], float] | None = None
    """The machine's own time, by which others date what they send; None where it is that of `clock`."""
    door: Callable[[str], Door | None] = lambda cluster: None
    """Where the head of a cluster answers; None while nobody knows, or for what is none of ours."""
    decision: Callable[[], Decision | None] = lambda: None
    """What the loop decided last."""
    projects_changed: Callable[[], None] = lambda: None
    """Lets the loop know projects that were made meanwhile."""
    leads: Callable[[], bool] = lambda: True
    """Whether this control acts; another one does otherwise."""
    notes: Callable[[], Mapping[str, Note]] = dict
    """What the backend says of nodes, by name."""
    figures: Figures = field(default_factory=Figures)
    """What is counted while control runs."""
