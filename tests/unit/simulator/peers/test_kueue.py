"""B3: Kueue's documented behaviour on small worlds."""

from typing import Any

import pytest

from fabric.simulator.peers.kueue import KueueSettings, kueue
from fabric.simulator.peers.kueue_preemption import KueuePreemption
from fabric.simulator.peers.services import Autoscaling
from tests.unit.simulator.peers.worlds import decide, gpus, left, nodes, resized, runs, service, started, waits, world

EXACT = Autoscaling(headroom=0.0)
HALVES = {"a": 0.5, "b": 0.5}


def settings(shares: dict[str, float] = HALVES, queueing: str = "BestEffortFIFO", **rules: Any) -> KueueSettings:
    """ClusterQueues `a` and `b` with half of every tier each, unless told otherwise."""
    return KueueSettings(shares=shares, queueing=queueing, scaling=EXACT, preemption=KueuePreemption(**rules))  # type: ignore[arg-type]


def test_a_queue_borrows_what_the_cohort_does_not_use() -> None:
    assert started(decide(kueue(settings()), world(waits("j", gpus(8), project="a")))) == {"j": "4@g0 4@g1"}


def test_a_borrowing_limit_holds_it_back() -> None:
    limited = settings().model_copy(update={"borrowing_limit": 0.25})
    assert started(decide(kueue(limited), world(waits("j", gpus(8), project="a")))) == {}
    assert started(decide(kueue(limited), world(waits("j", gpus(6), project="a")))) == {"j": "4@g0 2@g1"}


BORROWED = (runs("a0", {"g0": 4}, project="a"), runs("a1", {"g1": 4}, project="a", since=-60.0))


@pytest.mark.parametrize(
    ("sentence", "rules", "victims"),
    [
        ("what is borrowed is taken back, the last admitted first", {"reclaim_within_cohort": "Any"}, ["a1"]),
        ("nothing is taken back of an equal priority", {"reclaim_within_cohort": "LowerPriority"}, []),
        ("nothing is taken back", {"reclaim_within_cohort": "Never"}, []),
    ],
)
def test_reclaim_within_the_cohort(sentence: str, rules: dict[str, Any], victims: list[str]) -> None:
    plan = decide(kueue(settings(**rules)), world(*BORROWED, waits("mine", gpus(4), project="b")))
    assert (left(plan), started(plan)) == (victims, {}), sentence


def test_reclaim_stops_where_the_lender_would_borrow_itself() -> None:
    plan = decide(kueue(settings()), world(*BORROWED, waits("mine", gpus(5), project="b")))
    assert left(plan) == []


def test_a_queue_that_does_not_borrow_any_more_loses_nothing_more() -> None:
    # Two of three devices of a1 would have to come from a0, whose queue would then be within its quota.
    running = (runs("a0", {"g0": 4}, project="a"), runs("a1", {"g1": 1}, project="a", since=-60.0))
    plan = decide(
        kueue(settings()), world(*running, runs("b0", {"g1": 3}, project="b"), waits("m", gpus(2), project="b"))
    )
    assert left(plan) == []


def test_the_first_strict_head_blocks_its_queue_and_no_other() -> None:
    queue = (
        waits("wide", gpus(8), project="a"),
        waits("small", gpus(1), at=1.0, project="a"),
        waits("other", gpus(1), at=2.0, project="b"),
    )
    snapshot = world(runs("r", {"g0": 1}, project="b"), *queue)
    assert set(started(decide(kueue(settings(queueing="StrictFIFO")), snapshot))) == {"other"}
    assert set(started(decide(kueue(settings()), snapshot))) == {"small", "other"}


def test_best_effort_fifo_starves_a_wide_gang() -> None:
    # A device is free and a narrow job takes it although a wide one has waited longer: nothing is reserved.
    snapshot = world(runs("r", {"g0": 4, "g1": 3}), waits("wide", gpus(2)), waits("narrow", gpus(1), at=9.0))
    assert set(started(decide(kueue(settings(shares={})), snapshot))) == {"narrow"}


