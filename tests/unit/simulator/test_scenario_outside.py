"""Scenarios in which nodes die, work keeps what it has done, and services need more at one time than at another."""

from typing import Any

import pytest

from fabric.core.errors import BadConfig, BadInput
from fabric.scheduler.policy import Policy
from fabric.simulator.engine import Engine
from fabric.simulator.report import report_of
from fabric.simulator.scenario import nodes_of, simulate
from fabric.workloads.states import State
from tests.builders import tiny_site
from tests.unit.simulator.test_scenario import GPU, arrival, scenario, service

ELASTIC = {"groups": [{**GPU, "count": 2, "min": 1, "max": 2}]}


def scaled(**more: Any) -> dict[str, Any]:
    """A service of one or two replicas."""
    replicas = {**GPU, "name": "replicas", "min": 1, "max": 2}
    what = {"model": "m@champion", "group": "replicas"}
    return {"workload": {"name": "chat", "kind": "service", "groups": [replicas], "service": what}, **more}


def run(*arrivals: dict[str, Any], **more: Any) -> Engine:
    return simulate(scenario(*arrivals, **more), tiny_site(), Policy(), 0)


def loss(at_s: float, back_s: float | None = None, node: str = "gpu-0") -> dict[str, Any]:
    return {"node": node, "at_s": at_s, "back_s": back_s}


def test_work_on_a_node_that_dies_waits_for_it_and_begins_anew() -> None:
    done = run(arrival("a"), losses=[loss(50.0, 200.0)])
    a = done.records.kept["a"]
    assert (a.state, a.attempt, a.failures, a.at.granted, a.at.ended) == (State.SUCCEEDED, 2, 1, 200.0, 260.0)


def test_work_that_saves_goes_on_from_its_checkpoint() -> None:
    done = run(arrival("a", checkpoint_s=20.0, restart_s=3.0), losses=[loss(50.0, 200.0)])
    # 40 of 60 s are safe.
    assert done.records.kept["a"].at.ended == 200.0 + 3.0 + 20.0


def test_a_node_that_never_comes_back_leaves_its_work_in_the_queue() -> None:
    assert run(arrival("a"), losses=[loss(50.0)]).records.kept["a"].state is State.QUEUED


def test_what_was_held_before_a_loss_is_in_the_report() -> None:
    done = run(arrival("a"), losses=[loss(50.0, 200.0)])
    found = report_of(done.records.kept.values(), nodes_of(tiny_site()), done.records.holdings)
    (gpu,) = [tier for tier in found.occupancy if tier.tier == "gpu"]
    assert gpu.steps == ((0.0, 1.0), (50.0, 0.0), (200.0, 1.0), (260.0, 0.0))


def test_an_elastic_job_runs_at_the_size_it_asks_for() -> None:
    assert run(arrival("a", workload=ELASTIC, exponent=0.8)).records.kept["a"].at.ended == 60.0


def test_a_failing_job_that_saves_fails_when_its_work_is_done() -> None:
    a = run(arrival("a", fails=True, checkpoint_s=20.0)).records.kept["a"]
    assert (a.state, a.at.ended) == (State.FAILED, 60.0)


def test_a_service_tells_what_it_will_need() -> None:
    demand = [{"at_s": 0.0, "replicas": 1}, {"at_s": 1000.0, "replicas": 2}]
    done = run(scaled(demand=demand, cold_start_s=40.0), until_s=1500.0)
    told = done.cluster.working.tells(everything=True)["chat"]
    assert told.demand is not None
    # Two are needed by then; the margin rests on an hour in which need doubled at once.
    assert told.demand.needed(1200.0) >= 2
    assert told.lead_s == 40.0


def test_the_loop_looks_again_and_again_where_the_scenario_says_so() -> None:
    often, seldom = run(arrival("a"), look_s=5.0), run(arrival("a"))
    assert often.num_passes > seldom.num_passes + 8
    assert often.records.kept["a"].at.ended == 60.0


@pytest.mark.parametrize(
    ("arrivals", "more", "says"),
    [
        ([arrival("a", checkpoint_s=0.0)], {}, "checkpoint_s"),
        ([arrival("a", save_s=-1.0)], {}, "save_s"),
        ([arrival("a", restart_s=-1.0)], {}, "restart_s"),
        ([arrival("a", exponent=0.0)], {}, "exponent"),
        ([arrival("a", exponent=1.5)], {}, "exponent"),
        ([arrival("a", demand=[{"at_s": 0.0, "replicas": 1}])], {}, "demand is for one service"),
        ([service("s", demand=[{"at_s": 0.0, "replicas": 1}])], {"until_s": 9.0}, "have a min and a max"),
        (
            [scaled(demand=[{"at_s": 5.0, "replicas": 1}, {"at_s": 5.0, "replicas": 2}])],
            {"until_s": 9.0},
            "must rise",
        ),
        ([scaled(demand=[{"at_s": 0.0, "replicas": -1}])], {"until_s": 9.0}, "replicas"),
        ([arrival("a")], {"losses": [loss(5.0, 5.0)]}, "not after its loss"),
        ([arrival("a")], {"losses": [loss(-5.0)]}, "at_s"),
        ([arrival("a")], {"look_s": 0.0}, "look_s"),
    ],
)
def test_what_cannot_be_is_refused(arrivals: list[dict[str, Any]], more: dict[str, Any], says: str) -> None:
    with pytest.raises(BadConfig, match=says):
        scenario(*arrivals, **more)


def test_a_node_that_the_site_does_not_have_cannot_be_lost() -> None:
    with pytest.raises(BadInput, match=r"node tpu-7 is to be lost, but the site has commodity-0, gpu-0"):
        run(arrival("a"), losses=[loss(5.0, node="tpu-7")])
