"""The loop: observe, decide, record, act. The live fabric and the simulator run this same one.

Knows nothing of the real clock, of threads or of HTTP.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fabric.core.clock import Clock
from fabric.core.errors import FabricError, Unavailable
from fabric.core.resources import Resources
from fabric.scheduler.cycle import decide
from fabric.scheduler.life import advance, fail_if_in_vain, view_of
from fabric.scheduler.plan import Place, Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import Backend, Blueprint, ClusterView, Outcome, Phase, Records
from fabric.scheduler.snapshot import Running, snapshot
from fabric.workloads.record import Event, Grant, Instants, Record
from fabric.workloads.states import State


@dataclass(frozen=True, slots=True)
class Settings:
    """What the loop is told once."""

    head: Resources
    """What a Ray head of its own is charged."""
    grace_s: float
    """Seconds between a notice and the kill."""
    policy: Policy


class Loop:
    """Brings what exists towards what is recorded, one step at a time."""

    def __init__(
        self, records: Records, backend: Backend, blueprint: Blueprint, *, clock: Clock, settings: Settings
    ) -> None:
        self._records = records
        self._backend = backend
        self._blueprint = blueprint
        self._clock = clock
        self._settings = settings
        self.last_plan = Plan(())

    def step(self) -> bool:
        """Observe, decide, record, act.

        Returns:
            Whether anything is on its way, so that the next step should be soon.
        """
        now = self._clock.now()
        views = self._backend.observe()
        before = self._records.active()
        after = {name: self._advance(record, views, now) for name, record in before.items()}
        after = {name: fail_if_in_vain(record, after, now) for name, record in after.items()}
        after = self._place(after, self._leaving(after, views, now), now)
        self._record(before, after, now)
        self._act(after, views)
        return any(_restless(record, view_of(record, views)) for record in after.values())

    def _advance(self, record: Record, views: Mapping[str, ClusterView], now: float) -> Record:
        return advance(record, view_of(record, views), now, self._settings.grace_s)

    def _leaving(
        self, records: Mapping[str, Record], views: Mapping[str, ClusterView], now: float
    ) -> tuple[Running, ...]:
        """Clusters that no record holds any more: what they occupy is free once they are gone, any moment now."""
        holding = {(r.cluster, r.at.submitted) for r in records.values() if r.state.holds_grant}
        gone = [view for _, view in sorted(views.items()) if (view.name, view.born) not in holding]
        return tuple(Running(view.name, Grant(view.held), now) for view in gone)

    def _place(self, records: dict[str, Record], leaving: tuple[Running, ...], now: float) -> dict[str, Record]:
        """Decide who starts, and write the answer into the records."""
        world = snapshot(records, self._backend.nodes(), self._settings.head, leaving)
        self.last_plan = decide(world, self._settings.policy, now)
        changed = dict(records)
        for action in self.last_plan.actions:
            record = records[action.workload]
            if isinstance(action, Place):
                at = Instants(record.at.submitted, granted=now)
                changed[record.name] = record.to(
                    State.PLACING, grant=action.grant, at=at, message=f"granted {action.grant.reason}",
                    waits_for="", expected_start=None,
                )  # fmt: skip
            else:
                changed[record.name] = replace(record, waits_for=action.reason, expected_start=action.expected_start)
        return changed

    def _record(self, before: Mapping[str, Record], after: Mapping[str, Record], now: float) -> None:
        """Write what changed, before anything is done about it."""
        changes = [record for name, record in after.items() if record != before[name]]
        moved = [record for record in changes if _tells(before[record.name], record)]
        events = [Event(r.name, now, r.state, r.message, r.attempt) for r in moved]
        if changes:
            self._records.save(changes, events)

    def _act(self, records: Mapping[str, Record], views: Mapping[str, ClusterView]) -> None:
        """Make the difference; every call is idempotent, so the same may be asked again next time."""
        wanted = {(record.cluster, record.at.submitted) for record in records.values() if record.state.holds_grant}
        for name, view in views.items():
            if (name, view.born) not in wanted:
                self._backend.remove(name)
        for record in records.values():
            if record.state in {State.PLACING, State.STARTING, State.RUNNING}:
                self._realise(record)
            elif record.state is State.STOPPING:
                self._end(record, view_of(record, views))
            elif record.state is State.RECOVERING:
                self._backend.remove(record.cluster)

    def _realise(self, record: Record) -> None:
        try:
            self._backend.realise(self._blueprint.wanted(record))
        except Unavailable:
            return  # what it needs does not answer yet; the next step asks again
        except FabricError as error:
            if record.stop_requested:
                return
            now = self._clock.now()
            failed = replace(record, stop_reason=f"cannot start: {error.message}", message=error.message)
            stopping = failed.to(State.STOPPING)
            ended = stopping.to(
                State.FAILED, at=replace(record.at, ended=now), message=f"cannot start: {error.message}"
            )
            self._records.save([ended], [Event(ended.name, now, ended.state, ended.message, ended.attempt)])

    def _end(self, record: Record, view: ClusterView) -> None:
        """Ask the entrypoint to leave while there is, or may be, one; otherwise take the cluster away."""
        if record.spec.kind == "job" and view.outcome in _MAY_RUN:
            self._backend.stop(record.cluster, self._settings.grace_s)
        elif view.phase is not Phase.ABSENT:
            self._backend.remove(record.cluster)


_MAY_RUN = {Outcome.UNKNOWN, Outcome.PENDING, Outcome.RUNNING}


def _tells(old: Record, new: Record) -> bool:
    """Whether a change is worth a line of history."""
    return (old.state, old.attempt, old.message, old.condition) != (new.state, new.attempt, new.message, new.condition)


def _restless(record: Record, view: ClusterView) -> bool:
    """Whether a workload is between two lasting states."""
    if record.state in {State.QUEUED, State.RUNNING} or record.state.final:
        return view.phase is Phase.LEAVING
    return True
