"""B6: rounds of Sia on small worlds, and the composite with loans."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.simulator.peers.sia import SiaSettings, sia
from fabric.simulator.peers.sia_choice import Choice, choose
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

SETTINGS = SiaSettings(speeds={"older": 0.4})
ONE = nodes(gpu=1)
ELASTIC = gpus(2, min=1, max=4)


def test_a_lone_elastic_job_starts_at_its_largest_size() -> None:
    assert started(decide(sia(SETTINGS), world(waits("a", ELASTIC), on=ONE))) == {"a": "4@g0"}


def test_two_share_what_is_there() -> None:
    plan = decide(sia(SETTINGS), world(waits("a", ELASTIC), waits("b", ELASTIC), on=ONE))
    assert started(plan) == {"a": "2@g0", "b": "2@g0"}


def test_a_rigid_job_has_the_size_it_asked_for_or_nothing() -> None:
    plan = decide(sia(SETTINGS), world(waits("a", gpus(3)), on=ONE))
    assert started(plan) == {"a": "3@g0"}


def old(decider: object, *running: object) -> None:
    """Let a decider have seen jobs run for a day."""
    decide(decider, world(*running, on=ONE), -24 * HOUR_S)  # type: ignore[arg-type]


def test_an_old_job_grows_when_its_goodput_gains_more_than_a_restart_costs() -> None:
    job, decider = runs("a", {"g0": 2}, group=ELASTIC), sia(SETTINGS)
    old(decider, job)
    assert resized(decide(decider, world(job, on=ONE), 0.0)) == {"a": (2, 4)}


def test_a_job_that_has_just_started_does_not_grow() -> None:
    job, decider = runs("a", {"g0": 2}, group=ELASTIC), sia(SETTINGS)
    decide(decider, world(job, on=ONE), 0.0)
    assert resized(decide(decider, world(job, on=ONE), 60.0)) == {}


def test_an_elastic_job_shrinks_for_one_that_waits() -> None:
    job, decider = runs("a", {"g0": 4}, group=ELASTIC), sia(SETTINGS)
    old(decider, job)
    plan = decide(decider, world(job, waits("b", gpus(2), at=1.0), on=ONE), 0.0)
    assert (resized(plan), started(plan), left(plan)) == ({"a": (4, 2)}, {}, [])


def test_nothing_changes_during_a_round() -> None:
    job, decider = runs("a", {"g0": 4}, group=ELASTIC), sia(SETTINGS)
    old(decider, job)
    decide(decider, world(job, on=ONE), 0.0)
    plan = decide(decider, world(job, waits("b", gpus(2), at=1.0), on=ONE), 59.0)
    assert (resized(plan), started(plan), left(plan)) == ({}, {}, [])


def test_the_slower_tier_is_used_by_whom_it_costs_least() -> None:
    site = nodes(gpu=1, older=1)
    plan = decide(sia(SETTINGS), world(*(waits(f"j{i}", gpus(2), at=float(i)) for i in range(4)), on=site))
    assert sorted(started(plan).values()) == ["2@g0", "2@g0", "2@o0", "2@o0"]


def test_with_loans_an_idle_serving_node_is_used_and_without_it_is_not() -> None:
    chat = service("chat", {"g0": 2}, [2], most=8)
    site, job = nodes(gpu=3), waits("a", gpus(8))
    split = SiaSettings(serving_nodes=2, peaks={"chat": 2})
    assert started(decide(sia(split), world(chat, job, on=site))) == {}
    lent = split.model_copy(update={"loans": True, "spare_nodes": 0})
    assert started(decide(sia(lent), world(chat, job, on=site))) == {"a": "4@g2 4@g1"}


CHOICES = st.lists(
    st.builds(
        Choice, tier=st.integers(0, 1), workers=st.integers(1, 9), devices=st.integers(1, 4), worth=st.floats(0.05, 1)
    ),
    max_size=3,
    unique_by=lambda choice: (choice.tier, choice.devices),
).map(lambda some: [Choice(c.tier, number, c.devices, c.worth) for number, c in enumerate(some, start=1)])


def best(jobs: list[list[Choice]], devices: list[int]) -> float:
    """The most worth that any allowed choice has."""
    most = 0.0
    for picks in product(*([None, *choices] for choices in jobs)):
        used = [sum(c.devices for c in picks if c and c.tier == tier) for tier in range(len(devices))]
        if all(u <= d for u, d in zip(used, devices, strict=True)):
            most = max(most, sum(c.worth for c in picks if c))
    return most


@given(st.lists(CHOICES, max_size=5), st.integers(0, 8))
def test_on_one_tier_the_choice_is_the_best(jobs: list[list[Choice]], devices: int) -> None:
    here = [[choice for choice in choices if choice.tier == 0] for choices in jobs]
    found = choose(here, [devices])
    assert sum(c.worth for c in found if c) == pytest.approx(best(here, [devices]), abs=1e-5)
    assert sum(c.devices for c in found if c) <= devices


@given(st.lists(CHOICES, max_size=5), st.tuples(st.integers(0, 8), st.integers(0, 4)))
def test_on_two_tiers_all_is_given_that_anybody_wants_and_no_more(
    jobs: list[list[Choice]], devices: tuple[int, int]
) -> None:
    found = choose(jobs, devices)
    for tier in (0, 1):
        assert sum(c.devices for c in found if c and c.tier == tier) <= devices[tier]
    left = [room - sum(c.devices for c in found if c and c.tier == tier) for tier, room in enumerate(devices)]
    for choices, got in zip(jobs, found, strict=True):
        assert got is not None or not [c for c in choices if c.devices <= left[c.tier]], "nobody goes without in vain"
