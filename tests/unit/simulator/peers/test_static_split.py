"""B1: serving nodes set apart, EASY on the others."""

import pytest

from fabric.simulator.peers.static_split import StaticSplitSettings, static_split
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

SPLIT = StaticSplitSettings(serving_nodes=1, peaks={"chat": 4}, speeds={"older": 0.4})
NO_SPLIT = StaticSplitSettings(speeds={"older": 0.4})


def test_jobs_never_use_a_serving_node_even_if_it_is_idle() -> None:
    plan = decide(static_split(SPLIT), world(waits("a", gpus(4)), waits("b", gpus(4), at=1.0)))
    assert started(plan) == {"a": "4@g1"}


def test_a_service_is_kept_at_its_peak_whatever_it_needs() -> None:
    plan = decide(static_split(SPLIT), world(service("chat", {"g0": 1}, [1])))
    assert resized(plan) == {"chat": (1, 4)}


def test_a_service_starts_at_its_peak_on_the_serving_nodes() -> None:
    chat = waits("chat", gpus(1, "gpu", min=1, max=8), hours=None, priority="serving")
    plan = decide(static_split(SPLIT), world(chat))
    assert started(plan) == {"chat": "4@g0"}


def test_nobody_ever_leaves() -> None:
    plan = decide(static_split(SPLIT), world(runs("low", {"g1": 4}, priority="harvest"), waits("a", gpus(4))))
    assert (left(plan), started(plan)) == ([], {})


BUSY = runs("r", {"g0": 4}, ends=2 * HOUR_S)
WIDE = waits("wide", gpus(8), at=1.0)


@pytest.mark.parametrize(
    ("sentence", "job", "starts"),
    [
        ("ends before the reservation", waits("b", gpus(2), at=2.0, hours=2.0), True),
        ("would delay the reservation", waits("b", gpus(2), at=2.0, hours=3.0), False),
        ("has no walltime", waits("b", gpus(2), at=2.0, hours=None), False),
    ],
)
def test_a_job_passes_a_blocked_one_only_if_it_delays_it_not(sentence: str, job: object, starts: bool) -> None:
    plan = decide(static_split(NO_SPLIT), world(BUSY, WIDE, job))  # type: ignore[arg-type]
    assert ("b" in started(plan)) is starts, sentence


def test_a_job_without_an_end_may_use_what_the_reservation_leaves_free() -> None:
    plan = decide(
        static_split(NO_SPLIT), world(BUSY, waits("wide", gpus(6), at=1.0), waits("b", gpus(2), hours=None, at=2.0))
    )
    assert started(plan) == {"b": "2@g1"}


@pytest.mark.parametrize(("protect", "starts"), [(1, True), (2, False)])
def test_a_second_reservation_protects_the_second_blocked_job(protect: int, starts: bool) -> None:
    # The first leaves two devices free from one hour on; the second wants all of them from two hours on.
    snapshot = world(
        runs("r", {"g0": 4}, ends=HOUR_S),
        waits("first", gpus(6), at=1.0, hours=1.0),
        waits("second", gpus(8), at=2.0, hours=1.0),
        waits("c", gpus(2), at=3.0, hours=10.0),
    )
    assert ("c" in started(decide(static_split(StaticSplitSettings(protect=protect)), snapshot))) is starts


def test_the_older_tier_is_taken_where_the_job_ends_there_sooner() -> None:
    site = nodes(gpu=1, older=1)
    long_wait = runs("r", {"g0": 4}, ends=10 * HOUR_S)
    soon_free = runs("r", {"g0": 4}, ends=1 * HOUR_S)
    job = waits("a", gpus(4), hours=2.0)  # 5 h on the older tier
    assert started(decide(static_split(NO_SPLIT), world(long_wait, job, on=site))) == {"a": "4@o0"}
    assert started(decide(static_split(NO_SPLIT), world(soon_free, job, on=site))) == {}
    assert started(decide(static_split(NO_SPLIT), world(job, on=site))) == {"a": "4@g0"}


def test_a_gang_never_mixes_tiers_with_accelerators() -> None:
    plan = decide(static_split(NO_SPLIT), world(waits("a", gpus(8)), on=nodes(gpu=1, older=1)))
    assert started(plan) == {}


def test_shortest_first_lets_the_shorter_of_two_pass() -> None:
    jobs = (waits("long", gpus(4), at=2.0, hours=2.0), waits("short", gpus(4), at=3.0, hours=1.0))
    snapshot = world(BUSY, WIDE, *jobs)
    assert started(decide(static_split(StaticSplitSettings(backfill="shortest")), snapshot)) == {"short": "4@g1"}
    assert started(decide(static_split(StaticSplitSettings()), snapshot)) == {"long": "4@g1"}
