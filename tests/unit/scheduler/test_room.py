"""Who makes room for whom, in small worlds."""

from dataclasses import replace
from typing import Any

import pytest

from fabric.config.projects import Project, Share
from fabric.core.resources import Resources
from fabric.scheduler.cycle import decide
from fabric.scheduler.plan import Plan, Wait
from fabric.scheduler.policy import Policy
from fabric.scheduler.quota import tree
from fabric.scheduler.snapshot import Running, Snapshot, Told, Waiting
from fabric.scheduler.usage import Usage
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import Group, Priority
from tests.builders import HEAD, cpu_node, gpu_node, group, waiting

GRACE_S = 20.0
NOW = 10_000.0
EAGER = Policy(min_run_s=0.0)


def trains(name: str, *nodes: str, gpus: int = 2, priority: str = "batch", **more: Any) -> Running:
    """A job with a worker of `gpus` on each node, that runs since long ago."""
    slices = tuple(Slice(f"w-{i}", "w", node, "gpu", 1, Resources.of(1, gpus, "1 GiB")) for i, node in enumerate(nodes))
    head = Slice("head", "head", "c0", "commodity", 1, HEAD, head=True)
    # What it says of itself: that it works at the size it has.
    more.setdefault("told", Told(1, workers=len(nodes)) if "elastic" in more else None)
    fields: dict[str, Any] = {"since": 0.0, "settled": True, "movable": True, "rank": Priority(priority).rank, **more}
    return Running(name, Grant((head, *slices)), fields.pop("ends", None), **fields)


def asks(name: str, workers: int, *, priority: str = "batch", gpus: int = 2, **more: Any) -> Waiting:
    """A job that waits for GPU workers."""
    return waiting(name, group("w", workers, "gpu", gpus=gpus), priority=priority, at=NOW, **more)


def elastic(least: int, count: int, most: int, gpus: int = 2) -> Group:
    return Group(name="w", count=count, min=least, max=most, tier="gpu", cpus=1.0, gpus=gpus, memory="1 GiB")


def seen(*work: Running | Waiting, gpu_nodes: int = 2, projects: tuple[Project, ...] = ()) -> Snapshot:
    nodes = [*(gpu_node(f"g{i}") for i in range(gpu_nodes)), cpu_node("c0", cpus=16)]
    return Snapshot.of(
        nodes,
        [item for item in work if isinstance(item, Running)],
        [item for item in work if isinstance(item, Waiting)],
        head=HEAD,
        grace_s=GRACE_S,
        tree=tree(projects),
    )


def leaving(plan: Plan) -> list[str]:
    return [action.workload for action in plan.preempted]


def wait_of(plan: Plan, name: str) -> Wait:
    return next(wait for wait in plan.waits if wait.workload == name)


def test_a_more_urgent_gang_gets_the_room_of_less_urgent_work_and_a_start_within_the_grace() -> None:
    plan = decide(seen(trains("low", "g0", "g1"), asks("high", 2, priority="interactive")), EAGER, NOW)
    assert leaving(plan) == ["low"]
    wait = wait_of(plan, "high")
    assert (wait.promised, wait.expected_start) == (True, NOW + GRACE_S)
    assert "room is made by low within 20 s" in wait.reason
    assert "room for high: 4 slots x" in plan.preempted[0].reason


def test_nobody_is_asked_to_leave_for_work_of_his_own_class() -> None:
    plan = decide(seen(trains("first", "g0", "g1"), asks("second", 1)), EAGER, NOW)
    assert (leaving(plan), plan.resized) == ([], ())


YIELDS = Policy(min_run_s=0.0, yields=4.0)
SAVED = Told(1, saved=NOW - 10.0, save_s=10.0)
"""Its leaving costs 2 devices x (10 s of work + 60 s restart)."""


def test_longer_work_makes_room_for_shorter_of_its_class_where_that_may_be() -> None:
    long, short = trains("long", "g0", ends=NOW + 9000.0, told=SAVED), asks("short", 1, walltime_s=2000.0)
    assert leaving(decide(seen(long, short, gpu_nodes=1), EAGER, NOW)) == []
    plan = decide(seen(long, short, gpu_nodes=1), YIELDS, NOW)
    assert leaving(plan) == ["long"]
    assert wait_of(plan, "short").expected_start == NOW + GRACE_S


