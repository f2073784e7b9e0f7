"""What follows for one workload from what is seen of its cluster."""

from dataclasses import replace

import pytest

from fabric.scheduler.life import absent, advance
from fabric.scheduler.ports import ClusterView, Outcome, Phase
from fabric.workloads.record import Grant, Instants, Record
from fabric.workloads.spec import Group, ServiceSpec, WorkloadSpec
from fabric.workloads.states import MOVES, State, move
from tests.builders import job, piece, record

GRANT = Grant((piece("c0", head=True),), "workers: 1 on c0")


def active(state: State, **more: object) -> Record:
    """A record with a grant in `state`."""
    return replace(record(job(max_failures=1)), state=state, grant=GRANT, **more)  # type: ignore[arg-type]


def seen(phase: Phase = Phase.READY, outcome: Outcome = Outcome.NONE, **more: object) -> ClusterView:
    """The view of its cluster."""
    return ClusterView("job-1", phase, outcome, **more)  # type: ignore[arg-type]


SUCCEEDED_THEN_LOST = seen(Phase.BROKEN, Outcome.SUCCEEDED)
LOG_GROWS = seen(outcome=Outcome.SUCCEEDED, logs_complete=False)


@pytest.mark.parametrize(
    ("sentence", "before", "view", "after"),
    [
        ("a recorded grant is acted on", State.PLACING, absent("job-1"), State.STARTING),
        ("it starts until its entrypoint runs", State.STARTING, seen(Phase.STARTING), State.STARTING),
        ("a joined cluster alone is not running", State.STARTING, seen(), State.STARTING),
        ("it runs when its entrypoint does", State.STARTING, seen(outcome=Outcome.RUNNING), State.RUNNING),
        ("a quick entrypoint has ended at once", State.STARTING, seen(outcome=Outcome.SUCCEEDED), State.SUCCEEDED),
        ("a cluster that cannot start is given up", State.STARTING, seen(Phase.BROKEN), State.RECOVERING),
        ("a lost node loses the attempt", State.RUNNING, seen(Phase.BROKEN, Outcome.RUNNING), State.RECOVERING),
        ("a vanished cluster loses the attempt", State.RUNNING, absent("job-1"), State.RECOVERING),
        ("success is final", State.RUNNING, seen(outcome=Outcome.SUCCEEDED), State.SUCCEEDED),
        ("a failing entrypoint is not tried again", State.RUNNING, seen(outcome=Outcome.FAILED), State.FAILED),
        ("success counts if the node is lost after it", State.RUNNING, SUCCEEDED_THEN_LOST, State.SUCCEEDED),
        ("the end waits for the last byte of the log", State.RUNNING, LOG_GROWS, State.RUNNING),
        ("a lost cluster goes before the next attempt", State.RECOVERING, seen(Phase.LEAVING), State.RECOVERING),
        ("then the next attempt waits its turn", State.RECOVERING, absent("job-1"), State.QUEUED),
        ("stopping waits for the entrypoint", State.STOPPING, seen(outcome=Outcome.RUNNING), State.STOPPING),
        ("a stopped entrypoint is cancelled", State.STOPPING, seen(outcome=Outcome.STOPPED), State.CANCELLED),
        ("success while asked to stop is success", State.STOPPING, seen(outcome=Outcome.SUCCEEDED), State.SUCCEEDED),
    ],
)  # fmt: skip
def test_a_step_of_life(sentence: str, before: State, view: ClusterView, after: State) -> None:
    assert advance(active(before), view, 5.0, 1.0).state is after, sentence


def test_how_long_attempts_ran_is_added_up() -> None:
    began = replace(active(State.RECOVERING), at=Instants(0.0, running=2.0), ran_s=10.0)
    assert advance(began, absent("job-1"), 5.0, 1.0).ran_s == 13.0
    left = replace(active(State.DRAINING), at=Instants(0.0, running=2.0))
    assert advance(left, absent("job-1"), 9.0, 1.0).ran_s == 7.0
    never = replace(active(State.RECOVERING), ran_s=10.0)
    assert advance(never, absent("job-1"), 5.0, 1.0).ran_s == 10.0


def test_lost_attempts_are_counted_and_limited() -> None:
    first = advance(active(State.RECOVERING, message="slice a lost"), absent("job-1"), 5.0, 1.0)
    assert (first.state, first.attempt, first.failures, first.grant) == (State.QUEUED, 2, 1, None)
    assert "attempt 1 lost (slice a lost)" in first.message
    again = replace(first, state=State.RECOVERING, message="slice b lost")
    last = advance(again, absent("job-2"), 9.0, 1.0)
    assert last.state is State.FAILED
    assert last.message == "failed after 2 lost attempts (max_failures 1): slice b lost"


def test_a_queued_workload_is_cancelled_at_once_when_asked() -> None:
    asked = replace(record(), stop_requested=True, stop_reason="stopped by Ada")
    ended = advance(asked, absent("job-1"), 7.0, 1.0)
    assert (ended.state, ended.message, ended.at.ended) == (State.CANCELLED, "stopped by Ada", 7.0)


def test_the_walltime_ends_a_job_within_its_grace() -> None:
    spec = job(walltime_s=100.0)
    busy = replace(record(spec), state=State.RUNNING, grant=GRANT, at=Instants(0.0, running=10.0))
    view = seen(outcome=Outcome.RUNNING)
    assert advance(busy, view, 99.0, 10.0).state is State.RUNNING
    stopping = advance(busy, view, 100.0, 10.0)
    assert stopping.state is State.STOPPING
    failed = advance(stopping, seen(outcome=Outcome.STOPPED), 101.0, 10.0)
    assert failed.state is State.FAILED
    assert failed.message == "failed (walltime): walltime of 100 s is over"


def test_a_demand_above_the_grant_shows_and_goes() -> None:
    busy = active(State.RUNNING, message="running")
    told = advance(busy, seen(outcome=Outcome.RUNNING, unmet="asks Ray for 8 GPU"), 5.0, 1.0)
    assert told.message == "asks Ray for 8 GPU"
    assert advance(told, seen(outcome=Outcome.RUNNING), 6.0, 1.0).message == "running"


def test_a_service_is_ready_while_it_answers() -> None:
    spec = WorkloadSpec(name="s", kind="service", groups=(Group(),), service=ServiceSpec(model="m"))
    up = replace(record(spec), state=State.RUNNING, grant=GRANT)
    ready = advance(up, seen(outcome=Outcome.RUNNING, endpoint="http://h"), 5.0, 1.0)
    assert ready.condition == "ready"
    assert advance(ready, seen(outcome=Outcome.RUNNING), 6.0, 1.0).condition == "degraded"


def test_only_the_moves_of_the_table_exist() -> None:
    for old in State:
        for new in State:
            if new in MOVES[old]:
                assert move(old, new) is new
            else:
                with pytest.raises(Exception, match="cannot become"):
                    move(old, new)


def test_a_service_that_answers_at_once_is_ready_at_once() -> None:
    spec = WorkloadSpec(kind="service", service=ServiceSpec(model="m"), groups=(Group(),))
    starting = replace(record(spec), state=State.STARTING, grant=GRANT)
    view = replace(seen(outcome=Outcome.RUNNING, endpoint="http://127.0.0.1:1"), name=starting.cluster)
    after = advance(starting, view, 5.0, 1.0)
    assert (after.state, after.condition) == (State.RUNNING, "ready")
