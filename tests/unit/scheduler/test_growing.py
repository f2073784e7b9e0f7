"""Running gangs get what nobody else could use."""

from typing import Any

from fabric.scheduler.cycle import decide
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Running, Told
from tests.unit.scheduler.test_room import EAGER, NOW, asks, elastic, seen, trains


def gang(name: str, *nodes: str, most: int = 4, **more: Any) -> Running:
    count = more.pop("count", len(nodes))
    return trains(
        name,
        *nodes,
        elastic=elastic(1, count, most),
        told=more.pop("told", Told(1, left_s=36_000.0, workers=1)),
        **more,
    )


def test_a_gang_grows_onto_idle_nodes_and_keeps_its_slices() -> None:
    (resize,) = decide(seen(gang("a", "g0"), gpu_nodes=3), EAGER, NOW).resized
    assert (resize.before, resize.after, resize.grace_s) == (1, 3, 0.0)
    assert [(part.name, part.node) for part in resize.grant.slices] == [
        ("head", "c0"), ("w-0", "g0"), ("w-1", "g1"), ("w-2", "g2"),
    ]  # fmt: skip
    assert "grows from 1 to 3 workers and ends" in resize.reason


def test_a_gang_that_nobody_may_ask_for_it_grows_no_further_than_what_it_asked_for() -> None:
    lasting = Policy(preemption=False, min_run_s=0.0)
    assert decide(seen(gang("a", "g0"), gpu_nodes=3), lasting, NOW).resized == ()
    (resize,) = decide(seen(gang("a", "g0", count=2), gpu_nodes=3), lasting, NOW).resized
    assert (resize.before, resize.after) == (1, 2)


def test_whoever_waits_comes_first() -> None:
    plan = decide(seen(gang("a", "g0"), asks("b", 1), gpu_nodes=2), EAGER, NOW)
    assert ([place.workload for place in plan.placed], plan.resized) == (["b"], ())


def test_what_is_promised_soon_is_not_grown_into() -> None:
    blocker = trains("other", "g1", ends=NOW + 100)
    wide = asks("wide", 2, walltime_s=50.0)
    plan = decide(seen(gang("a", "g0"), blocker, wide, gpu_nodes=3), EAGER, NOW)
    assert plan.promises["wide"].start == NOW + 100
    assert plan.resized == ()


def test_what_is_promised_much_later_is_used_until_then() -> None:
    blocker = trains("other", "g1", ends=NOW + 50_000)
    plan = decide(seen(gang("a", "g0"), blocker, asks("wide", 2, walltime_s=50.0), gpu_nodes=3), EAGER, NOW)
    assert [(resize.workload, resize.after) for resize in plan.resized] == [("a", 2)]
    # Once grown, what was promised is still promised, at the same instant.
    later = decide(
        seen(gang("a", "g0", "g2", count=1, since=NOW), blocker, asks("wide", 2, walltime_s=50.0), gpu_nodes=3),
        EAGER, NOW + 60,
    )  # fmt: skip
    assert later.promises["wide"].start == NOW + 50_000


def test_a_gang_below_what_it_asked_for_takes_nothing_that_it_would_keep_from_who_was_promised_it() -> None:
    blocker, wide = trains("other", "g1", ends=NOW + 50_000), asks("wide", 2, walltime_s=50.0)
    plan = decide(seen(gang("a", "g0", count=2), blocker, wide, gpu_nodes=3), EAGER, NOW)
    assert (plan.resized, plan.promises["wide"].start) == ((), NOW + 50_000)
    wider = asks("wider", 3, walltime_s=50.0)
    plan = decide(seen(gang("a", "g0", count=2, ends=NOW + 40_000), blocker, wider, gpu_nodes=3), EAGER, NOW)
    assert [(resize.workload, resize.after) for resize in plan.resized] == [("a", 2)], "it ends before that"


def test_a_gang_that_is_nearly_done_is_left_alone() -> None:
    assert decide(seen(gang("a", "g0", told=Told(1, left_s=30.0, workers=1)), gpu_nodes=3), EAGER, NOW).resized == ()


def test_a_gang_that_was_just_resized_is_left_alone() -> None:
    patient = Policy(min_run_s=600.0)
    assert decide(seen(gang("a", "g0", since=NOW - 60), gpu_nodes=3), patient, NOW).resized == ()


def test_without_elasticity_nobody_changes_and_work_starts_as_asked() -> None:
    rigid = Policy(elastic=False, min_run_s=0.0)
    assert decide(seen(gang("a", "g0"), gpu_nodes=3), rigid, NOW).resized == ()


def test_two_gangs_share_what_is_idle_by_what_it_saves() -> None:
    short, long = (
        gang("short", "g0", told=Told(1, left_s=2_000.0, workers=1)),
        gang("long", "g1", told=Told(1, left_s=90_000.0, workers=1)),
    )
    plan = decide(seen(short, long, gpu_nodes=3), EAGER, NOW)
    assert [(resize.workload, resize.after) for resize in plan.resized] == [("long", 2)]


def test_a_gang_that_never_said_at_what_size_it_works_is_left_alone() -> None:
    assert decide(seen(gang("a", "g0", told=Told(1, left_s=36_000.0)), gpu_nodes=3), EAGER, NOW).resized == ()
    assert decide(seen(gang("a", "g0", told=None), gpu_nodes=3), EAGER, NOW).resized == ()
