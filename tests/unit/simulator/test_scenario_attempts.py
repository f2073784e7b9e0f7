"""Scenarios in which clusters take time to start, to leave and to be gone, and in which somebody ends work."""

from typing import Any

from fabric.config.projects import Project, Share
from fabric.scheduler.policy import Policy
from fabric.simulator.engine import Engine
from fabric.simulator.report import Start, report_of
from fabric.simulator.scenario import nodes_of, simulate
from fabric.workloads.record import Event
from fabric.workloads.states import State
from tests.builders import tiny_site
from tests.unit.simulator.test_scenario import GPU, arrival, scenario, service

WIDE = {"groups": [{**GPU, "gpus": 2.0}]}
"""All GPUs of the site."""
HARVEST = {**WIDE, "priority": "harvest"}


def run(*arrivals: dict[str, Any], **more: Any) -> Engine:
    return simulate(scenario(*arrivals, **more), tiny_site(), Policy(), 0)


def moves(done: Engine, name: str) -> list[tuple[float, State]]:
    events: list[Event] = done.records.events
    return [(event.at, event.state) for event in events if event.workload == name]


def test_nodes_are_held_until_the_cluster_is_gone() -> None:
    done = run(arrival("a", workload=WIDE, attempts=[{"cleanup_s": 7.0}]), arrival("b", at_s=1.0, workload=WIDE))
    assert (done.records.kept["a"].at.ended, done.records.kept["b"].at.granted) == (60.0, 67.0)


def test_who_is_asked_to_leave_takes_a_while_and_each_attempt_has_its_own_times() -> None:
    attempts = [{"staging_s": 5.0, "leaves_s": 3.0, "cleanup_s": 2.0}, {"staging_s": 9.0, "cleanup_s": 1.0}]
    done = run(arrival("a", workload=HARVEST, attempts=attempts), arrival("b", at_s=20.0, workload=WIDE))
    assert (20.0, State.DRAINING) in moves(done, "a")
    assert (23.0, State.QUEUED) in moves(done, "a")
    assert done.records.kept["b"].at.granted == 25.0
    again = done.records.kept["a"]
    assert (again.attempt, again.at.granted, again.at.running, again.at.ended) == (2, 85.0, 94.0, 154.0)


def test_who_does_not_leave_is_killed_after_the_grace() -> None:
    slow = arrival("a", workload=HARVEST, attempts=[{"leaves_s": 1000.0}])
    done = simulate(scenario(slow, arrival("b", at_s=20.0, workload=WIDE)), tiny_site(grace_s=4.0), Policy(), 0)
    assert done.records.kept["b"].at.granted == 24.0


def test_who_is_asked_to_leave_while_it_starts_never_runs() -> None:
    attempts = [{"staging_s": 50.0, "cleanup_s": 2.0}, {"staging_s": 5.0}]
    done = run(arrival("a", workload=HARVEST, attempts=attempts), arrival("b", at_s=20.0, workload=WIDE))
    assert done.records.kept["b"].at.granted == 22.0
    assert [at for at, state in moves(done, "a") if state is State.RUNNING] == [82.0 + 5.0]


def test_a_service_that_somebody_stops_frees_its_nodes_after_its_clean_up() -> None:
    chat = service("chat", stops_at_s=30.0, attempts=[{"staging_s": 4.0, "cleanup_s": 6.0}])
    chat["workload"] |= WIDE
    done = run(chat, arrival("b", at_s=1.0, workload=WIDE))
    assert (done.records.kept["chat"].state, done.records.kept["chat"].at.ended) == (State.CANCELLED, 36.0)
    assert done.records.kept["b"].at.granted == 36.0


def test_somebody_stops_a_job_in_the_queue_and_one_that_runs() -> None:
    first = arrival("a", runs_s=None, stops_at_s=40.0, workload=WIDE, attempts=[{"leaves_s": 2.0, "cleanup_s": 1.0}])
    done = run(first, arrival("b", at_s=1.0, stops_at_s=5.0, workload=WIDE), arrival("c", at_s=2.0, workload=WIDE))
    kept = done.records.kept
    assert {name: (kept[name].state, kept[name].at.ended) for name in "ab"} == {
        "a": (State.CANCELLED, 42.0),
        "b": (State.CANCELLED, 5.0),
    }
    assert kept["c"].at.granted == 43.0


def test_a_node_that_dies_takes_the_next_attempt_only_when_the_cluster_is_gone() -> None:
    loss = {"node": "gpu-0", "at_s": 10.0, "back_s": 11.0}
    done = run(arrival("a", attempts=[{"staging_s": 2.0, "cleanup_s": 8.0}]), losses=[loss])
    again = done.records.kept["a"]
    assert (again.attempt, again.at.granted, again.at.ended) == (2, 18.0, 80.0)


def test_limits_of_the_projects_of_a_site_hold() -> None:
    site = tiny_site(projects=(Project(name="default", limit={"gpu": Share(gpus=1.0)}),))
    done = simulate(scenario(arrival("a"), arrival("b", at_s=1.0)), site, Policy(), 0)
    assert done.records.kept["b"].at.granted == 60.0


def test_the_report_lists_the_starts_of_all_attempts() -> None:
    done = run(arrival("a", workload=HARVEST), arrival("b", at_s=20.0, workload=WIDE))
    found = report_of(done.records.kept.values(), nodes_of(tiny_site()), events=done.records.events)
    assert found.starts == (Start("a", 1, 0.0), Start("b", 1, 20.0), Start("a", 2, 80.0))
