"""Before a window everybody is off its nodes: work saves and leaves or shrinks, services are elsewhere first."""

from dataclasses import replace
from typing import Any

import pytest

from fabric.config.projects import Project, Share
from fabric.scheduler.cycle import decide
from fabric.scheduler.forecast import Demand
from fabric.scheduler.holding import held_by
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.quota import tree
from fabric.scheduler.snapshot import Claim, Running, Snapshot, Told, Waiting
from tests.unit.scheduler.test_room import EAGER, GRACE_S, NOW, asks, elastic, leaving, seen, trains, wait_of

OVERHEAD_S = 10.0
NOTICE_S = GRACE_S + OVERHEAD_S
START = NOW + 3600.0
LEAD_S = 150.0


def closing(
    *work: Running | Waiting, nodes: tuple[str, ...] = ("g0",), project: str | None = None, **more: Any
) -> Snapshot:
    """A world in which some nodes are taken away in an hour, for an hour."""
    small = seen(*work, **more)
    window = Claim("update", START, START + 3600.0, nodes, project=project)
    return replace(small, claims=(window,), overhead_s=OVERHEAD_S)


def service(*nodes: str, **more: Any) -> Running:
    """A service of a fixed size with a replica on each node."""
    group = more.pop("group", elastic(len(nodes), len(nodes), len(nodes)))
    fields: dict[str, Any] = {"told": Told(1, lead_s=LEAD_S), "replicas": group, **more}
    return trains("chat", *nodes, priority="serving", service=True, **fields)


def nodes_of(plan: Plan, name: str = "chat") -> list[str]:
    """Where the workers of one that changes its size are then."""
    (resize,) = [resize for resize in plan.resized if resize.workload == name]
    return [part.node for part in resize.grant.slices if part.group == "w"]


def started(plan: Plan) -> dict[str, list[str]]:
    return {one.workload: [part.node for part in one.grant.slices if not part.head] for one in plan.placed}


def test_running_work_is_asked_to_leave_a_notice_before_and_no_earlier() -> None:
    world = closing(trains("low", "g0"))
    early = decide(world, EAGER, START - NOTICE_S - 1)
    assert (leaving(early), early.look_at) == ([], START - NOTICE_S)
    plan = decide(world, EAGER, START - NOTICE_S)
    assert leaving(plan) == ["low"]
    assert plan.preempted[0].grace_s == GRACE_S
    assert plan.preempted[0].reason == "g0, taken away by window update, which begins at 1970-01-01 03:46 UTC"


@pytest.mark.parametrize(
    ("sentence", "work"),
    [
        ("it is on another node", trains("low", "g1")),
        ("it ends before", trains("low", "g0", ends=START)),
        ("it leaves already", trains("low", "g0", movable=False, settled=False)),
    ],
)
def test_nobody_else_is_asked(sentence: str, work: Running) -> None:
    assert leaving(decide(closing(work), EAGER, START - 1)) == [], sentence


def test_work_that_would_end_later_than_the_window_begins_leaves_also_in_its_first_minutes() -> None:
    young = trains("young", "g0", ends=START + 1, since=START - 60)
    assert leaving(decide(closing(young), Policy(), START - NOTICE_S)) == ["young"]


def test_elastic_work_goes_on_with_what_it_has_elsewhere() -> None:
    gang = trains("gang", "g0", "g1", "g2", elastic=elastic(1, 3, 4))
    plan = decide(closing(gang, gpu_nodes=3, nodes=("g0",)), EAGER, START - NOTICE_S)
    assert (leaving(plan), nodes_of(plan, "gang")) == ([], ["g1", "g2"])
    assert "goes on with 2 of 3 workers: g0, taken away" in plan.resized[0].reason


def test_elastic_work_leaves_if_too_little_is_left_of_it_or_it_said_no_size() -> None:
    small = trains("gang", "g0", "g1", elastic=elastic(2, 2, 4))
    assert leaving(decide(closing(small), EAGER, START - 1)) == ["gang"]
    silent = trains("gang", "g0", "g1", elastic=elastic(1, 2, 4), told=None)
    assert leaving(decide(closing(silent), EAGER, START - 1)) == ["gang"]


