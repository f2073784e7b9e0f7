"""What follows for one workload from what is seen of its cluster: a pure step of its life.

Knows nothing of queues or placement; `cycle` decides those.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fabric.scheduler.ports import ClusterView, Outcome, Phase
from fabric.scheduler.snapshot import Told
from fabric.workloads.record import Instants, Record
from fabric.workloads.states import RUN_AGAIN, State


def advance(record: Record, view: ClusterView, now: float, grace_s: float, *, told: Told | None = None) -> Record:
    """The record after looking at its cluster once; the same record if nothing changed.

    Args:
        record: As stored.
        view: Its present attempt's cluster; phase `absent` if there is none.
        now: Seconds since the epoch.
        grace_s: Seconds between a notice and the kill.
        told: What it says of itself.
    """
    if record.target is not None and record.state is State.RESIZING and _has_let_go(record, now, told):
        record = replace(record, grant=record.target, target=None, leave_by=None, generation=record.generation + 1)
    if record.stop_requested and record.state is not State.STOPPING and not record.state.final:
        return _stop(record, now, record.stop_reason or "stopped by request")
    step = _STEPS.get(record.state)
    return step(record, view, now, grace_s) if step else record


def fail_if_in_vain(record: Record, records: Mapping[str, Record], now: float) -> Record:
    """The record, failed if it is queued behind a job that ended without success."""
    if record.state is not State.QUEUED:
        return record
    for name in record.spec.after:
        first = records.get(name)
        if first and first.state.final and first.state is not State.SUCCEEDED:
            message = f"comes after {name}, which {_ENDED[first.state]}; submit both again"
            return record.to(State.FAILED, message=message, at=replace(record.at, ended=now))
    return record


_ENDED = {State.FAILED: "failed", State.CANCELLED: "was cancelled"}


def _stop(record: Record, now: float, reason: str) -> Record:
    """Begin to end: at once where nothing is held."""
    if record.state is State.QUEUED:
        return record.to(State.CANCELLED, message=reason, stop_reason=reason, at=replace(record.at, ended=now))
    return record.to(State.STOPPING, message=reason, stop_reason=reason)


def _placing(record: Record, view: ClusterView, now: float, grace_s: float) -> Record:
    return record.to(State.STARTING, message=f"starting on {record.grant.reason if record.grant else 'nothing'}")


def _starting(record: Record, view: ClusterView, now: float, grace_s: float) -> Record:
    if view.phase is Phase.BROKEN:
        return record.to(State.RECOVERING, message=view.problem)
    at = record.at
    if view.phase is Phase.READY and at.cluster_ready is None:
        record = replace(record, at=replace(at, cluster_ready=now), message="every slice has joined")
    if view.outcome is Outcome.RUNNING or view.outcome.ended:
        running = record.to(State.RUNNING, at=replace(record.at, running=now), message=view.message or "running")
        return _running(running, view, now, grace_s) if view.outcome.ended else _condition(running, view)
    return record


def _running(record: Record, view: ClusterView, now: float, grace_s: float) -> Record:
    if view.outcome.ended and view.logs_complete:
        return _ended(record, view, now)
    if view.phase in {Phase.BROKEN, Phase.ABSENT} and not view.outcome.ended:
        return record.to(State.RECOVERING, message=view.problem or "its Ray cluster is gone")
    ends = _end_of_walltime(record)
    if ends is not None and now >= ends - grace_s:
        reason = f"walltime of {record.spec.walltime_s:g} s is over"
        return record.to(State.STOPPING, message=reason, stop_reason=reason)
    return _condition(record, view)


def _resizing(record: Record, view: ClusterView, now: float, grace_s: float) -> Record:
    """Runs again once its cluster is what its grant says."""
    if record.target is None and view.phase is Phase.READY and view.generation >= record.generation:
        group = record.spec.elastic or record.spec.replicas
        size = record.grant.size(group.name) if record.grant and group else 0
        at = replace(record.at, resized=now)
        return _running(record.to(State.RUNNING, at=at, message=f"runs with {size} workers"), view, now, grace_s)
    return _running(record, view, now, grace_s)


def _has_let_go(record: Record, now: float, told: Told | None) -> bool:
    """Whether a shrinking workload uses no more than it keeps, or its time is over; replicas of a service need none."""
    elastic = record.spec.elastic
    if record.spec.kind == "service" or elastic is None or record.target is None:
        return True
    said = told is not None and told.attempt == record.attempt and told.workers == record.target.size(elastic.name)
    return said or (record.leave_by is not None and now >= record.leave_by)


def _draining(record: Record, view: ClusterView, now: float, grace_s: float) -> Record:
    """Queued again once what ran has left and its output is copied; who ended well before he had to go has ended."""
    if view.outcome is Outcome.SUCCEEDED and view.logs_complete:
        return _ended(record, view, now)
    left = view.outcome.ended and view.logs_complete
    if not left and view.phase not in {Phase.ABSENT, Phase.BROKEN}:
        return record
    return preempted(record, record.message, now)


def preempted(record: Record, why: str, now: float) -> Record:
    """The record, queued for another attempt that is nobody's failure."""
    return record.to(
        State.QUEUED,
        preemptions=record.preemptions + 1,
        message=f"attempt {record.attempt} left ({why}); attempt {record.attempt + 1} continues from the last "
        "checkpoint, if there is one",
        **_next_attempt(record, now),
    )