def test_what_others_hold_beyond_what_they_asked_for_comes_before_work_that_would_want_room_again() -> None:
    grown = trains("grown", "g0", "g1", ends=NOW + 90_000.0, elastic=elastic(1, 1, 2))
    long, short = trains("long", "g2", ends=NOW + 9000.0, told=SAVED), asks("short", 1, walltime_s=2000.0)
    plan = decide(seen(long, grown, short, gpu_nodes=3), YIELDS, NOW)
    assert (leaving(plan), [change.workload for change in plan.resized]) == ([], ["grown"])


@pytest.mark.parametrize(
    ("left_s", "walltime_s", "why"),
    [
        (7999.0, 2000.0, "what it has before it is not four times as much"),
        (9000.0, 600.0, "140 device-seconds are more than a tenth of 1200"),
        (None, 2000.0, "nobody knows how long it stays"),
    ],
)
def test_it_stays_where_that_would_be_no_gain(left_s: float | None, walltime_s: float, why: str) -> None:
    long = trains("long", "g0", ends=None if left_s is None else NOW + left_s, told=SAVED)
    short = asks("short", 1, walltime_s=walltime_s)
    assert leaving(decide(seen(long, short, gpu_nodes=1), YIELDS, NOW)) == [], why


def test_wide_work_does_not_yield_to_narrow_work_that_is_as_long() -> None:
    wide = trains("wide", "g0", "g1", "g2", ends=NOW + 9000.0, told=SAVED)
    narrow = asks("narrow", 1, gpus=1, walltime_s=9000.0)
    assert leaving(decide(seen(wide, narrow, gpu_nodes=3), YIELDS, NOW)) == []


def test_nobody_leaves_for_the_core_of_its_head() -> None:
    long = trains("long", "g0", ends=NOW + 90_000.0, told=SAVED)
    prepares = waiting("prepares", group("w", 1, "commodity", cpus=16.0), at=NOW, walltime_s=20_000.0)
    plan = decide(seen(long, prepares), YIELDS, NOW)
    assert (leaving(plan), [wait.workload for wait in plan.waits]) == ([], ["prepares"])


@pytest.mark.parametrize(
    ("waited_s", "submitted_s", "leaves"), [(599.0, 599.0, []), (600.0, 600.0, ["long"]), (0.0, 90_000.0, [])]
)
def test_others_of_its_class_are_asked_only_by_work_that_has_waited(
    waited_s: float, submitted_s: float, leaves: list[str]
) -> None:
    long = trains("long", "g0", ends=NOW + 90_000.0, told=SAVED)
    short = replace(asks("short", 1, walltime_s=2000.0), submitted=NOW - submitted_s, since=NOW - waited_s)
    patient = YIELDS.model_copy(update={"patience_s": 600.0})
    assert leaving(decide(seen(long, short, gpu_nodes=1), patient, NOW)) == leaves


def test_a_guarantee_is_waited_for_too_but_not_what_less_urgent_work_holds() -> None:
    projects, patient = (shares("ours", 2.0), shares("theirs", 2.0)), Policy(min_run_s=0.0, patience_s=600.0)
    borrower = [trains(f"b{i}", f"g{i}", project="theirs") for i in range(2)]
    assert leaving(decide(seen(*borrower, asks("mine", 1, project="ours"), projects=projects), patient, NOW)) == []
    high = asks("high", 1, priority="interactive", project="ours")
    assert len(leaving(decide(seen(*borrower, high, projects=projects), patient, NOW))) == 1


def test_several_may_not_cost_more_together_than_one_may() -> None:
    both = [trains(name, node, ends=NOW + 20_000.0, told=SAVED) for name, node in (("a", "g0"), ("b", "g1"))]
    assert leaving(decide(seen(*both, asks("wide", 2, walltime_s=500.0)), YIELDS, NOW)) == []
    assert leaving(decide(seen(*both, asks("wide", 2, walltime_s=1000.0)), YIELDS, NOW)) == ["a", "b"]