def test_elastic_work_in_steps_goes_on_at_one_of_its_sizes() -> None:
    group = elastic(2, 4, 4).model_copy(update={"step": 2})
    gang = trains("gang", "g0", "g1", "g2", "g3", elastic=group)
    plan = decide(closing(gang, gpu_nodes=4), EAGER, START - NOTICE_S)
    assert (leaving(plan), len(nodes_of(plan, "gang"))) == ([], 2)
    assert "g0" not in nodes_of(plan, "gang")


def test_a_service_is_replaced_first_so_early_that_its_replica_is_ready_and_then_gives_up_the_old_one() -> None:
    call = START - NOTICE_S - LEAD_S
    chat = service("g0")
    early = decide(closing(chat), EAGER, call - 1)
    assert (early.resized, early.look_at) == ((), call)
    plan = decide(closing(chat), EAGER, call)
    assert (nodes_of(plan), leaving(plan)) == (["g0", "g1"], [])
    moved = replace(chat, grant=plan.resized[0].grant)
    between = decide(closing(moved), EAGER, call + 60)
    assert (between.resized, between.look_at) == ((), START - NOTICE_S), "it is given up when the new one is ready"
    last = decide(closing(moved), EAGER, START - NOTICE_S)
    assert (nodes_of(last), leaving(last)) == (["g1"], [])
    there = replace(chat, grant=last.resized[0].grant)
    assert decide(closing(there), EAGER, START + 60).resized == ()


def test_a_service_at_the_limit_of_its_project_is_replaced_all_the_same_and_nothing_else_of_it_starts() -> None:
    projects = (Project(name="small", limit={"gpu": Share(gpus=2.0)}),)
    chat, work = service("g0", project="small"), asks("work", 1, project="small", walltime_s=60.0)
    plan = decide(closing(chat, work, gpu_nodes=3, projects=projects), EAGER, START - NOTICE_S - LEAD_S)
    assert (nodes_of(plan), started(plan)) == (["g0", "g1"], {})
    both = replace(chat, grant=plan.resized[0].grant)
    last = decide(closing(both, work, gpu_nodes=3, projects=projects), EAGER, START - NOTICE_S)
    assert (nodes_of(last), started(last)) == (["g1"], {})


def test_others_make_room_for_the_replica() -> None:
    plan = decide(closing(service("g0"), trains("low", "g1")), EAGER, START - NOTICE_S - LEAD_S)
    assert leaving(plan) == ["low"]
    assert "room for chat" in plan.preempted[0].reason


def test_a_service_without_room_elsewhere_goes_on_with_what_is_left_and_is_back_to_its_size_afterwards() -> None:
    chat = service("g0", "g1")
    plan = decide(closing(chat), EAGER, START - NOTICE_S)
    assert nodes_of(plan) == ["g1"]
    less = replace(chat, grant=plan.resized[0].grant)
    assert decide(closing(less), EAGER, START + 60).resized == ()
    assert sorted(nodes_of(decide(closing(less), EAGER, START + 3600.0))) == ["g0", "g1"]


def test_a_service_whose_head_is_on_such_a_node_starts_anew() -> None:
    assert leaving(decide(closing(service("g0"), nodes=("c0",)), EAGER, START - NOTICE_S)) == ["chat"]


def test_a_service_that_scales_moves_with_as_many_replicas_as_it_needs() -> None:
    told = Told(1, demand=Demand(NOW, 600.0, (2,) * 20, "test"), lead_s=LEAD_S)
    chat = service("g0", "g1", "g2", group=elastic(1, 3, 4), elastic=elastic(1, 3, 4), told=told)
    plan = decide(closing(chat, gpu_nodes=4), EAGER, START - NOTICE_S - GRACE_S)
    assert plan.resized == (), "two are on other nodes, and it needs no more"
    assert nodes_of(decide(closing(chat, gpu_nodes=4), EAGER, START - NOTICE_S)) == ["g1", "g2"]


def test_work_that_saves_may_start_before_a_window_if_it_has_time_enough_and_prefers_other_nodes() -> None:
    endless = asks("saves", 1, saves=True)
    policy = Policy(min_run_s=600.0)
    busy = trains("low", "g1")
    assert started(decide(closing(endless, busy), policy, NOW)) == {"saves": ["g0"]}
    assert started(decide(closing(endless), policy, NOW)) == {"saves": ["g1"]}
    assert started(decide(closing(asks("stays", 1), busy), policy, NOW)) == {}
    last = START - NOTICE_S - 600.0
    assert started(decide(closing(endless, busy), policy, last)) == {"saves": ["g0"]}
    assert started(decide(closing(endless, busy), policy, last + 1)) == {}


