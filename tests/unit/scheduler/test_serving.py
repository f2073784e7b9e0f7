"""Services have what they need, lend what they do not, and have it back in time."""

from dataclasses import replace
from typing import Any

import pytest

from fabric.config.projects import Project, Share
from fabric.scheduler.cycle import decide
from fabric.scheduler.forecast import Demand
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Running, Told
from tests.unit.scheduler.test_room import EAGER, GRACE_S, NOW, asks, elastic, leaving, seen, trains, wait_of

LEAD_S = 150.0


def service(*nodes: str, needs: tuple[int, ...] | None = None, most: int = 4, **more: Any) -> Running:
    """A service with a replica on each node that needs so many in each of the next ten minutes."""
    told = None if needs is None else Told(1, demand=Demand(NOW, 600.0, needs, "test"), lead_s=LEAD_S)
    return trains(
        "chat", *nodes, priority="serving", service=True, elastic=elastic(1, len(nodes), most), told=told, **more
    )


def test_a_service_grows_onto_idle_nodes_before_it_needs_them() -> None:
    (resize,) = decide(seen(service("g0", needs=(2, 2, 2)), gpu_nodes=3), EAGER, NOW).resized
    assert (resize.before, resize.after) == (1, 2)
    assert "needs 2 replicas in 170 s" in resize.reason


def test_with_headroom_it_has_more_than_was_forecast_and_keeps_it() -> None:
    spare = Policy(headroom=0.1)
    (resize,) = decide(seen(service("g0", needs=(1,) * 20), gpu_nodes=3), spare, NOW).resized
    assert (resize.before, resize.after) == (1, 2)
    assert decide(seen(service("g0", "g1", needs=(1,) * 20)), spare, NOW).resized == ()


def test_it_does_not_grow_for_what_is_needed_much_later() -> None:
    assert decide(seen(service("g0", needs=(1, 1, 1, 2)), gpu_nodes=3), EAGER, NOW).resized == ()


def test_a_service_gives_up_replicas_that_it_will_not_need_soon() -> None:
    (resize,) = decide(seen(service("g0", "g1", needs=(1,) * 20)), EAGER, NOW).resized
    assert (resize.before, resize.after) == (2, 1)
    assert decide(seen(service("g0", "g1", needs=(1, 2, 1))), EAGER, NOW).resized == (), "needed again too soon"


def test_without_loans_replicas_are_kept() -> None:
    kept = Policy(loans=False)
    assert decide(seen(service("g0", "g1", needs=(1,) * 20)), kept, NOW).resized == ()


def test_a_person_may_say_how_many_within_the_bounds() -> None:
    (up,) = decide(seen(service("g0", wants=9), gpu_nodes=6), EAGER, NOW).resized
    assert (up.after, "scaled to 4 replicas by request" in up.reason) == (4, True)
    (down,) = decide(seen(service("g0", "g1", wants=0)), EAGER, NOW).resized
    assert down.after == 1


SMALL = Project(name="small", limit={"gpu": Share(gpus=4.0)})
"""Two replicas of two GPUs."""


@pytest.mark.parametrize("tier", ["gpu", None])
def test_a_service_grows_no_further_than_the_limit_of_its_project_and_nobody_leaves_for_more(tier: str | None) -> None:
    other, projects = trains("low", "g2", project="big"), (SMALL, Project(name="big"))
    group = elastic(1, 1, 4).model_copy(update={"tier": tier})
    chat = replace(service("g0", wants=4, project="small"), elastic=group)
    plan = decide(seen(chat, other, gpu_nodes=3, projects=projects), EAGER, NOW)
    assert ([resize.after for resize in plan.resized], leaving(plan)) == ([2], [])
    full = decide(seen(replace(chat, grant=plan.resized[0].grant), other, gpu_nodes=4, projects=projects), EAGER, NOW)
    assert (full.resized, leaving(full)) == ((), [])


def test_others_leave_for_the_replicas_that_the_limit_allows_and_no_more() -> None:
    others = [trains(f"low-{i}", f"g{i}", project="big") for i in (1, 2)]
    world = seen(service("g0", wants=4, project="small"), *others, gpu_nodes=3, projects=(SMALL, Project(name="big")))
    plan = decide(world, EAGER, NOW)
    assert (len(leaving(plan)), "room for chat: 1 replicas" in plan.preempted[0].reason) == (1, True)


def test_training_leaves_for_a_replica_and_its_room_is_kept() -> None:
    world = seen(service("g0", needs=(2, 2, 2)), trains("low", "g1"), asks("next", 1))
    plan = decide(world, EAGER, NOW)
    assert (leaving(plan), plan.placed, plan.resized) == (["low"], (), ())
    assert "room for chat: 1 replicas" in plan.preempted[0].reason
    gone = seen(
        service("g0", needs=(2, 2, 2)), trains("low", "g1", ends=NOW + 9, settled=False, movable=False), asks("next", 1)
    )
    again = decide(gone, EAGER, NOW)
    assert (leaving(again), again.placed) == ([], ())
    free = decide(seen(service("g0", needs=(2, 2, 2)), asks("next", 1)), EAGER, NOW)
    assert ([resize.after for resize in free.resized], free.placed) == ([2], ())


def test_what_will_be_needed_again_goes_to_work_that_ends_before_or_leaves_in_time() -> None:
    chat = service("g0", needs=(1, 1, 1, 1, 1, 1, 2, 2))  # again in an hour
    back_s = 3600.0 - LEAD_S - GRACE_S
    ends = asks("ends", 1, walltime_s=back_s - 10)
    assert [place.workload for place in decide(seen(chat, ends), EAGER, NOW).placed] == ["ends"]
    stays = asks("stays", 1, walltime_s=back_s + 10)
    plan = decide(seen(chat, stays), EAGER, NOW)
    assert plan.placed == ()
    saves = asks("saves", 1, walltime_s=back_s + 10, saves=True)
    assert [place.workload for place in decide(seen(chat, saves), EAGER, NOW).placed] == ["saves"]
    blind = Policy(loans=False)
    assert [place.workload for place in decide(seen(chat, stays), blind, NOW).placed] == ["stays"]


def test_the_answer_of_whoever_waits_names_no_promise_that_a_claim_would_break() -> None:
    chat = service("g0", needs=(1, 1, 1, 1, 1, 1, 2, 2))
    wait = wait_of(decide(seen(chat, asks("stays", 1, walltime_s=9_000.0)), EAGER, NOW), "stays")
    assert wait.expected_start is None
