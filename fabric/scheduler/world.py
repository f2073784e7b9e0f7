"""What the loop remembers between steps: active records, and the snapshot that follows from them.

Knows nothing of where changes come from. A change costs what it touches, not what there is.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from fabric.core.resources import Resources
from fabric.scheduler.columns import NodeColumns
from fabric.scheduler.estimates import Run, Runs, estimate, owner_of, shortness_s
from fabric.scheduler.history import History
from fabric.scheduler.holding import capacity_of
from fabric.scheduler.learning import learned
from fabric.scheduler.promises import promise_of, promises_in, set_aside_of
from fabric.scheduler.quota import Tree
from fabric.scheduler.snapshot import (
    Claim,
    Node,
    Promise,
    Running,
    Snapshot,
    Told,
    Waiting,
    giving_back,
    running_of,
    waiting_of,
)
from fabric.scheduler.usage import Usage, advance
from fabric.workloads.record import Grant, Record, SetAside, Slice
from fabric.workloads.states import State

NOBODY = ""
"""In place of a project, where nobody is charged."""

_UNKNOWN = Promise(-math.inf)
"""Equal to no promise of a plan."""


class World:
    """Active records by name, and the same as a snapshot, equal to one made from scratch after any changes.

    What no record says (what projects used, how long runs and starts took, when clusters should be gone) comes from the
    world before, or from what was kept of it.
    """

    def __init__(
        self,
        records: Mapping[str, Record],
        nodes: tuple[Node, ...],
        head: Resources,
        claims: tuple[Claim, ...] = (),
        *,
        predicts: bool = False,
        grace_s: float = 0.0,
        tree: Tree | None = None,
        overhead_s: float = 0.0,
        before: "World | None" = None,
        history: History | None = None,
    ) -> None:
        self.records: dict[str, Record] = {}
        self.by_cluster: dict[str, str] = {}
        """Names by the cluster that each one should have now."""
        self.changed = True
        """Whether the snapshot changed since `looked_at` was last called."""
        self._nodes, self._overhead_s = nodes, overhead_s
        self._running: dict[str, Running] = {}
        self._waiting: dict[str, Waiting] = {}
        self._dependents: dict[str, set[str]] = {}
        self._told: dict[str, Told] = {}
        self._due: dict[str, float] = dict(before._due) if before else {}
        """By when clusters should be gone whose records hold nothing any more."""
        self._owners: dict[str, str] = before._still_owned() if before else {}
        """Projects of such clusters."""
        self._since: dict[str, float] = dict(before._since) if before else {}
        """When the last attempt ended of those that wait for another; who knows it of nobody takes their submission."""
        self._predicts = predicts
        history = history or History()
        self._runs: Runs = before._runs if before else history.runs
        self._new_runs: list[Run] = before._new_runs if before else []
        self._left: dict[str, Running] = {}
        self._started: dict[str, Running] = {}
        self._unqueued: dict[str, Waiting] = {}
        self._queued: dict[str, Waiting] = {}
        self._snapshot: Snapshot = Snapshot.of(
            nodes, head=head, claims=claims, grace_s=grace_s, overhead_s=overhead_s, tree=tree,
            usage=before._snapshot.usage if before else history.usage,
            known=before._snapshot.known if before else history.known,
        )  # fmt: skip
        for record in records.values():
            self._take_in(record)
        for record in records.values():
            self._follow(None, record)
        promises = promises_in(records, self._snapshot.site)
        self._recorded = {name: promise or _UNKNOWN for name, promise in promises.items()}
        """What the records say is set aside."""
        for name, promise in promises.items():
            self._wait(name, replace(self._waiting[name], promise=promise))

    @property
    def snapshot(self) -> Snapshot:
        """The world as a decision sees it."""
        if self._left or self._started or self._unqueued or self._queued:
            self._snapshot = self._snapshot.updated(
                left=self._left.values(),
                started=self._started.values(),
                unqueued=self._unqueued.values(),
                queued=self._queued.values(),
            )
            self._left, self._started, self._unqueued, self._queued = {}, {}, {}, {}
        return self._snapshot

    def use(self, now: float, half_life_s: float) -> None:
        """Count what projects have held until now; where the site lists none, nothing is counted."""
        seen = self.snapshot
        if seen.tree.entries:
            usage = seen.usage if seen.usage.at else Usage(now)
            capacity = capacity_of(seen.site)
            used = advance(usage, seen.held, seen.tree, capacity, now=now, half_life_s=half_life_s)
            self._snapshot = replace(seen, usage=used)

    def take_runs(self) -> tuple[Run, ...]:
        """The runs that have ended since this was last asked."""
        runs = tuple(self._new_runs)
        self._new_runs.clear()
        return runs

    def looked_at(self) -> None:
        """Say that a decision was made on what there is now."""
        self.changed = False

    def put(self, record: Record) -> None:
        """Take in a new or changed record, and what follows from it for those that come after it."""
        old = self.records.get(record.name)
        self._take_in(record)
        self._follow(old, record)
        if old is None or old.state is not record.state:
            for name in self._dependents.get(record.name, ()):
                dependent = self.records.get(name)
                if dependent is not None:
                    self._follow(dependent, dependent)
        if old is not None and old.state is State.STARTING and record.state is State.RUNNING:
            self._snapshot = replace(self._snapshot, known=learned(self._snapshot.known, record))
        if record.state.final:
            self._forget(record)

    def told(self, name: str) -> Told | None:
        """What a workload last said of itself."""
        return self._told.get(name)

    def tell(self, name: str, told: Told) -> bool:
        """Take in what running work says of itself.

        Returns:
            Whether that is news. Only another demand is a change of the world, and the first word of work that may be
            resized from then on: how far work is changes all the time.
        """
        before, record = self._told.get(name), self.records.get(name)
        if record is None or told == before:
            return False
        self._told[name] = told
        changed = self.changed
        self._follow(record, record)
        speaks = before is None and record.spec.elastic is not None
        self.changed = changed or speaks or (before.demand if before else None) != told.demand
        return True

    def move_nodes(self, nodes: tuple[Node, ...]) -> bool:
        """Take in nodes that came, left or changed state; a promise that rests on one that is not there is dropped.

        Returns:
            Whether any did.
        """
        if nodes == self._nodes:
            return False
        before, asides = self._snapshot, self._set_aside()
        self._nodes, self.changed = nodes, True
        self._left, self._started, self._unqueued, self._queued = {}, {}, {}, {}
        site = NodeColumns.of(nodes)
        for name, kept in asides.items():
            self._waiting[name] = replace(self._waiting[name], promise=promise_of(kept, site))
        self._recorded = dict.fromkeys(self._recorded, _UNKNOWN)
        self._snapshot = Snapshot.of(
            nodes, self._running.values(), self._waiting.values(),
            head=before.head, claims=before.claims, grace_s=before.grace_s, overhead_s=before.overhead_s,
            tree=before.tree, usage=before.usage, known=before.known,
        )  # fmt: skip
        return True

    def move_claims(self, claims: tuple[Claim, ...]) -> None:
        """Take in other claims on nodes, as when time has gone on."""
        ordered = tuple(sorted(claims, key=lambda claim: (claim.start, claim.name)))
        if ordered != self._snapshot.claims:
            self._snapshot, self.changed = replace(self._snapshot, claims=ordered), True

    def keep_promises(self, promises: Mapping[str, Promise]) -> dict[str, SetAside | None]:
        """Remember what a plan set aside, and nothing else, for the next decision; that is no change of the world.

        Returns:
            By name, what the records do not say yet; None where nothing is set aside any more.
        """
        site, news = self._snapshot.site, dict[str, SetAside | None]()
        for name in self._recorded.keys() | promises.keys():
            work, promise = self._waiting.get(name), promises.get(name)
            if work is not None and work.promise != promise:
                self._wait(name, replace(work, promise=promise))
            if self._recorded.get(name) != promise:
                news[name] = set_aside_of(promise, site) if promise else None
        self._recorded = dict(promises)
        return news

    def _set_aside(self) -> dict[str, SetAside]:
        site = self._snapshot.site
        return {name: set_aside_of(work.promise, site) for name, work in self._waiting.items() if work.promise}

    def born(self, cluster: str) -> float | None:
        """When the workload was submitted that should have a cluster of that name; None if none should."""
        name = self.by_cluster.get(cluster)
        return None if name is None else self.records[name].at.submitted

    def hold(self, cluster: str, slices: tuple[Slice, ...], now: float) -> None:
        """Count what the processes of a cluster occupy that no record holds any more; nothing once it is gone.

        Its project holds it until then. After a restart of control nobody knows whose it was, and nobody is charged.
        """
        name = _leaving(cluster)
        known = self._running.get(name)
        if not slices:
            self._due.pop(cluster, None)
            self._owners.pop(cluster, None)
        if known is None and not slices:
            return
        if known is None or known.grant.slices != slices:
            due = self._due[cluster] = min(self._due.get(cluster, math.inf), now + self._overhead_s)
            owner = self._owners.get(cluster, NOBODY)
            self._run(name, Running(name, Grant(slices), due, project=owner) if slices else None)

    def _still_owned(self) -> dict[str, str]:
        """Projects of the clusters that are still there though their records hold nothing any more."""
        return {cluster: owner for cluster, owner in self._owners.items() if _leaving(cluster) in self._running}

    def dependents(self, name: str) -> list[str]:
        """Names of the active records that come after `name`."""
        return sorted(self._dependents.get(name, ()))

    def _take_in(self, record: Record) -> None:
        old = self.records.get(record.name)
        if old is not None and old.cluster != record.cluster:
            self.by_cluster.pop(old.cluster, None)
        self.records[record.name] = record
        if record.state.holds_grant:
            self.by_cluster[record.cluster] = record.name
        else:
            self.by_cluster.pop(record.cluster, None)
        if not record.state.final:
            for first in record.spec.after:
                self._dependents.setdefault(first, set()).add(record.name)

    def _follow(self, old: Record | None, record: Record) -> None:
        """Bring the snapshot in step with one record."""
        queued = record.state is State.QUEUED
        if queued or record.name in self._waiting:
            known = self._waiting.get(record.name)
            same = known is not None and old is not None and old.attempt == record.attempt
            promise = known.promise if known is not None and same else None
            if old is not None and old.attempt < record.attempt:
                self._since[record.name] = _ended_at(old, record)
            now = self._queues(record, promise) if queued else None
            if now != known:
                self.changed = True
                self._wait(record.name, now)
        holds = record.grant is not None and record.state.holds_grant
        held = self._running.get(record.name)
        if held is not None and old is not None and not holds:
            self._owners[old.cluster] = held.project
            if held.ends is not None:
                self._due[old.cluster] = held.ends
        if holds or record.name in self._running:
            self._run(record.name, self._holds(record) if holds else None)
        shrinks = f"{record.name} (shrinks)"
        if record.target is not None or shrinks in self._running:
            self._run(shrinks, giving_back(record) if holds else None)

    def _queues(self, record: Record, promise: Promise | None) -> Waiting:
        """A queued record as a decision sees it: with the time that it holds nodes before it runs and after it ends."""
        waits = replace(waiting_of(record, self.records, promise), since=self._since.get(record.name))
        if self._predicts and record.spec.kind == "job":
            waits = replace(waits, expected_s=self._likely_s(record, waits))
        if waits.walltime_s is None or not self._overhead_s:
            return waits
        return replace(waits, walltime_s=waits.walltime_s + self._overhead_s)

    def _holds(self, record: Record) -> Running:
        """The same of a record that holds a grant; one that began to run late ends late."""
        runs, at = running_of(record, self._told.get(record.name)), record.at
        if runs.ends is None or at.granted is None or not self._overhead_s or record.state is State.DRAINING:
            return runs
        late_s = (at.running or at.granted) - at.granted
        return replace(runs, ends=runs.ends + max(0.0, self._overhead_s - late_s))

    def _likely_s(self, record: Record, waits: Waiting) -> float:
        """How long a queued job should still run; where nothing says, what a job that ran so long is taken to need."""
        known = estimate(self._runs, owner_of(record.spec), record.spec.walltime_s)
        # What it did not save is done again.
        ran_s = record.ran_s if waits.saves or known.expected_s is None else 0.0
        return shortness_s(known, slots=waits.num_devices, ran_s=ran_s)

    def _wait(self, name: str, now: Waiting | None) -> None:
        before = self._waiting.pop(name, None)
        if before is not None and self._queued.pop(name, None) is None:
            self._unqueued[name] = before
        if now is not None:
            self._waiting[name] = self._queued[name] = now

    def _run(self, name: str, now: Running | None) -> None:
        before = self._running.pop(name, None)
        if now is not None:
            self._running[name] = now
        if now == before:
            return
        self.changed = self.changed or not _only_settles(before, now)
        if before is not None and self._started.pop(name, None) is None:
            self._left[name] = before
        if now is not None:
            self._started[name] = now

    def _forget(self, record: Record) -> None:
        """Let go of a final record, and of those before it that nobody else comes after."""
        if self._predicts and record.state is State.SUCCEEDED and record.at.running is not None and record.at.ended:
            ran_s = max(0.0, record.at.ended - record.at.running)
            run = Run(owner_of(record.spec), ran_s, record.spec.walltime_s)
            self._runs = self._runs.after(run)
            self._new_runs.append(run)
        for first in record.spec.after:
            others = self._dependents.get(first, set())
            others.discard(record.name)
            if not others:
                self._dependents.pop(first, None)
                if first in self.records and self.records[first].state.final:
                    del self.records[first]
        self._told.pop(record.name, None)
        self._since.pop(record.name, None)
        if record.name not in self._dependents:
            self.records.pop(record.name, None)


def _leaving(cluster: str) -> str:
    """Under which name a cluster that leaves is in the snapshot."""
    return f"{cluster} (leaving)"


def _ended_at(old: Record, record: Record) -> float:
    """When the attempt of `old` ended, before which `record` is: its start and what it ran since then."""
    began = old.at.running or old.at.granted or old.at.submitted
    return began + record.ran_s - old.ran_s


def _only_settles(before: Running | None, now: Running | None) -> bool:
    """Whether all that is new of work is that it runs, when and where it was to; who cannot be resized is as before."""
    if before is None or now is None or now.elastic is not None or before.settled == now.settled:
        return False
    return replace(before, settled=now.settled, told=now.told) == now