def test_a_service_may_start_where_a_window_comes_later_and_keeps_off_what_is_lent() -> None:
    chat = replace(asks("chat", 1, priority="serving"), service=True)
    assert started(decide(closing(chat, trains("low", "g1")), EAGER, NOW)) == {"chat": ["g0"]}
    lender = service("g1", group=elastic(1, 1, 4), elastic=elastic(1, 1, 4), told=Told(1, demand=AGAIN, lead_s=LEAD_S))
    other = replace(asks("other", 1, priority="serving"), service=True)
    assert started(decide(closing(other, lender, gpu_nodes=2), EAGER, NOW)) == {}


AGAIN = Demand(NOW, 600.0, (1, 1, 2, 2, 2, 2), "test")
"""Needs a second replica in twenty minutes."""


def test_who_waits_for_the_end_of_a_window_is_told_which_and_promised_a_start_then() -> None:
    plan = decide(closing(asks("long", 2, walltime_s=7200.0)), EAGER, NOW)
    wait = wait_of(plan, "long")
    assert (wait.expected_start, wait.promised) == (START + 3600.0, True)
    assert "would not be done before window update, which begins at 1970-01-01 03:46 UTC" in wait.reason


def test_who_waits_for_others_is_not_told_of_windows() -> None:
    plan = decide(closing(trains("other", "g0", ends=NOW + 60), asks("short", 2, walltime_s=60.0)), EAGER, NOW)
    assert "window" not in wait_of(plan, "short").reason


PROJECTS = (Project(name="climate"), Project(name="ocean", parent="climate"), Project(name="nlp"))


def week(*work: Running | Waiting, **more: Any) -> Snapshot:
    """A world with a capability week of the project `climate`."""
    small, projects = closing(*work, project="climate", **more), tree(PROJECTS)
    held = held_by(((one.project, one.slots) for one in small.running), projects, small.site)
    return replace(small, tree=projects, held=held)


@pytest.mark.parametrize(("project", "starts"), [("climate", True), ("ocean", True), ("nlp", False)])
def test_in_a_capability_week_only_work_of_its_project_starts_on_the_nodes(project: str, starts: bool) -> None:
    for at in (START - 60, START + 60):
        plan = decide(week(asks("work", 2, walltime_s=600.0, project=project), nodes=("g0", "g1")), EAGER, at)
        assert ("work" in started(plan)) is starts


def test_before_a_capability_week_the_others_leave_and_the_project_stays() -> None:
    mine, other = trains("mine", "g0", project="ocean"), trains("other", "g1", project="nlp")
    assert leaving(decide(week(mine, other, nodes=("g0", "g1")), EAGER, START - NOTICE_S)) == ["other"]


def test_a_promise_to_the_project_lies_in_its_week_and_that_to_others_behind_it() -> None:
    busy = trains("busy", "g0", "g1", project="climate", ends=START + 600.0)
    mine, other = (asks(name, 2, walltime_s=900.0, project=name) for name in ("climate", "nlp"))
    starts = {
        work.name: wait_of(decide(week(busy, work, nodes=("g0", "g1")), EAGER, NOW), work.name).expected_start
        for work in (mine, other)
    }
    assert starts == {"climate": START + 600.0, "nlp": START + 3600.0}


def test_a_gang_of_the_project_grows_into_its_week_and_none_of_another() -> None:
    for project, grows in (("climate", True), ("nlp", False)):
        gang = trains("gang", "g2", project=project, elastic=elastic(1, 1, 3), told=Told(1, left_s=9e9, workers=1))
        plan = decide(week(gang, nodes=("g0", "g1"), gpu_nodes=3), EAGER, START + 60)
        assert bool(plan.resized) is grows


def test_nobody_starts_where_he_would_be_asked_to_leave_at_once() -> None:
    endless = asks("saves", 2, saves=True)
    assert started(decide(closing(endless), EAGER, START - NOTICE_S)) == {}
    assert started(decide(closing(endless), EAGER, START - NOTICE_S - 1.0)) == {"saves": ["g0", "g1"]}