def test_heads_within_their_quota_come_before_those_that_borrow() -> None:
    queue = (waits("borrows", gpus(1), project="a"), waits("within", gpus(1), at=5.0, project="b"))
    snapshot = world(runs("a0", {"g0": 4}, project="a"), runs("b0", {"g1": 3}, project="b"), *queue)
    assert set(started(decide(kueue(settings()), snapshot))) == {"within"}


@pytest.mark.parametrize(
    ("policy", "victims"),
    [("Never", []), ("LowerPriority", ["low"]), ("LowerOrNewerEqualPriority", ["low"])],
)
def test_preemption_within_the_queue(policy: str, victims: list[str]) -> None:
    running = (runs("low", {"g0": 4}, priority="harvest"), runs("same", {"g1": 4}, submitted=9.0))
    plan = decide(kueue(settings(shares={}, within_cluster_queue=policy)), world(*running, waits("j", gpus(4), at=5.0)))
    assert left(plan) == victims


def test_newer_work_of_equal_priority_leaves_only_where_the_queue_says_so() -> None:
    running = (runs("older", {"g0": 4}, submitted=1.0), runs("newer", {"g1": 4}, submitted=9.0))
    snapshot = world(*running, waits("j", gpus(4), at=5.0))
    assert left(decide(kueue(settings(shares={})), snapshot)) == []
    newer = settings(shares={}, within_cluster_queue="LowerOrNewerEqualPriority")
    assert left(decide(kueue(newer), snapshot)) == ["newer"]


def test_victims_that_are_not_needed_are_put_back() -> None:
    # By order of admission b1 comes first and is too small; with b4 gone it can stay.
    running = (runs("b4", {"g0": 4}, project="a", since=-100.0), runs("b1", {"g1": 1}, project="a", since=-50.0))
    plan = decide(
        kueue(settings(shares={"b": 1.0})),
        world(*running, runs("b0", {"g1": 3}, project="b"), waits("j", gpus(4), project="b")),
    )
    assert left(plan) == ["b4"]


def test_fair_sharing_lets_a_borrower_take_from_one_that_borrows_more() -> None:
    shares = {"lender": 1.0, "a": 0.0, "b": 0.0}
    running = tuple(runs(f"a{i}", {f"g{i // 4}": 1}, project="a", since=float(-i)) for i in range(8))
    snapshot = world(*running, waits("j", gpus(2), project="b"))
    assert left(decide(kueue(settings(shares=shares)), snapshot)) == []
    assert left(decide(kueue(settings(shares=shares, fair_sharing=True)), snapshot)) == ["a0", "a1"]


def test_fair_sharing_leaves_a_borrower_no_less_than_it_gives_the_asker() -> None:
    shares = {"lender": 1.0, "a": 0.0, "b": 0.0}
    snapshot = world(runs("a0", {"g0": 4}, project="a"), waits("j", gpus(8), project="b"))
    assert left(decide(kueue(settings(shares=shares, fair_sharing=True)), snapshot)) == []


def test_a_service_within_its_quota_takes_back_what_was_lent() -> None:
    shares = {"serving": 0.5, "a": 0.5}
    chat = service("chat", {"g0": 2}, [4], project="serving")
    running = (runs("own", {"g1": 4}, project="a"), runs("lent", {"g0": 2}, project="a", since=-60.0))
    plan = decide(kueue(settings(shares=shares)), world(chat, *running))
    assert (left(plan), resized(plan)) == (["lent"], {})


def test_the_next_flavor_is_tried_before_anybody_is_preempted() -> None:
    site = nodes(gpu=1, older=1)
    running = runs("low", {"g0": 4}, priority="harvest", ends=None)
    plan = decide(kueue(settings(shares={})), world(running, waits("j", gpus(4)), on=site))
    assert (left(plan), started(plan)) == ([], {"j": "4@o0"})
