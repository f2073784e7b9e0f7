"""B2: Slurm's documented behaviour on small worlds."""

import pytest

from fabric.simulator.peers.services import Autoscaling
from fabric.simulator.peers.slurm import SlurmSettings, slurm
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

EXACT = Autoscaling(headroom=0.0)
SETTINGS = SlurmSettings(scaling=EXACT)


@pytest.mark.parametrize(("hours", "starts"), [(1.0, True), (3.0, False), (None, False)])
def test_backfill_needs_a_walltime_that_ends_before_the_reservation(hours: float | None, starts: bool) -> None:
    snapshot = world(
        runs("r", {"g0": 4}, ends=2 * HOUR_S), waits("wide", gpus(8), at=1.0), waits("b", gpus(2), at=2.0, hours=hours)
    )
    assert ("b" in started(decide(slurm(SETTINGS), snapshot))) is starts


def test_replicas_of_the_serving_qos_requeue_the_job_that_started_last() -> None:
    snapshot = world(
        service("chat", {"g0": 1}, [2]),
        runs("old", {"g0": 3}, since=-9 * HOUR_S),
        runs("new", {"g1": 4}, since=-1 * HOUR_S),
    )
    plan = decide(slurm(SETTINGS), snapshot)
    assert (left(plan), resized(plan)) == (["new"], {})


def test_the_smallest_job_is_requeued_where_the_site_orders_so() -> None:
    snapshot = world(service("chat", {"g0": 1}, [2]), runs("small", {"g0": 3}), runs("big", {"g1": 4}, since=0.0))
    assert left(decide(slurm(SETTINGS.model_copy(update={"victims": "smallest"})), snapshot)) == ["small"]


def test_nobody_is_requeued_who_has_not_run_for_the_exempt_time() -> None:
    snapshot = world(service("chat", {"g0": 4}, [5]), runs("young", {"g1": 4}, since=-60.0))
    assert left(decide(slurm(SETTINGS), snapshot)) == ["young"]
    assert left(decide(slurm(SETTINGS.model_copy(update={"exempt_s": 600.0})), snapshot)) == []


def test_batch_never_requeues_batch() -> None:
    snapshot = world(runs("r", {"g0": 4}), runs("s", {"g1": 4}), waits("a", gpus(1)))
    assert left(decide(slurm(SETTINGS), snapshot)) == []


def test_only_as_many_are_requeued_as_are_needed() -> None:
    running = [runs(f"j{i}", {"g1": 1}, since=-float(i)) for i in range(4)]
    plan = decide(slurm(SETTINGS), world(service("chat", {"g0": 4}, [6]), *running))
    assert left(plan) == ["j0", "j1"]


def test_room_that_is_about_to_be_free_is_waited_for_and_nobody_else_leaves_for_it() -> None:
    snapshot = world(
        service("chat", {"g0": 4}, [6]), runs("going", {"g1": 2}, ends=10.0, settled=False), runs("stays", {"g1": 2})
    )
    plan = decide(slurm(SETTINGS), snapshot)
    assert (left(plan), started(plan)) == ([], {})


@pytest.mark.parametrize(("needs", "starts"), [(4, True), (6, False)])
def test_a_job_does_not_get_between_a_replica_and_the_room_that_is_made_for_it(needs: int, starts: bool) -> None:
    chat = service("chat", {"g0": 4}, [needs], settled=False)
    snapshot = world(chat, runs("going", {"g1": 1}, ends=10.0, settled=False), waits("a", gpus(2)))
    assert ("a" in started(decide(slurm(SETTINGS), snapshot))) is starts


def test_a_service_gives_back_what_it_has_not_needed_for_five_minutes() -> None:
    for since, expected in ((-301.0, {"chat": (4, 2)}), (-299.0, {})):
        assert resized(decide(slurm(SETTINGS), world(service("chat", {"g0": 4}, [2], since=since)))) == expected


def test_headroom_is_rounded_up() -> None:
    snapshot = world(service("chat", {"g0": 2}, [2]))
    assert resized(decide(slurm(SlurmSettings(scaling=Autoscaling(headroom=0.1))), snapshot)) == {"chat": (2, 3)}


def test_the_project_that_used_less_of_late_goes_first() -> None:
    decider = slurm(SETTINGS)
    busy = world(runs("r", {"g0": 4}, project="greedy"))
    decide(decider, busy, 0.0)
    queue = (waits("a", gpus(8), project="greedy"), waits("b", gpus(8), at=1.0, project="modest"))
    assert started(decide(decider, world(*queue), HOUR_S)) == {"b": "4@g0 4@g1"}


def test_age_wins_where_fairshare_counts_nothing() -> None:
    decider = slurm(SlurmSettings(weight_fairshare=0.0))
    queue = (waits("late", gpus(8), at=10.0), waits("early", gpus(8), at=0.0))
    assert started(decide(decider, world(*queue), HOUR_S)) == {"early": "4@g0 4@g1"}


def test_large_jobs_go_first_where_size_has_weight() -> None:
    decider = slurm(SlurmSettings(weight_fairshare=0.0, weight_size=1e5))
    queue = (waits("small", gpus(1)), waits("large", gpus(8), at=1.0))
    assert list(started(decide(decider, world(*queue), HOUR_S))) == ["large"]


def test_a_more_urgent_qos_goes_first_whatever_the_age() -> None:
    queue = (waits("old", gpus(8)), waits("urgent", gpus(8), at=6 * 86400.0, priority="interactive"))
    assert list(started(decide(slurm(SETTINGS), world(*queue), 7 * 86400.0))) == ["urgent"]


def test_elastic_jobs_run_at_the_size_they_asked_for() -> None:
    job = waits("a", gpus(2, min=1, max=8))
    assert started(decide(slurm(SETTINGS), world(job, on=nodes(gpu=2)))) == {"a": "2@g0"}
