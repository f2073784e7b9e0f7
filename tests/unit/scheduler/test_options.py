"""Work that may use faster and slower accelerators goes where it ends first."""

from dataclasses import replace

import pytest

from fabric.core.resources import Resources
from fabric.scheduler.cycle import decide
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Node, Running, Snapshot, Waiting
from tests.builders import HEAD, cpu_node, gpu_node, group, piece, running, waiting

OLD = Node("old0", "old", Resources.of(4, 2, "8 GiB"), speed=0.5)
NOW = 1_000.0


def seen(*work: Running | Waiting) -> Snapshot:
    return Snapshot.of(
        [gpu_node("g0"), OLD, cpu_node("c0", cpus=16)],
        [item for item in work if isinstance(item, Running)],
        [item for item in work if isinstance(item, Waiting)],
        head=HEAD,
    )


def busy(ends: float | None) -> Running:
    return running("busy", piece("g0", resources=Resources.of(1, 2, "1 GiB")), ends=ends)


def anywhere(walltime_s: float | None = 100.0) -> Waiting:
    return waiting("any", group("w", 2, gpus=1), walltime_s=walltime_s, at=NOW)


def nodes_of(snapshot: Snapshot, policy: Policy | None = None) -> set[str]:
    plan = decide(snapshot, policy or Policy(), NOW)
    return {part.node for place in plan.placed for part in place.grant.slices if part.group == "w"}


def test_the_fastest_that_is_free_is_taken() -> None:
    assert nodes_of(seen(anywhere())) == {"g0"}


@pytest.mark.parametrize(("wait_s", "where"), [(150.0, {"old0"}), (50.0, set[str]())])
def test_slower_ones_are_taken_only_where_the_work_ends_no_later_than_if_it_waited(
    wait_s: float, where: set[str]
) -> None:
    assert nodes_of(seen(busy(NOW + wait_s), anywhere())) == where


@pytest.mark.parametrize(("most_s", "where"), [(100.0, {"old0"}), (99.0, set[str]())])
def test_short_work_that_is_promised_nothing_may_start_on_slower_ones_that_are_free(
    most_s: float, where: set[str]
) -> None:
    first = waiting("first", group("w", 2, "gpu", gpus=1), walltime_s=10.0, at=NOW - 1.0)
    assert nodes_of(seen(busy(NOW + 50.0), first, anywhere()), Policy(slower_for_s=most_s)) == where


def test_short_work_waits_for_fast_ones_that_it_is_promised_soon() -> None:
    assert nodes_of(seen(busy(NOW + 50.0), anywhere()), Policy(slower_for_s=100.0)) == set()


def test_where_nobody_can_say_when_the_fast_ones_are_free_the_slow_ones_are_taken() -> None:
    assert nodes_of(seen(busy(None), anywhere())) == {"old0"}
    assert nodes_of(seen(busy(None), anywhere(None))) == {"old0"}


@pytest.mark.parametrize(("waited_s", "where"), [(299.0, set[str]()), (300.0, {"old0"})])
def test_fast_ones_are_waited_for_before_slow_ones_are_taken(waited_s: float, where: set[str]) -> None:
    again = replace(anywhere(), submitted=0.0, since=NOW - waited_s)
    assert nodes_of(seen(busy(None), again), Policy(slower_after_s=300.0)) == where
    assert nodes_of(seen(again), Policy(slower_after_s=300.0)) == {"g0"}, "free fast ones are not waited for"


def test_nobody_is_promised_slow_ones_that_it_may_not_take_by_then() -> None:
    old_busy = replace(running("slow", piece("old0", resources=Resources.of(1, 2, "1 GiB")), ends=NOW + 10.0))
    world = seen(busy(NOW + 500.0), old_busy, anywhere())
    kept = [decide(world, Policy(slower_after_s=after_s), NOW).promises["any"].start for after_s in (10.0, 11.0)]
    assert kept == [NOW + 10.0, NOW + 500.0]


def test_a_gang_is_not_spread_over_both_kinds() -> None:
    wide = waiting("wide", group("w", 4, gpus=1), walltime_s=100.0, at=NOW)
    plan = decide(seen(wide), Policy(), NOW)
    assert plan.placed == ()


def test_what_is_promised_is_the_earlier_end_and_its_time_on_the_slow_ones_is_longer() -> None:
    old_busy = replace(running("slow", piece("old0", resources=Resources.of(1, 2, "1 GiB")), ends=NOW + 10.0))
    plan = decide(seen(busy(NOW + 500.0), old_busy, anywhere()), Policy(), NOW)
    promise = plan.promises["any"]
    assert promise.start == NOW + 10.0
    names = seen().site.names
    assert "old0" in {names[slot[0]] for slot in promise.slots}
    # Somebody who ends after its end there, and not only after that on fast ones, would be in the way.
    late = waiting("late", group("w", 2, "old", gpus=1), walltime_s=50.0, at=NOW + 1)
    assert decide(seen(busy(NOW + 500.0), old_busy, anywhere(), late), Policy(), NOW).placed == ()


def test_one_that_names_its_tier_stays_there() -> None:
    fixed = waiting("fixed", group("w", 2, "gpu", gpus=1), walltime_s=100.0, at=NOW)
    assert nodes_of(seen(busy(None), fixed)) == set()
