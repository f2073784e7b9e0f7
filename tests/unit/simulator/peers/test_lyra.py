"""B7: loans and elastic growth of Lyra on small worlds."""

import pytest

from fabric.scheduler.snapshot import Told
from fabric.simulator.peers.lyra import LyraSettings, lyra
from tests.unit.simulator.peers.worlds import (
    HOUR_S,
    decide,
    gpus,
    left,
    nodes,
    resized,
    runs,
    service,
    started,
    waits,
    world,
)

SETTINGS = LyraSettings(serving_nodes=2, spare_nodes=0)
SITE = nodes(gpu=4)
"""Serving nodes `g0` and `g1`, training nodes `g2` and `g3`."""


def test_an_idle_serving_node_is_lent() -> None:
    chat = service("chat", {"g0": 2}, [2])
    plan = decide(lyra(SETTINGS), world(chat, waits("a", gpus(12)), on=SITE))
    assert started(plan) == {"a": "4@g2 4@g3 4@g1"}


def test_training_nodes_are_filled_before_lent_ones() -> None:
    snapshot = world(service("chat", {"g0": 2}, [2]), runs("r", {"g1": 2}), waits("a", gpus(1)), on=SITE)
    assert started(decide(lyra(SETTINGS), snapshot)) == {"a": "1@g2"}


def test_a_node_with_a_replica_is_never_lent() -> None:
    chat = service("chat", {"g0": 1, "g1": 1}, [2])
    assert started(decide(lyra(SETTINGS), world(chat, waits("a", gpus(9)), on=SITE))) == {}


def test_spare_nodes_are_kept_beyond_what_is_needed() -> None:
    chat = service("chat", {"g0": 2}, [2])
    kept = SETTINGS.model_copy(update={"spare_nodes": 1})
    assert started(decide(lyra(kept), world(chat, waits("a", gpus(12)), on=SITE))) == {}


@pytest.mark.parametrize(("look_s", "starts"), [(0.0, True), (1200.0, False)])
def test_what_is_forecast_to_be_needed_is_not_lent(look_s: float, starts: bool) -> None:
    chat = service("chat", {"g0": 4}, [4, 8, 8], settled=False)
    settings = SETTINGS.model_copy(update={"look_s": look_s})
    assert bool(started(decide(lyra(settings), world(chat, waits("a", gpus(12)), on=SITE)))) is starts


def test_whole_nodes_are_taken_back_at_least_cost() -> None:
    # Half of the wide job would be lost on g0, all of the small ones on g1.
    settings = LyraSettings(serving_nodes=3, spare_nodes=0)
    chat = service("chat", {"g2": 4}, [8], settled=False)
    wide = runs("wide", {"g0": 4, "g3": 4})
    small = (runs("s1", {"g1": 2}), runs("s2", {"g1": 2}))
    plan = decide(lyra(settings), world(chat, wide, *small, on=SITE))
    assert left(plan) == ["wide"]


def test_a_node_that_is_emptied_by_another_one_is_taken_back_for_nothing() -> None:
    settings = LyraSettings(serving_nodes=3, spare_nodes=0)
    chat = service("chat", {"g2": 4}, [12], most=12, settled=False)
    plan = decide(lyra(settings), world(chat, runs("wide", {"g0": 4, "g1": 4}), on=SITE))
    assert left(plan) == ["wide"]


def test_workers_beyond_the_fewest_leave_without_a_preemption() -> None:
    chat = service("chat", {"g0": 4}, [8])
    job = runs("e", {"g2": 2, "g1": 4}, group=gpus(2, min=2, max=8))
    plan = decide(lyra(SETTINGS), world(chat, job, on=SITE))
    assert left(plan) == []
    (change,) = [change for change in plan.resized if change.workload == "e"]
    assert {part.node for part in change.grant.slices} == {"g2"}


def test_a_replica_gets_its_node_once_the_borrower_has_left() -> None:
    chat = service("chat", {"g0": 4}, [6])
    going = runs("b", {"g1": 4}, ends=50.0, settled=False)
    waiting = waits("a", gpus(4))
    busy = runs("r", {"g2": 4, "g3": 4})
    plan = decide(lyra(SETTINGS), world(chat, going, busy, waiting, on=SITE))
    assert (resized(plan), started(plan)) == ({}, {})
    plan = decide(lyra(SETTINGS), world(chat, busy, waiting, on=SITE), 60.0)
    assert (resized(plan), started(plan)) == ({"chat": (4, 6)}, {})


def test_the_shortest_job_goes_first() -> None:
    jobs = (waits("long", gpus(4), hours=9.0), waits("short", gpus(4), at=5.0, hours=1.0))
    plan = decide(lyra(LyraSettings()), world(*jobs, on=nodes(gpu=1)))
    assert started(plan) == {"short": "4@g0"}


def test_base_demand_of_all_comes_before_anybody_grows() -> None:
    elastic = gpus(2, min=2, max=8)
    plan = decide(lyra(LyraSettings()), world(waits("a", elastic), waits("b", elastic), on=nodes(gpu=1)))
    assert started(plan) == {"a": "2@g0", "b": "2@g0"}


def test_a_job_that_starts_gets_what_is_idle_at_once() -> None:
    plan = decide(lyra(LyraSettings()), world(waits("a", gpus(2, min=2, max=8)), on=nodes(gpu=1)))
    assert {place.workload: place.grant.size("workers") for place in plan.placed} == {"a": 4}


def test_the_one_grows_that_saves_most_time() -> None:
    group = gpus(2, min=2, max=4)
    soon = runs("soon", {"g0": 2}, group=group, told=Told(1, left_s=1800.0))
    late = runs("late", {"g1": 2}, group=group, told=Told(1, left_s=9 * HOUR_S))
    busy = runs("r", {"g0": 2})
    assert resized(decide(lyra(LyraSettings()), world(soon, late, busy))) == {"late": (2, 4)}


def test_nobody_grows_who_would_end_later_for_it() -> None:
    job = runs("a", {"g0": 2}, group=gpus(2, min=2, max=4), told=Told(1, left_s=100.0))
    assert resized(decide(lyra(LyraSettings()), world(job, on=nodes(gpu=1)))) == {}


def test_surplus_workers_make_room_for_base_demand() -> None:
    job = runs("e", {"g0": 4}, group=gpus(2, min=2, max=4))
    plan = decide(lyra(LyraSettings()), world(job, waits("a", gpus(2)), on=nodes(gpu=1)))
    assert (resized(plan), started(plan), left(plan)) == ({"e": (4, 2)}, {}, [])