def test_of_two_the_one_that_saved_its_work_lately_leaves() -> None:
    saved = trains("saved", "g0", told=Told(1, saved=NOW - 5, save_s=1.0))
    plan = decide(seen(trains("unsaved", "g1"), saved, asks("high", 1, priority="interactive")), EAGER, NOW)
    assert leaving(plan) == ["saved"]


def test_with_newest_first_what_was_saved_does_not_count() -> None:
    saved = trains("saved", "g0", since=100.0, told=Told(1, saved=NOW - 5, save_s=1.0))
    unsaved = trains("unsaved", "g1", since=5_000.0)
    newest = EAGER.model_copy(update={"victims": "newest"})
    assert leaving(decide(seen(saved, unsaved, asks("high", 1, priority="interactive")), newest, NOW)) == ["unsaved"]


def test_no_more_leave_than_are_needed() -> None:
    world = seen(
        trains("a", "g0"), trains("b", "g1"), trains("c", "g2"), asks("high", 2, priority="serving"), gpu_nodes=3
    )
    assert len(leaving(decide(world, EAGER, NOW))) == 2


def test_equal_urgent_jobs_have_all_their_room_made_in_one_decision_and_no_more() -> None:
    low = [trains(f"low-{i}", f"g{i}") for i in range(3)]
    high = [asks(f"high-{i}", 1, gpus=1, priority="interactive") for i in range(4)]
    plan = decide(seen(*low, *high, gpu_nodes=3), EAGER, NOW)
    assert len(leaving(plan)) == 2
    assert {wait.expected_start for wait in plan.waits} == {NOW + GRACE_S}
    going = [
        replace(one, ends=NOW + 7.0, settled=False, movable=False) if one.name in leaving(plan) else one for one in low
    ]
    assert leaving(decide(seen(*going, *high, gpu_nodes=3), EAGER, NOW)) == []


def test_nobody_is_asked_twice_while_the_first_are_still_leaving() -> None:
    going = trains("low", "g0", "g1", ends=NOW + 7, settled=False, movable=False)
    other = trains("other", "g2")
    plan = decide(seen(going, other, asks("high", 2, priority="interactive"), gpu_nodes=3), EAGER, NOW)
    assert leaving(plan) == []
    assert wait_of(plan, "high").expected_start == NOW + 7


def test_work_in_its_first_minutes_stays_but_harvest_leaves_at_any_time() -> None:
    patient = Policy(min_run_s=600.0)
    young = trains("young", "g0", since=NOW - 60)
    assert leaving(decide(seen(young, asks("high", 2, priority="interactive")), patient, NOW)) == []
    crop = trains("crop", "g0", priority="harvest", since=NOW - 60)
    assert leaving(decide(seen(crop, asks("high", 2, priority="interactive")), patient, NOW)) == ["crop"]


def test_without_preemption_everybody_stays() -> None:
    off = Policy(preemption=False, min_run_s=0.0)
    assert leaving(decide(seen(trains("low", "g0"), asks("high", 2, priority="serving")), off, NOW)) == []


def test_elastic_work_shrinks_before_anybody_leaves() -> None:
    gang = trains("gang", "g0", "g1", elastic=elastic(1, 2, 4))
    plan = decide(seen(gang, asks("high", 1, priority="interactive")), EAGER, NOW)
    (resize,) = plan.resized
    assert (leaving(plan), resize.before, resize.after) == ([], 2, 1)
    assert [part.node for part in resize.grant.slices] == ["c0", "g0"]
    assert wait_of(plan, "high").expected_start == NOW + GRACE_S


def test_a_gang_whose_head_is_among_its_workers_shrinks_to_what_is_with_it_before_it_leaves() -> None:
    def workers(number: int, node: str, count: int) -> Slice:
        return Slice(f"w-{number}", "w", node, "commodity", count, Resources.of(count, 0, "1 GiB"), head=number == 0)

    group = Group(name="w", count=8, min=1, max=12, tier="commodity", memory="1 MiB")
    fields: dict[str, Any] = {
        "rank": Priority.BATCH.rank,
        "settled": True,
        "movable": True,
        "told": Told(1, workers=12),
    }
    gang = Running("gang", Grant((workers(0, "c0", 8), workers(1, "c1", 4))), None, elastic=group, **fields)
    high = waiting("high", Group(name="w", count=4, tier="commodity", memory="1 MiB"), priority="interactive", at=NOW)
    nodes = (cpu_node("c0", cpus=8), cpu_node("c1", cpus=4))
    plan = decide(Snapshot.of(nodes, [gang], [high], head=HEAD, grace_s=GRACE_S), EAGER, NOW)
    assert (leaving(plan), [(change.before, change.after) for change in plan.resized]) == ([], [(12, 8)])


