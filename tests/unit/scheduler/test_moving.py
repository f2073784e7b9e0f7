"""Work that began on slower accelerators goes on on faster ones that nobody who waits could use."""

from dataclasses import replace
from typing import Any

import pytest

from fabric.core.resources import Resources
from fabric.scheduler.cycle import decide
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Node, Running, Snapshot, Told, Waiting
from tests.builders import HEAD, cpu_node, gpu_node, group, piece, running, waiting

OLD = Node("old0", "old", Resources.of(4, 2, "8 GiB"), speed=0.5)
NOW = 10_000.0
GRACE_S = 20.0
MOVES = Policy(moves=True)
ANYWHERE = group("w", 2, gpus=1)


def seen(*work: Running | Waiting) -> Snapshot:
    return Snapshot.of(
        [gpu_node("g0"), OLD, cpu_node("c0", cpus=16)],
        [item for item in work if isinstance(item, Running)],
        [item for item in work if isinstance(item, Waiting)],
        head=HEAD,
        grace_s=GRACE_S,
    )


def slow(ran_s: float = 2000.0, **more: Any) -> Running:
    """A gang on the slow node that saves in 10 s."""
    part = replace(piece("old0", "w", Resources.of(1, 2, "1 GiB")), tier="old", workers=2)
    fields = {"told": Told(1, saved=NOW - 10.0, save_s=10.0), "roams": (ANYWHERE,), "movable": True, **more}
    return replace(running("slow", part, ends=NOW + 9000.0), since=NOW - ran_s, **fields)


def asks(name: str = "new", walltime_s: float | None = 4000.0, **more: Any) -> Waiting:
    return waiting(name, ANYWHERE, walltime_s=walltime_s, at=NOW, saves=True, **more)


def leaving(plan: Plan) -> list[str]:
    return [action.workload for action in plan.preempted]


def nodes_of(plan: Plan) -> set[str]:
    return {part.node for place in plan.placed for part in place.grant.slices if part.group == "w"}


def test_it_moves_to_faster_nodes_that_are_idle_and_only_where_the_site_wants_that() -> None:
    plan = decide(seen(slow()), MOVES, NOW)
    assert leaving(plan) == ["slow"]
    assert plan.preempted[0].reason == "goes on on faster nodes of gpu"
    assert leaving(decide(seen(slow()), Policy(), NOW)) == []


@pytest.mark.parametrize(
    ("work", "why"),
    [
        (slow(ran_s=500.0), "it has not run for ten minutes"),
        (slow(told=None), "nobody knows that it saves"),
        (slow(told=Told(1, saved=NOW - 10.0, save_s=GRACE_S + 1)), "saving takes longer than it is given"),
        (slow(told=Told(1, saved=NOW - 10.0, save_s=10.0, left_s=100.0)), "it is done before a restart has paid"),
        (slow(ends=NOW + 130.0), "its walltime is over before a restart has paid"),
        (slow(roams=()), "it asked for this tier"),
        (slow(movable=False), "it leaves already"),
    ],
)
def test_it_stays_where_moving_is_no_gain_or_not_possible(work: Running, why: str) -> None:
    assert leaving(decide(seen(work), MOVES, NOW)) == [], why


def test_whoever_waits_gets_the_faster_nodes_first() -> None:
    plan = decide(seen(slow(), asks()), MOVES, NOW)
    assert (nodes_of(plan), leaving(plan)) == ({"g0"}, [])


def test_the_one_that_gains_most_moves_and_nobody_moves_twice_into_the_same_room() -> None:
    halves = [
        replace(
            slow(ran_s, roams=(group("w", 2, gpus=0.5),)),
            name=name,
            grant=replace(
                slow().grant, slices=(replace(slow().grant.slices[0], resources=Resources.of(1, 1, "1 GiB")),)
            ),
        )
        for name, ran_s in (("younger", 1500.0), ("older", 3000.0))
    ]
    busy = running("busy", piece("g0", resources=Resources.of(1, 1, "1 GiB")), ends=NOW + 9000.0)
    assert leaving(decide(seen(*halves, busy), MOVES, NOW)) == ["older"]


def test_work_that_saves_starts_on_slow_nodes_however_long_it_is_if_it_can_move_on_later() -> None:
    busy = running("busy", piece("g0", resources=Resources.of(1, 2, "1 GiB")), ends=NOW + 3000.0)
    assert nodes_of(decide(seen(busy, asks()), Policy(), NOW)) == set()
    assert nodes_of(decide(seen(busy, asks()), MOVES, NOW)) == {"old0"}
    stays = replace(asks(), saves=False)
    assert nodes_of(decide(seen(busy, stays), MOVES, NOW)) == set()


def test_it_waits_for_fast_nodes_that_it_is_promised_within_the_least_run_time() -> None:
    busy = running("busy", piece("g0", resources=Resources.of(1, 2, "1 GiB")), ends=NOW + 590.0)
    plan = decide(seen(busy, asks()), MOVES, NOW)
    assert (nodes_of(plan), plan.promises["new"].start) == (set(), NOW + 590.0)


def test_room_is_made_on_the_fast_nodes_before_short_work_takes_slow_ones() -> None:
    grown = replace(
        running("grown", replace(piece("g0", "w", Resources.of(1, 2, "1 GiB")), workers=2), ends=NOW + 90_000.0),
        elastic=group("w", 1, gpus=1, min=1, max=2), settled=True, movable=True, told=Told(1, workers=2),
    )  # fmt: skip
    one = waiting("short", group("w", 1, gpus=1), walltime_s=1000.0, at=NOW)
    grown = replace(grown, rank=one.rank)
    plan = decide(seen(grown, one), Policy(slower_for_s=1000.0), NOW)
    assert nodes_of(plan) == set()
    assert [change.workload for change in plan.resized] == ["grown"]
    assert plan.promises["short"].start == NOW + GRACE_S