def _next_attempt(record: Record, now: float) -> dict[str, Any]:
    """What is new of a record that waits for another attempt."""
    since = record.at.running
    return {
        "ran_s": record.ran_s + (max(0.0, now - since) if since is not None else 0.0),
        "attempt": record.attempt + 1,
        "generation": record.generation + 1,
        "grant": None,
        "target": None,
        "leave_by": None,
        "condition": "",
        "promised_start": None,
        "passed": 0,
        "at": Instants(record.at.submitted),
    }


def _condition(record: Record, view: ClusterView) -> Record:
    """What people see of work that goes on: a service's readiness, a demand that cannot be met."""
    condition = record.condition
    if record.spec.kind == "service":
        condition = "ready" if view.endpoint else "degraded"
    message = view.unmet or (record.message if not record.message.startswith(_UNMET) else "running")
    if (condition, message) == (record.condition, record.message):
        return record
    return replace(record, condition=condition, message=message)


_UNMET = "asks Ray for"
"""How a message about a demand above the grant begins."""


def _ended(record: Record, view: ClusterView, now: float) -> Record:
    if view.exit_code == RUN_AGAIN:
        return record.to(State.RECOVERING, message=f"its entrypoint left early (exit code {RUN_AGAIN})")
    state = {Outcome.SUCCEEDED: State.SUCCEEDED, Outcome.STOPPED: State.FAILED}.get(view.outcome, State.FAILED)
    at = replace(record.at, ended=now)
    return record.to(state, at=at, message=view.message or str(state), exit_code=view.exit_code, condition="")


def _recovering(record: Record, view: ClusterView, now: float, grace_s: float) -> Record:
    """The lost attempt's cluster goes first; then the next attempt waits its turn, unless there were too many."""
    if view.phase is not Phase.ABSENT:
        return record
    failures = record.failures + 1
    if failures > record.spec.max_failures:
        message = f"failed after {failures} lost attempts (max_failures {record.spec.max_failures}): {record.message}"
        return record.to(State.FAILED, failures=failures, message=message, at=replace(record.at, ended=now), grant=None)
    return record.to(
        State.QUEUED,
        failures=failures,
        message=f"attempt {record.attempt} lost ({record.message}); "
        f"attempt {record.attempt + 1} continues from the last checkpoint, if there is one",
        **_next_attempt(record, now),
    )


def _stopping(record: Record, view: ClusterView, now: float, grace_s: float) -> Record:
    ended = view.outcome.ended and view.logs_complete
    if not ended and view.phase not in {Phase.ABSENT, Phase.BROKEN}:
        return record
    at = replace(record.at, ended=now)
    if view.outcome is Outcome.SUCCEEDED:
        return record.to(State.SUCCEEDED, at=at, message=view.message, exit_code=view.exit_code)
    by_walltime = record.stop_reason.startswith("walltime")
    state = State.FAILED if by_walltime else State.CANCELLED
    message = f"failed (walltime): {record.stop_reason}" if by_walltime else record.stop_reason
    return record.to(state, at=at, message=message, condition="")


_STEPS = {
    State.PLACING: _placing,
    State.STARTING: _starting,
    State.RUNNING: _running,
    State.RESIZING: _resizing,
    State.DRAINING: _draining,
    State.RECOVERING: _recovering,
    State.STOPPING: _stopping,
}


def _end_of_walltime(record: Record) -> float | None:
    if record.spec.walltime_s is None or record.at.running is None:
        return None
    return record.at.running + record.spec.walltime_s


def absent(name: str) -> ClusterView:
    """The view of a cluster of which nothing exists."""
    return ClusterView(name, Phase.ABSENT)


def view_of(record: Record, views: Mapping[str, ClusterView]) -> ClusterView:
    """What is seen of a record's present attempt; the cluster of an earlier workload of its name is somebody else's."""
    view = views.get(record.cluster)
    return view if view is not None and view.born == record.at.submitted else absent(record.cluster)
