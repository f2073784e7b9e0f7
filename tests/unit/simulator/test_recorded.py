"""What records of a live run become: a scenario that happens in the same way, or a sentence about what is missing."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fabric.api.admin import ProgressView
from fabric.config.load import decode
from fabric.control.views import event_view, workload_view
from fabric.core.errors import BadConfig, BadInput
from fabric.scheduler.policy import Policy
from fabric.simulator.engine import Engine
from fabric.simulator.recorded import RecordedRun, RecordedWorkload, attempts_of, num_preempted, scenario_of
from fabric.simulator.report import Start, report_of
from fabric.simulator.scenario import Scenario, simulate
from fabric.simulator.truth import compare, promises_of
from fabric.workloads.record import Event, Instants, Record
from fabric.workloads.spec import Priority, WorkloadSpec
from fabric.workloads.states import State
from tests.builders import job, tiny_site
from tests.unit.simulator.test_scenario import GPU, arrival, scenario, service

EPOCH = 1000.0
"""When the live runs of these tests begin."""
ALL = {"groups": [{**GPU, "gpus": 2.0}]}
CLEANUP_S = 2.0
TIMES = {"staging_s": 4.0, "leaves_s": 1.0, "cleanup_s": CLEANUP_S}


def run(what: Scenario) -> Engine:
    return simulate(what, tiny_site(), Policy(), 0)


def starts(done: Engine) -> tuple[Start, ...]:
    return report_of(done.records.kept.values(), done.cluster.nodes(), events=done.records.events).starts


def recorded(done: Engine) -> RecordedRun:
    """The records that a live fabric would have of a run in which every clean-up took `CLEANUP_S`."""
    gone, works = {}, []
    for name, record in done.records.kept.items():
        submitted = Event(name, record.at.submitted, State.QUEUED, "submitted")
        events = [submitted, *(event for event in done.records.events if event.workload == name)]
        works.append(_told(record, events))
        for attempt in attempts_of(works[-1]):
            direct = record.spec.kind == "service" or (attempt.running is None and attempt.asked is not None)
            left = attempt.asked if direct and attempt.asked is not None else attempt.ended
            gone[f"{name}-{attempt.number}"] = left + CLEANUP_S
    return RecordedRun(workloads=tuple(works), gone_at=gone)


def _told(record: Record, events: list[Event]) -> RecordedWorkload:
    """As if everything had happened after `EPOCH`."""
    at = record.at
    later = Instants(EPOCH + at.submitted, _later(at.granted), None, _later(at.running), _later(at.ended))
    record = replace(record, at=later, promised_start=_later(record.promised_start))
    view = workload_view(record, ProgressView(), None)
    history = tuple(event_view(replace(event, at=EPOCH + event.at)) for event in events)
    return RecordedWorkload(spec=record.spec, view=view, events=history)


def _later(at: float | None) -> float | None:
    return None if at is None else EPOCH + at


MIXED = scenario(
    arrival("left", workload={**ALL, "priority": "harvest"}, attempts=[TIMES]),
    arrival("a", at_s=20.0, workload=ALL, attempts=[{**TIMES, "staging_s": 7.0}]),
    arrival("b", at_s=21.0, runs_s=30.0, attempts=[TIMES], fails=True),
    arrival("c", at_s=22.0, attempts=[TIMES], workload={"after": ["a"]}),
    arrival("cancelled", at_s=23.0, stops_at_s=40.0, workload=ALL),
    arrival("ended", at_s=24.0, runs_s=None, stops_at_s=400.0, attempts=[TIMES], workload={"walltime_s": 1000.0}),
    service("chat", at_s=30.0, stops_at_s=200.0, attempts=[{**TIMES, "leaves_s": 0.0}]),
)


def test_what_was_recorded_happens_again() -> None:
    first = run(MIXED)
    told = recorded(first)
    again = run(scenario_of(told, site="site.yaml"))
    assert num_preempted(told) == 1
    assert starts(again) == starts(first)
    assert {name: (r.state, r.at.ended) for name, r in again.records.kept.items()} == {
        name: (r.state, r.at.ended) for name, r in first.records.kept.items()
    }
    truth = compare(told, starts(again))
    assert (truth.swapped, truth.unmatched, truth.median_error) == ((), (), 0.0)


JOBS = st.lists(
    st.tuples(
        st.integers(0, 200), st.integers(5, 60), st.sampled_from([1.0, 2.0]), st.sampled_from(list(Priority)),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=8,
)  # fmt: skip
"""Submission, run time, GPUs, class and staging."""


@given(JOBS)
@example([(0, 9, 2.0, Priority.HARVEST, 1), (1, 5, 2.0, Priority.BATCH, 0)])
@settings(max_examples=25, deadline=None)
@pytest.mark.slow
def test_any_mix_of_jobs_happens_again(drawn: list[tuple[int, int, float, Priority, int]]) -> None:
    arrivals = [
        arrival(
            f"w{number}", float(runs_s), at_s=float(at),
            workload={"groups": [{**GPU, "gpus": gpus}], "priority": str(priority)},
            attempts=[{"staging_s": float(staging_s), "leaves_s": 1.0, "cleanup_s": CLEANUP_S}],
        )
        for number, (at, runs_s, gpus, priority, staging_s) in enumerate(drawn)
    ]  # fmt: skip
    first = run(scenario(*arrivals))
    told = recorded(first)
    again = starts(run(scenario_of(told, site="site.yaml")))
    began = min(at for at, *_ in drawn)
    assert [(s.workload, s.attempt, s.at_s + began) for s in again] == [
        (s.workload, s.attempt, s.at_s) for s in starts(first)
    ]


def history(*moves: tuple[float, State], spec: WorkloadSpec | None = None) -> RecordedWorkload:
    """A workload with this history, all of it in the first attempt."""
    spec = spec or job("a")
    state = moves[-1][1]
    at = {state: at for at, state in reversed(moves)}
    instants = Instants(0.0, at.get(State.PLACING), None, at.get(State.RUNNING), moves[-1][0] if state.final else None)
    events = [Event("a", 0.0, State.QUEUED, "submitted"), *(Event("a", at, state, "") for at, state in moves)]
    return _told(Record("a", spec, state, instants), events)


def test_what_an_attempt_took_is_told_apart() -> None:
    work = history((3.0, State.PLACING), (3.5, State.STARTING), (9.0, State.RUNNING), (30.0, State.SUCCEEDED))
    (found,) = scenario_of(RecordedRun(workloads=(work,), gone_at={"a-1": EPOCH + 31.25}), site="s").arrivals
    assert (found.at_s, found.runs_s, found.fails) == (0.0, 21.0, False)
    (attempt,) = found.attempts
    assert (attempt.staging_s, attempt.leaves_s, attempt.cleanup_s) == (6.0, 0.0, 1.25)


def test_one_that_ends_in_the_turn_in_which_it_is_seen_running_ran_for_no_time_that_can_be_played() -> None:
    work = history((3.0, State.PLACING), (9.0, State.SUCCEEDED))
    with pytest.raises(BadInput, match="never ran"):
        scenario_of(RecordedRun(workloads=(work,), gone_at={"a-1": EPOCH + 10.0}), site="s")


@pytest.mark.parametrize(
    ("moves", "gone_at", "says"),
    [
        (((3.0, State.PLACING), (9.0, State.RUNNING)), {}, "a is running"),
        (((3.0, State.PLACING), (9.0, State.RUNNING), (20.0, State.SUCCEEDED)), {}, "nobody saw when cluster a-1"),
        (
            ((3.0, State.PLACING), (4.0, State.STARTING), (5.0, State.RECOVERING), (9.0, State.FAILED)),
            {"a-1": EPOCH + 9.0},
            "lost attempt 1",
        ),
        (
            ((3.0, State.PLACING), (9.0, State.RUNNING), (20.0, State.STOPPING), (21.0, State.FAILED)),
            {"a-1": EPOCH + 22.0},
            "ended by its walltime",
        ),
        (((3.0, State.FAILED),), {}, "never ran"),
    ],
)
def test_a_run_that_cannot_be_played_is_refused(
    moves: tuple[tuple[float, State], ...], gone_at: dict[str, float], says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        scenario_of(RecordedRun(workloads=(history(*moves),), gone_at=gone_at), site="s")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"workloads": [], "gone_at": {}}, "workloads"),
        ({"workloads": [{"spec": {}}], "gone_at": {}}, "view"),
        ({"gone_at": {}, "site": "x"}, "unknown key"),
    ],
)
def test_a_file_that_holds_no_run_is_refused(document: dict[str, Any], says: str) -> None:
    with pytest.raises(BadConfig, match=says):
        decode(RecordedRun, document, "live.json")


def waits(name: str, queued: float, granted: float, **more: Any) -> RecordedWorkload:
    """A workload that waited and ran."""
    spec = job(name, priority=more.pop("priority", Priority.BATCH))
    at = Instants(queued, granted, None, granted + 5.0, granted + 9.0)
    moves = ((queued, State.QUEUED), (granted, State.PLACING), (granted + 5.0, State.RUNNING))
    events = [Event(name, at, state, "") for at, state in (*moves, (granted + 9.0, State.SUCCEEDED))]
    return _told(Record(name, spec, State.SUCCEEDED, at, **more), events)


LIVE = RecordedRun(workloads=(waits("a", 0.0, 0.2), waits("b", 1.0, 21.0), waits("c", 2.0, 22.0)), gone_at={})


def test_an_error_is_a_share_of_the_wait_or_of_a_beat() -> None:
    found = compare(LIVE, [Start("a", 1, 0.0), Start("b", 1, 23.0), Start("c", 1, 22.0)])
    assert [round(pair.error, 6) for pair in found.pairs] == [0.2, 0.1, 0.0]
    assert found.median_error == pytest.approx(0.1)


def test_starts_that_were_a_beat_apart_are_a_tie_and_others_are_not() -> None:
    assert compare(LIVE, [Start("a", 1, 0.0), Start("c", 1, 20.0), Start("b", 1, 21.0)]).swapped == ()
    ((first, second),) = compare(LIVE, [Start("b", 1, 0.0), Start("a", 1, 0.5), Start("c", 1, 22.0)]).swapped
    assert (first.workload, second.workload) == ("a", "b")


def test_starts_of_only_one_run_are_named() -> None:
    found = compare(LIVE, [Start("a", 1, 0.2), Start("a", 2, 9.0), Start("b", 1, 21.0)])
    assert found.unmatched == (("a", 2), ("c", 1))


def test_a_promise_is_told_with_the_more_urgent_work_that_came_meanwhile() -> None:
    urgent = waits("urgent", 5.0, 6.0, priority=Priority.INTERACTIVE)
    works = (
        waits("a", 0.0, 0.2),
        waits("b", 1.0, 21.0, promised_start=18.0),
        waits("c", 6.0, 22.0, promised_start=30.0),
    )
    first, second = promises_of(RecordedRun(workloads=(*works, urgent), gone_at={}))
    assert (first.workload, first.late_s, first.passed_by) == ("b", 3.0, ("urgent",))
    assert (second.workload, second.late_s, second.passed_by) == ("c", -8.0, ())
