"""What the loop remembers between steps: active records, and the snapshot that follows from them.

Knows nothing of where changes come from. A change costs what it touches, not what there is.
"""

from collections.abc import Mapping
from dataclasses import replace

from fabric.core.resources import Resources
from fabric.scheduler.estimates import Run, Runs, estimate, owner_of
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
from fabric.workloads.record import Grant, Record, Slice
from fabric.workloads.states import State


class World:
    """Active records by name, and the same as a snapshot, equal to one made from scratch after any changes."""

    def __init__(
        self,
        records: Mapping[str, Record],
        nodes: tuple[Node, ...],
        head: Resources,
        claims: tuple[Claim, ...] = (),
        *,
        predicts: bool = False,
    ) -> None:
        self.records: dict[str, Record] = {}
        self.by_cluster: dict[str, str] = {}
        """Names by the cluster that each one should have now."""
        self.changed = True
        """Whether the snapshot changed since `looked_at` was last called."""
        self._nodes, self._head, self._claims = nodes, head, claims
        self._running: dict[str, Running] = {}
        self._waiting: dict[str, Waiting] = {}
        self._dependents: dict[str, set[str]] = {}
        self._promised: set[str] = set()
        self._told: dict[str, Told] = {}
        self._predicts, self._runs = predicts, Runs()
        self._left: dict[str, Running] = {}
        self._started: dict[str, Running] = {}
        self._unqueued: dict[str, Waiting] = {}
        self._queued: dict[str, Waiting] = {}
        self._snapshot = Snapshot.of(nodes, head=head, claims=claims)
        for record in records.values():
            self._take_in(record)
        for record in records.values():
            self._follow(None, record)

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
        if record.state.final:
            self._forget(record)

    def told(self, name: str) -> Told | None:
        """What a workload last said of itself."""
        return self._told.get(name)

    def tell(self, name: str, told: Told) -> bool:
        """Take in what running work says of itself.

        Returns:
            Whether that is news. Only another demand is a change of the world: how far work is changes all the time.
        """
        before, record = self._told.get(name), self.records.get(name)
        if record is None or told == before:
            return False
        self._told[name] = told
        changed = self.changed
        self._follow(record, record)
        self.changed = changed or before is None or before.demand != told.demand
        return True

    def move_nodes(self, nodes: tuple[Node, ...]) -> None:
        """Take in nodes that came, left or changed state; promises rest on nodes, so they are made anew."""
        if nodes == self._nodes:
            return
        self._nodes, self.changed = nodes, True
        self._waiting = {name: replace(work, promise=None) for name, work in self._waiting.items()}
        self._left, self._started, self._unqueued, self._queued = {}, {}, {}, {}
        waiting, running = self._waiting.values(), self._running.values()
        self._snapshot = Snapshot.of(nodes, running, waiting, head=self._head, claims=self._claims)

    def promises(self) -> dict[str, Promise]:
        """What is set aside for those who wait."""
        return {name: work.promise for name, work in self._waiting.items() if work.promise}

    def keep_promises(self, promises: Mapping[str, Promise]) -> None:
        """Remember what a plan set aside, and nothing else, for the next decision; that is no change of the world."""
        for name in self._promised | promises.keys():
            work, promise = self._waiting.get(name), promises.get(name)
            if work is not None and work.promise != promise:
                self._wait(name, replace(work, promise=promise))
        self._promised = set(promises)

    def born(self, cluster: str) -> float | None:
        """When the workload was submitted that should have a cluster of that name; None if none should."""
        name = self.by_cluster.get(cluster)
        return None if name is None else self.records[name].at.submitted

    def hold(self, cluster: str, slices: tuple[Slice, ...], now: float) -> None:
        """Count what the processes of a cluster occupy that no record holds any more; nothing once it is gone."""
        name = f"{cluster} (leaving)"
        known = self._running.get(name)
        if known is None and not slices:
            return
        if known is None or known.grant.slices != slices:
            self._run(name, Running(name, Grant(slices), now) if slices else None)

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
            expected_s = self._expected(record) if queued and self._predicts else None
            now = waiting_of(record, self.records, promise, expected_s=expected_s) if queued else None
            if now != known:
                self.changed = True
                self._wait(record.name, now)
        holds = record.grant is not None and record.state.holds_grant
        if holds or record.name in self._running:
            self._run(record.name, running_of(record, self._told.get(record.name)) if holds else None)
        shrinks = f"{record.name} (shrinks)"
        if record.target is not None or shrinks in self._running:
            self._run(shrinks, giving_back(record) if holds else None)

    def _expected(self, record: Record) -> float | None:
        """How long a queued record should run by what is known of earlier ones."""
        return estimate(self._runs, owner_of(record.spec), record.spec.walltime_s).expected_s

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
        self.changed = True
        if before is not None and self._started.pop(name, None) is None:
            self._left[name] = before
        if now is not None:
            self._started[name] = now

    def _forget(self, record: Record) -> None:
        """Let go of a final record, and of those before it that nobody else comes after."""
        if self._predicts and record.state is State.SUCCEEDED and record.at.running is not None and record.at.ended:
            ran_s = max(0.0, record.at.ended - record.at.running)
            self._runs = self._runs.after(Run(owner_of(record.spec), ran_s, record.spec.walltime_s))
        for first in record.spec.after:
            others = self._dependents.get(first, set())
            others.discard(record.name)
            if not others:
                self._dependents.pop(first, None)
                if first in self.records and self.records[first].state.final:
                    del self.records[first]
        self._told.pop(record.name, None)
        if record.name not in self._dependents:
            self.records.pop(record.name, None)