@pytest.mark.parametrize("asker", ["interactive", "batch", "harvest"])
@pytest.mark.parametrize(("policy", "since"), [(EAGER, 0.0), (Policy(), NOW - 10.0)])
def test_what_a_gang_has_beyond_what_it_asked_for_goes_to_work_of_any_class_however_lately_it_grew(
    asker: str, policy: Policy, since: float
) -> None:
    gang = trains("gang", "g0", "g1", elastic=elastic(1, 1, 4), since=since)
    plan = decide(seen(gang, asks("next", 1, priority=asker)), policy, NOW)
    (resize,) = plan.resized
    assert (resize.before, resize.after) == (2, 1)
    wait = wait_of(plan, "next")
    assert (wait.promised, wait.expected_start) == (True, NOW + GRACE_S)


def test_a_gang_that_grew_lately_keeps_what_it_asked_for_also_against_more_urgent_work() -> None:
    gang = trains("gang", "g0", "g1", elastic=elastic(1, 1, 4), since=NOW - 10.0)
    wide = asks("wide", 2, priority="interactive")
    assert decide(seen(gang, wide), Policy(), NOW).resized == ()
    assert leaving(decide(seen(gang, wide), EAGER, NOW)) == ["gang"]


def test_less_urgent_work_gives_way_before_what_a_more_urgent_gang_has_grown_to() -> None:
    gang = trains("gang", "g0", "g1", elastic=elastic(1, 1, 4), priority="interactive")
    plan = decide(seen(gang, trains("crop", "g2", priority="harvest"), asks("next", 1), gpu_nodes=3), EAGER, NOW)
    assert (leaving(plan), plan.resized) == (["crop"], ())


def test_without_preemption_nothing_is_promised_on_what_nobody_is_asked_for() -> None:
    gang = trains("gang", "g0", "g1", elastic=elastic(1, 1, 4))
    plan = decide(seen(gang, asks("next", 1)), Policy(preemption=False, min_run_s=0.0), NOW)
    assert (plan.resized, wait_of(plan, "next").promised) == ((), False)


def test_a_gang_that_has_what_it_asked_for_keeps_it_against_its_own_class() -> None:
    gang = trains("gang", "g0", "g1", elastic=elastic(1, 2, 4))
    assert decide(seen(gang, asks("next", 1)), EAGER, NOW).resized == ()


def test_elastic_work_starts_smaller_where_it_does_not_fit_as_asked() -> None:
    work = replace(asks("gang", 1), groups=(elastic(1, 4, 8),))
    plan = decide(seen(trains("other", "g0"), work), EAGER, NOW)
    assert plan.placed[0].grant.size("w") == 1


def shares(name: str, gpus: float) -> Project:
    return Project(name=name, guaranteed={"gpu": Share(gpus=gpus)})


def test_a_guaranteed_share_is_had_back_from_a_borrower_of_the_same_class() -> None:
    projects = (shares("ours", 2.0), shares("theirs", 2.0))
    borrower = [trains("b0", "g0", project="theirs", since=5.0), trains("b1", "g1", project="theirs")]
    plan = decide(seen(*borrower, asks("mine", 1, project="ours"), projects=projects), EAGER, NOW)
    assert len(leaving(plan)) == 1
    more = decide(seen(*borrower, asks("mine", 2, project="ours"), projects=projects), EAGER, NOW)
    assert leaving(more) == [], "two workers would be more than what is guaranteed"


def single(name: str, node: str, *, project: str, cheap: bool = False) -> Running:
    """A job on one GPU, its head included; it has saved its work, or lost all of it if it leaves."""
    told = Told(1, saved=NOW - 5.0, save_s=1.0) if cheap else None
    work = trains(name, node, gpus=1, project=project, told=told)
    return replace(work, grant=Grant(tuple(replace(part, head=True) for part in work.grant.slices[1:])))


