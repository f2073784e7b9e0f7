"""The world as a decision sees it: nodes, what runs, what waits, what is reserved.

Knows nothing of where the values come from. A snapshot is a value: an update makes a new one that shares what stayed.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Self, TypeVar

from fabric.core.resources import Resources
from fabric.scheduler.columns import Amounts, Node, NodeColumns, NodeState, Slot, subtract
from fabric.scheduler.forecast import Demand
from fabric.scheduler.holding import held_after, held_by
from fabric.scheduler.quota import Held, Tree
from fabric.scheduler.readiness import NO_EXPERIENCE, Experience
from fabric.scheduler.shape import Shape, shape_of
from fabric.scheduler.usage import Usage
from fabric.workloads.record import Grant, Record
from fabric.workloads.spec import DEFAULT_PROJECT, Group, Priority
from fabric.workloads.states import State

__all__ = ["Claim", "Node", "NodeState", "Promise", "Running", "Snapshot", "Told", "Waiting", "snapshot"]

NO_USAGE = Usage(0.0)
"""Of projects that have used nothing."""

T = TypeVar("T", "Running", "Waiting")


@dataclass(frozen=True, slots=True)
class Told:
    """What running work says of itself, or is measured of it."""

    attempt: int
    saved: float | None = None
    """Instant of its last checkpoint, in seconds since the epoch; None if it never reported one."""
    save_s: float | None = None
    """Seconds that checkpoint took."""
    left_s: float | None = None
    """Seconds of work left at its present size; None if it does not say."""
    workers: int | None = None
    """Size at which it works, by its own word: how it says that it has let go of the rest."""
    demand: Demand | None = None
    """Of a service: replicas needed over the coming hours, without lead."""
    lead_s: float = 0.0
    """Of a service: seconds from the start of a replica until it is ready."""


@dataclass(frozen=True, slots=True)
class Running:
    """A workload that holds a grant."""

    name: str
    grant: Grant
    ends: float | None
    """Latest end in seconds since the epoch; None where no walltime says."""
    rank: int = 0
    """Of its priority class; 0 is the most urgent."""
    project: str = DEFAULT_PROJECT
    submitted: float = 0.0
    since: float = 0.0
    """When it began to run, or last changed its size."""
    staged_s: float = 0.0
    """Seconds from its grant until it ran: what a start costs."""
    movable: bool = False
    """Whether it may be asked to leave: it starts or runs, and has not been asked to leave or to give back anything."""
    settled: bool = False
    """Whether it may be asked to change its size, too: it runs, and is not changing already."""
    service: bool = False
    elastic: Group | None = None
    """The group whose size may change."""
    replicas: Group | None = None
    """Of a service: the group whose workers are its replicas."""
    wants: int | None = None
    """Workers of the elastic group that somebody asked for."""
    told: Told | None = None
    roams: tuple[Group, ...] = ()
    """All groups of a job some of whose accelerators may be of any kind; empty for others."""
    slots: tuple[Slot, ...] = field(default=(), compare=False, repr=False)
    """The grant as rows of the site; a snapshot fills it in."""

    @property
    def resizable(self) -> bool:
        """Whether its size may be changed now. A job that never said at what size it works could not be told of one."""
        if self.elastic is None or not self.settled:
            return False
        return self.service or (self.told is not None and self.told.workers is not None)

    @property
    def is_rest(self) -> bool:
        """Whether it is no workload, but what one has given back and still occupies: their names hold no space."""
        return " " in self.name

    @property
    def key(self) -> tuple[float, str]:
        """Those that end first come first."""
        return (math.inf if self.ends is None else self.ends, self.name)


@dataclass(frozen=True, slots=True)
class Promise:
    """The start that a plan set aside for a waiting workload."""

    start: float
    """Seconds since the epoch."""
    slots: tuple[Slot, ...] = ()
    """What is kept for it from then on."""


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
    saves: bool = False
    """Whether it leaves in time when it is asked to: it saves its state, or accepts to lose it."""
    service: bool = False
    """Whether it stays until somebody ends it."""
    expected_s: float | None = None
    """How long it should still run by what earlier runs of its owner took, or by how long it has run already where
    nothing says; for the order, never for a promise."""
    deadline: float | None = None
    """When it should have ended, in seconds since the epoch."""
    project: str = DEFAULT_PROJECT
    passed: int = 0
    """How many that came after it have started before it."""
    promise: Promise | None = None
    """What an earlier plan set aside for it, where the policy keeps promises."""
    since: float | None = field(default=None, compare=False)
    """When its last attempt ended, in seconds since the epoch; None where it waits since its submission."""
    shape: Shape = field(init=False, compare=False, repr=False)
    """What the groups ask for; equal requests share it."""
    elastic: Group | None = field(init=False, compare=False, repr=False)
    """The group whose size may change."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", shape_of(self.groups))
        object.__setattr__(self, "elastic", next((group for group in self.groups if group.elastic), None))

    @property
    def key(self) -> tuple[int, float, str]:
        """Most urgent class first, first come first served inside it, ties by name."""
        return (self.rank, self.submitted, self.name)

    @property
    def duration_s(self) -> float:
        """How long it may stay; without a walltime, for ever."""
        return math.inf if self.walltime_s is None else self.walltime_s

    @property
    def num_devices(self) -> int:
        """Whole accelerators that it asks for, or CPUs where it asks for none; at least one."""
        _, gpus, _ = self.shape.total
        return max(1, (gpus or self.shape.total[0]) // 1000)

    @property
    def likely_s(self) -> float:
        """How long it should run, where something says; at most as long as it may stay."""
        return self.duration_s if self.expected_s is None else min(self.expected_s, self.duration_s)


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim on future capacity that is no workload's: a maintenance window, a capability run, a forecast."""

    name: str
    start: float
    """Seconds since the epoch, like `end`."""
    end: float
    nodes: tuple[str, ...]
    amount: Resources | None = None
    """Of each node; None for the whole of it."""
    project: str | None = None
    """Whose work may be there all the same, with that of the projects below it; None is nobody's."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a decision may look at; `Snapshot.of` makes one from values in any order."""

    site: NodeColumns = field(compare=False)
    nodes: tuple[Node, ...]
    running: tuple[Running, ...]
    """By expected end, then name."""
    waiting: tuple[Waiting, ...]
    """By class, then instant of submission, then name."""
    head: Resources
    """What a Ray head of its own is charged."""
    idle: Amounts = field(compare=False, repr=False)
    """What no workload holds of each ready node; never written to."""
    claims: tuple[Claim, ...] = ()
    grace_s: float = 0.0
    """Seconds between asking work to leave and killing it."""
    overhead_s: float = 0.0
    """Seconds that it may hold its nodes beside that, until its cluster is gone."""
    tree: Tree = field(default_factory=Tree)
    """Projects of the site."""
    usage: Usage = NO_USAGE
    """What projects have used of late."""
    known: Experience = NO_EXPERIENCE
    """How long starts take."""
    held: Held = field(default_factory=Held, compare=False, repr=False)
    """What projects hold, where the site lists some."""

    @classmethod
    def of(
        cls,
        nodes: Iterable[Node],
        running: Iterable[Running] = (),
        waiting: Iterable[Waiting] = (),
        *,
        head: Resources,
        claims: Iterable[Claim] = (),
        grace_s: float = 0.0,
        overhead_s: float = 0.0,
        tree: Tree | None = None,
        usage: Usage = NO_USAGE,
        known: Experience = NO_EXPERIENCE,
    ) -> Self:
        """A snapshot of values in any order; equal worlds give equal snapshots."""
        ordered = tuple(sorted(nodes, key=lambda node: node.name))
        site = NodeColumns.of(ordered)
        holding = sorted((replace(work, slots=site.slots(work.grant.slices)) for work in running), key=_key)
        idle = site.capacity.copy()
        for work in holding:
            subtract(idle, work.slots)
        idle.flags.writeable = False
        projects = tree or Tree()
        return cls(
            site=site,
            nodes=ordered,
            running=tuple(holding),
            waiting=tuple(sorted(waiting, key=_key)),
            head=head,
            idle=idle,
            claims=tuple(sorted(claims, key=lambda claim: (claim.start, claim.name))),
            grace_s=grace_s,
            overhead_s=overhead_s,
            tree=projects,
            usage=usage,
            held=held_by(((work.project, work.slots) for work in holding), projects, site),
            known=known,
        )

    def updated(
        self,
        *,
        left: Iterable[Running] = (),
        started: Iterable[Running] = (),
        unqueued: Iterable[Waiting] = (),
        queued: Iterable[Waiting] = (),
    ) -> "Snapshot":
        """This snapshot after changes; its cost grows with the changes, beside copies of three flat arrays.

        Args:
            left: Grants that are given back, equal to those in `running`.
            started: Grants that are held from now on.
            unqueued: Work that waits no longer, equal to that in `waiting`.
            queued: Work that waits from now on.
        """
        gone, new = tuple(left), tuple(replace(w, slots=self.site.slots(w.grant.slices)) for w in started)
        idle, held = self.idle, self.held
        if gone or new:
            idle = idle.copy()
            back = [(work.project, self.site.slots(work.grant.slices)) for work in gone]
            taken = [(work.project, work.slots) for work in new]
            for _, slots in back:
                subtract(idle, slots, sign=-1)
            for _, slots in taken:
                subtract(idle, slots)
            idle.flags.writeable = False
            held = held_after(held, self.tree, self.site, gone=back, new=taken)
        running = _changed(self.running, gone, new)
        return replace(self, running=running, waiting=_changed(self.waiting, unqueued, queued), idle=idle, held=held)


_key = attrgetter("key")


def _changed(kept: tuple[T, ...], gone: Iterable[T], new: Iterable[T]) -> tuple[T, ...]:
    """A sorted tuple without `gone` and with `new`.

    Raises:
        ValueError: If one of `gone` is not there.
    """
    leave, come = tuple(gone), tuple(new)
    if not leave and not come:
        return kept
    changed = list(kept)
    for work in leave:
        at = bisect_left(changed, work.key, key=_key)
        if at == len(changed) or changed[at].name != work.name:
            raise ValueError(f"{work.name} is not in the snapshot")
        del changed[at]
    for work in come:
        changed.insert(bisect_left(changed, work.key, key=_key), work)
    return tuple(changed)


def snapshot(
    records: Mapping[str, Record], nodes: Iterable[Node], head: Resources, claims: Iterable[Claim] = ()
) -> Snapshot:
    """What `records` and `nodes` say."""
    holding = [record for record in records.values() if record.grant and record.state.holds_grant]
    running = [*map(running_of, holding), *filter(None, map(giving_back, holding))]
    waiting = [waiting_of(record, records) for record in records.values() if record.state is State.QUEUED]
    return Snapshot.of(nodes, running, waiting, head=head, claims=claims)


def running_of(record: Record, told: Told | None = None) -> Running:
    """A record that holds a grant, as a decision sees it; without what it is about to give back.

    Args:
        record: The record.
        told: What it said of itself in its present attempt.

    Raises:
        ValueError: If it holds none.
    """
    at, spec = record.at, record.spec
    started, walltime_s = at.running or at.granted, spec.walltime_s
    if record.grant is None:
        raise ValueError(f"{record.name} holds no grant")
    ends = started + walltime_s if started is not None and walltime_s else None
    if record.state is State.DRAINING and record.leave_by is not None:
        ends = record.leave_by if ends is None else min(ends, record.leave_by)
    return Running(
        name=record.name,
        grant=record.target or record.grant,
        ends=ends,
        rank=spec.priority.rank,
        project=spec.project,
        submitted=at.submitted,
        since=at.resized or at.running or at.granted or at.submitted,
        staged_s=at.running - at.granted if at.running is not None and at.granted is not None else 0.0,
        movable=_movable(record),
        settled=_settled(record),
        service=spec.kind == "service",
        elastic=spec.elastic,
        replicas=spec.replicas,
        wants=record.wants,
        told=told if told is not None and told.attempt == record.attempt else None,
        roams=spec.groups if spec.kind == "job" and any(g.tier is None and g.gpus for g in spec.groups) else (),
    )


def _movable(record: Record) -> bool:
    state = record.state in {State.PLACING, State.STARTING, State.RUNNING, State.RESIZING}
    return state and record.target is None and not record.stop_requested


def _settled(record: Record) -> bool:
    """Whether it may be asked to change; a service also while it still grows."""
    grows = record.state is State.RESIZING and record.target is None and record.spec.kind == "service"
    return (record.state is State.RUNNING or grows) and not record.stop_requested


def giving_back(record: Record) -> Running | None:
    """The slices that a shrinking workload still holds and has been asked for; None if there are none."""
    if record.target is None or record.grant is None:
        return None
    kept = {part.name for part in record.target.slices}
    parts = tuple(part for part in record.grant.slices if part.name not in kept)
    name, project = f"{record.name} (shrinks)", record.spec.project
    return Running(name, Grant(parts), record.leave_by, project=project) if parts else None


def waiting_of(record: Record, records: Mapping[str, Record], promise: Promise | None = None) -> Waiting:
    """A queued record as a decision sees it.

    Args:
        record: The record.
        records: Those it may come after, among others.
        promise: What an earlier plan set aside for it.
    """
    after = record.spec.after
    return Waiting(
        name=record.name,
        rank=record.spec.priority.rank,
        submitted=record.at.submitted,
        groups=record.spec.groups,
        walltime_s=record.spec.walltime_s,
        blocked_by=tuple(n for n in after if n in records and records[n].state is not State.SUCCEEDED) if after else (),
        passed=record.passed,
        project=record.spec.project,
        saves=record.spec.checkpoints or record.spec.elastic is not None or record.spec.priority is Priority.HARVEST,
        promise=promise,
        service=record.spec.kind == "service",
        deadline=None if record.spec.deadline_s is None else record.at.submitted + record.spec.deadline_s,
    )
