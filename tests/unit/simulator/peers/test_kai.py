"""B4: KAI's documented behaviour on small worlds."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.resources import Resources
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.kai import KaiSettings, kai
from fabric.simulator.peers.kai_shares import fair_shares, weights_of
from fabric.simulator.peers.quotas import Quotas
from fabric.simulator.peers.services import Autoscaling
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import Group
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

HALVES = {"a": 0.5, "b": 0.5}


def settings(**more: Any) -> KaiSettings:
    """Queues `a` and `b` with half of every tier each."""
    return KaiSettings(**{"shares": HALVES, "scaling": Autoscaling(headroom=0.0), "reclaim_min_run_s": 0.0, **more})


def test_the_least_saturated_queue_goes_first() -> None:
    queue = (waits("a1", gpus(4), project="a"), waits("b1", gpus(4), at=5.0, project="b"))
    snapshot = world(runs("a0", {"g0": 4}, project="a"), *queue)
    assert list(started(decide(kai(settings()), snapshot))) == ["b1"]


def test_a_queue_goes_over_its_quota_where_nobody_else_asks() -> None:
    assert started(decide(kai(settings()), world(waits("j", gpus(8), project="a")))) == {"j": "4@g0 4@g1"}


OVER = (runs("a0", {"g0": 4}, project="a", since=-HOUR_S), runs("a1", {"g1": 4}, project="a", since=-60.0))


def test_a_queue_reclaims_its_quota_from_the_newest_work_of_one_that_is_over_its_own() -> None:
    assert left(decide(kai(settings()), world(*OVER, waits("j", gpus(4), project="b")))) == ["a1"]


def test_minimum_run_time_protects_from_reclaim() -> None:
    snapshot = world(*OVER, waits("j", gpus(4), project="b"))
    assert left(decide(kai(settings(reclaim_min_run_s=600.0)), snapshot)) == ["a0"]
    assert left(decide(kai(settings(reclaim_min_run_s=7200.0)), snapshot)) == []


def test_minimum_run_time_protects_from_preemption() -> None:
    snapshot = world(
        runs("low", {"g0": 4, "g1": 4}, priority="harvest", since=-60.0),
        waits("j", gpus(4)),
    )
    assert left(decide(kai(settings(shares={}, preempt_min_run_s=0.0)), snapshot)) == ["low"]
    assert left(decide(kai(settings(shares={}, preempt_min_run_s=600.0)), snapshot)) == []


@pytest.mark.parametrize(("reclaim", "victims"), [("deserved", []), ("fair-share", ["a3", "a4"])])
def test_beyond_its_quota_a_queue_reclaims_only_up_to_its_fair_share(reclaim: str, victims: list[str]) -> None:
    # Of twelve devices 3.6 are the quota of each queue; the fair share of b is the five that it wants.
    shares = {"a": 0.3, "b": 0.3}
    held = tuple(runs(f"a{i}", {f"g{i // 2}": 2}, project="a", since=-9.0 + i) for i in range(5))
    own = runs("b0", {"g2": 2}, project="b")
    snapshot = world(*held, own, waits("j", gpus(3), project="b"), waits("k", gpus(9), project="a"), on=nodes(gpu=3))
    assert left(decide(kai(settings(shares=shares, reclaim=reclaim)), snapshot)) == victims


def test_consolidation_moves_small_jobs_together_for_a_gang() -> None:
    pair = Group(name="workers", count=1, gpus=4.0)
    running = (runs("x", {"g0": 1}), runs("y", {"g1": 1}))
    snapshot = world(*running, waits("gang", pair))
    plan = decide(kai(settings(shares={})), snapshot)
    assert (left(plan), started(plan)) == (["x"], {})
    assert left(decide(kai(settings(shares={}, consolidation=0)), snapshot)) == []


def test_no_more_jobs_are_moved_than_the_site_allows() -> None:
    running = [runs(f"{node}{i}", {node: 1}) for node in ("g0", "g1") for i in range(2)]
    snapshot = world(*running, waits("gang", Group(name="workers", count=1, gpus=4.0)))
    assert left(decide(kai(settings(shares={}, consolidation=2)), snapshot)) == ["g00", "g01"]
    assert left(decide(kai(settings(shares={}, consolidation=1)), snapshot)) == []


def test_nobody_is_moved_who_finds_no_other_place() -> None:
    pair = Grant((Slice("workers-0", "workers", "g1", "gpu", 1, Resources.of(1, 2, "1 GiB"), head=True),))
    running = (runs("x", {"g0": 3}, settled=False), replace(runs("y", {"g1": 2}), grant=pair))
    snapshot = world(*running, waits("gang", Group(name="workers", count=1, gpus=3.0)))
    assert left(decide(kai(settings(shares={})), snapshot)) == []
    assert left(decide(kai(settings(shares={})), world(running[0], runs("y", {"g1": 2}), *snapshot.waiting))) == ["y"]


def test_those_who_wait_before_a_job_count_when_it_looks_at_the_slower_tier() -> None:
    # Alone the second would wait half an hour for the faster tier; behind the first it waits for ever.
    running = (runs("soon", {"g0": 2}, ends=0.5 * HOUR_S), runs("late", {"g0": 2}, ends=None))
    queue = (waits("wide", gpus(2, "gpu")), waits("j", gpus(2), at=1.0))
    site = nodes(gpu=1, older=1)
    older = settings(shares={}, speeds={"older": 0.4})
    assert started(decide(kai(older), world(*running, queue[1], on=site))) == {}
    assert started(decide(kai(older), world(*running, *queue, on=site))) == {"j": "2@o0"}


def test_elastic_jobs_start_with_their_fewest_workers() -> None:
    job = waits("j", gpus(4, min=2, max=8))
    assert started(decide(kai(settings(shares={})), world(job))) == {"j": "2@g0"}
    assert started(decide(kai(settings(shares={}, elastic=False)), world(job))) == {"j": "4@g0"}


def test_elastic_jobs_that_have_settled_grow_into_idle_devices() -> None:
    group = gpus(4, min=2, max=8, step=2)
    for since, expected in ((-HOUR_S, {"j": (2, 8)}), (-60.0, {})):
        snapshot = world(runs("j", {"g0": 2}, group=group, since=since))
        assert resized(decide(kai(settings(shares={})), snapshot)) == expected


def test_surplus_workers_go_before_anybody_leaves() -> None:
    elastic = runs("e", {"g0": 4}, project="a", group=gpus(2, min=1, max=4), since=-60.0)
    other = runs("r", {"g1": 4}, project="a", since=-1.0)
    plan = decide(kai(settings(reclaim_min_run_s=600.0)), world(elastic, other, waits("j", gpus(3), project="b")))
    assert (resized(plan), left(plan)) == ({"e": (4, 1)}, [])


def test_replicas_reclaim_up_to_the_quota_of_their_queue() -> None:
    shares = {"serving": 0.5, "a": 0.5}
    chat = service("chat", {"g0": 3}, [5], project="serving")
    running = (runs("a0", {"g1": 4}, project="a", since=-99.0), runs("a1", {"g0": 1}, project="a", since=-9.0))
    plan = decide(kai(settings(shares=shares, reclaim="deserved")), world(chat, *running))
    assert left(plan) == ["a1"]


def test_past_use_lowers_the_weight_of_a_queue_where_time_counts() -> None:
    even = weights_of({"a": 0.0, "b": 0.0}, {}, {}, 1.0)
    assert even == {"a": 0.5, "b": 0.5}
    assert weights_of({"a": 0.0, "b": 0.0}, {}, {"a": 3.0, "b": 1.0}, 1.0) == {"a": 0.25, "b": 0.75}
    assert weights_of({"a": 0.0, "b": 0.0}, {}, {"a": 4.0}, 1.0)["a"] == 0.0


@given(st.dictionaries(st.sampled_from("abcd"), st.floats(0, 20), min_size=1))
def test_fair_shares_give_nobody_more_than_asked_and_all_that_is_there(requested: dict[str, float]) -> None:
    draft = Draft(world(), settings(shares={"a": 0.5, "b": 0.25}), 0.0)
    quotas, lot = Quotas(draft, {"a": 0.5, "b": 0.25}), draft.lots.gpu[0]
    share = fair_shares(quotas, lot, requested, dict.fromkeys(requested, 1.0))
    assert all(share[queue] <= asked + 1e-6 for queue, asked in requested.items())
    assert sum(share.values()) == pytest.approx(min(8.0, sum(requested.values())), abs=1e-5)
    assert all(share[q] >= min(requested[q], quotas.entitled(q, lot)) - 1e-6 for q in requested)