def of_three(cheap: str) -> Snapshot:
    """Twelve GPUs, four guaranteed to each of three projects: `b` holds five, `c` seven, and `a` asks for four."""
    owners = "b" * 5 + "c" * 7
    jobs = [single(f"{owner}{i}", f"g{i // 2}", project=owner, cheap=owner == cheap) for i, owner in enumerate(owners)]
    mine = asks("mine", 4, gpus=1, project="a")
    return seen(*jobs, mine, gpu_nodes=6, projects=tuple(shares(name, 4.0) for name in "abc"))


@pytest.mark.parametrize("cheap", ["b", "c", ""])
def test_no_project_gives_back_more_than_it_owes_however_cheap_its_work_is(cheap: str) -> None:
    assert sorted(name[0] for name in leaving(decide(of_three(cheap), EAGER, NOW))) == ["b", "c", "c", "c"]


def test_what_is_guaranteed_is_claimed_once_however_many_ask_for_it() -> None:
    jobs = [single(f"c{i}", f"g{i // 2}", project="c") for i in range(12)]
    mine = [asks(f"mine-{i}", 4, gpus=1, project="a") for i in range(2)]
    projects = (shares("a", 4.0), Project(name="c"))
    gone = leaving(decide(seen(*jobs, *mine, gpu_nodes=6, projects=projects), EAGER, NOW))
    assert len(gone) == 4
    going = [replace(one, ends=NOW + 7.0, settled=False, movable=False) if one.name in gone else one for one in jobs]
    assert leaving(decide(seen(*going, *mine, gpu_nodes=6, projects=projects), EAGER, NOW)) == []


def test_the_last_that_leaves_may_take_its_project_below_its_guarantee() -> None:
    projects = (shares("ours", 3.0), shares("theirs", 3.0))
    borrower = [trains(f"b{i}", f"g{i}", project="theirs") for i in range(3)]
    mine = asks("mine", 3, gpus=1, project="ours")
    assert len(leaving(decide(seen(*borrower, mine, gpu_nodes=3, projects=projects), EAGER, NOW))) == 2


def test_what_a_project_gives_back_already_is_not_owed_again() -> None:
    projects = (shares("ours", 2.0), shares("theirs", 4.0))
    going = trains("b0", "g0", project="theirs", ends=NOW + 7, settled=False, movable=False)
    stays = [trains(f"b{i}", f"g{i}", project="theirs") for i in (1, 2)]
    mine = [asks(f"mine-{i}", 1, project="ours") for i in range(2)]
    assert leaving(decide(seen(going, *stays, *mine, gpu_nodes=3, projects=projects), EAGER, NOW)) == []


def test_a_limit_keeps_work_waiting_and_says_so_and_holds_up_nobody() -> None:
    small = Project(name="small", limit={"gpu": Share(gpus=2.0)})
    projects = (small, Project(name="big"))
    over, other = asks("over", 2, project="small"), asks("other", 1, project="big")
    plan = decide(seen(over, other, projects=projects), EAGER, NOW)
    assert [place.workload for place in plan.placed] == ["other"]
    assert "more than the limit of project small allows" in wait_of(plan, "over").reason
    assert not wait_of(plan, "over").promised


def test_the_limit_counts_what_the_same_plan_gives() -> None:
    projects = (Project(name="small", limit={"gpu": Share(gpus=2.0)}),)
    plan = decide(seen(asks("a", 1, project="small"), asks("b", 1, project="small"), projects=projects), EAGER, NOW)
    assert [place.workload for place in plan.placed] == ["a"]


def test_inside_a_class_the_project_that_used_least_for_its_weight_comes_first() -> None:
    projects = (Project(name="heavy"), Project(name="light", weight=2.0))
    works = [asks("first", 2, project="heavy"), replace(asks("second", 2, project="light"), submitted=NOW + 1)]
    used = replace(seen(*works, projects=projects), usage=Usage(NOW, {"heavy": 60.0, "light": 100.0}))
    assert [place.workload for place in decide(used, EAGER, NOW).placed] == ["second"]
    unfair = EAGER.model_copy(update={"fair": False})
    assert [place.workload for place in decide(used, unfair, NOW).placed] == ["first"]
