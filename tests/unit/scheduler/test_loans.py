"""What a service lends, to whom, and when it asks for it back."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.errors import BadInput
from fabric.scheduler.forecast import Demand
from fabric.scheduler.loans import (
    Borrower,
    Declined,
    Leaving,
    Lender,
    Loan,
    Offer,
    due_slots,
    lend,
    offers,
    reclaim,
    remaining,
)
from fabric.scheduler.preemption import Holder


def demand(*replicas: int) -> Demand:
    """Steps of 1,000 s from 0 on."""
    return Demand(0.0, 1000.0, replicas, "given")


def service(**more: Any) -> Lender:
    """Slots for eight replicas of which it needs two; 100 s of cold start, 20 s of grace."""
    fields = {"replicas": 8, "floor": 1, "needed_now": 2, "lead_s": 100.0, "grace_s": 20.0, **more}
    return Lender("chat", **fields)


def borrower(**more: Any) -> Borrower:
    """Two slots and 100 s of staging."""
    return Borrower(**{"name": "train", "slots": 2, "staging_s": 100.0, **more})


def ladder(some: tuple[Offer, ...]) -> list[tuple[int, float]]:
    """Slots and their return."""
    return [(offer.slots, offer.until_s) for offer in some]


def test_what_is_idle_is_lent_until_it_is_needed_less_cold_start_and_grace() -> None:
    assert ladder(offers(service(), demand(2, 5, 5, 7), 0.0)) == [(1, 3880.0), (2, 2880.0), (3, 880.0)]


def test_the_floor_and_what_is_needed_now_are_kept() -> None:
    quiet = demand(0, 0, 0)
    assert ladder(offers(service(needed_now=0), quiet, 0.0)) == [(7, 2880.0)]
    assert ladder(offers(service(needed_now=6), quiet, 0.0)) == [(2, 2880.0)], "more than was forecast"
    assert offers(service(floor=8), quiet, 0.0) == ()
    assert offers(service(needed_now=9), quiet, 0.0) == ()


def test_what_is_needed_within_cold_start_and_grace_is_not_lent() -> None:
    assert ladder(offers(service(), demand(2, 8, 8), 880.0)) == []
    assert ladder(offers(service(), demand(2, 8, 8), 870.0)) == [(6, 880.0)]


def test_a_replica_of_several_slots_lends_all_of_them() -> None:
    assert ladder(offers(service(slots_per_replica=4), demand(2, 2), 0.0)) == [(24, 1880.0)]


@pytest.mark.parametrize(
    "bad", [{"floor": 9}, {"floor": -1}, {"slots_per_replica": 0}, {"lead_s": -1.0}, {"grace_s": -1.0}]
)
def test_a_service_that_cannot_be_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        service(**bad)


OFFERS = (Offer("chat", 3, 5000.0), Offer("chat", 2, 1000.0), Offer("code", 2, 600.0))


@pytest.mark.parametrize(
    ("sentence", "more", "parts", "leaving"),
    [
        ("ends in time: the shortest that is enough", {"ends_in_s": 450.0}, [(2, 600.0)], Leaving.ENDS),
        ("staging is part of its time", {"ends_in_s": 550.0}, [(2, 1000.0)], Leaving.ENDS),
        ("saves: the longest", {"checkpoint_s": 20.0}, [(2, 5000.0)], Leaving.SAVES),
        ("from several offers", {"checkpoint_s": 20.0, "slots": 4}, [(3, 5000.0), (1, 1000.0)], Leaving.SAVES),
        ("leftovers may be killed", {"accepts_loss": True}, [(2, 5000.0)], Leaving.LOSES),
        ("ends too late but saves", {"ends_in_s": 9e9, "checkpoint_s": 1.0}, [(2, 5000.0)], Leaving.SAVES),
    ],
)
def test_who_can_leave_in_time_borrows(
    sentence: str, more: dict[str, Any], parts: list[tuple[int, float]], leaving: Leaving
) -> None:
    loan = lend(borrower(**more), OFFERS, now=0.0, grace_s=20.0)
    assert isinstance(loan, Loan), loan
    assert (ladder(loan.parts), loan.leaving) == (parts, leaving), sentence


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "may still run when its slots go back in 5000 s, and never reported a checkpoint"),
        (
            {"checkpoint_s": 21.0},
            "may still run when its slots go back in 5000 s, and needs 21 s for a checkpoint, "
            "longer than the grace of 20 s",
        ),
        (
            {"staging_s": 400.0, "slots": 4, "accepts_loss": True},
            "wants 4 slots for at least 1200 s (3 times its staging), but 3 are lent that long; "
            "the longest offer is 5000 s",
        ),
    ],
)
def test_others_are_told_why_not(more: dict[str, Any], reason: str) -> None:
    assert lend(borrower(**more), OFFERS, now=0.0, grace_s=20.0) == Declined("train", reason)


def test_a_loan_is_taken_off_the_offers_and_explains_itself() -> None:
    loan = lend(borrower(slots=4, accepts_loss=True), OFFERS, now=0.0, grace_s=20.0)
    assert isinstance(loan, Loan)
    assert loan.until_s == 1000.0
    assert loan.reason == (
        "train borrows 3 slots of chat until 5000, 1 slots of chat until 1000 and is killed, as its class accepts"
    )
    assert ladder(remaining(OFFERS, loan)) == [(1, 1000.0), (2, 600.0)]


def test_slots_are_asked_back_a_cold_start_and_a_grace_before_they_are_needed() -> None:
    steps = demand(2, 5, 5, 7)
    assert due_slots(service(), steps, 6, 879.0) == 0
    assert due_slots(service(), steps, 6, 880.0) == 3
    assert due_slots(service(), steps, 2, 880.0) == 0, "what is still idle comes first"
    assert due_slots(service(needed_now=8), steps, 6, 0.0) == 6, "demand above the forecast"


def held(name: str, slots: int, unsaved_s: float, **more: Any) -> Holder:
    """A borrower with so many lent slots."""
    return Holder(name, 2, slots, 0.0, unsaved_s, restart_s=60.0, staging_s=40.0, grace_s=20.0, **more)


def test_those_who_lose_least_give_back() -> None:
    holders = [held("dear", 2, 9000.0), held("cheap", 2, 10.0), held("elastic", 6, 500.0, smaller=(4, 2))]
    assert {v.workload: v.after for v in reclaim(holders, 2).victims} == {"elastic": 4}
    found = reclaim(holders, 6)
    assert {v.workload: v.after for v in found.victims} == {"cheap": 0, "elastic": 2}
    assert (found.missing_slots, found.ready_in_s) == (0, 20.0)
    assert reclaim(holders, 4, patience_s=5.0).ready_in_s == 5.0


def test_more_than_is_lent_cannot_be_reclaimed() -> None:
    found = reclaim([held("a", 2, 10.0)], 5)
    assert {v.workload: v.after for v in found.victims} == {"a": 0}
    assert found.missing_slots == 3
    assert reclaim([], 1).missing_slots == 1
    assert reclaim([held("a", 2, 10.0)], 0).victims == ()


LENDERS = st.builds(
    lambda replicas, floor, needed, lead_s, grace_s: service(
        replicas=replicas, floor=min(floor, replicas), needed_now=needed, lead_s=lead_s, grace_s=grace_s
    ),
    st.integers(0, 8),
    st.integers(0, 8),
    st.integers(0, 9),
    st.sampled_from([0.0, 100.0, 1500.0]),
    st.sampled_from([0.0, 20.0]),
)
DEMANDS = st.lists(st.integers(0, 9), min_size=1, max_size=6).map(lambda replicas: demand(*replicas))


@given(LENDERS, DEMANDS, st.integers(0, 4000))
def test_nothing_is_asked_back_before_its_time_and_everything_at_it(lender: Lender, steps: Demand, now: int) -> None:
    found = offers(lender, steps, float(now))
    assert all(a.until_s > b.until_s for a, b in pairwise(found))
    lent = sum(offer.slots for offer in found)
    assert lent <= (lender.replicas - lender.floor) * lender.slots_per_replica
    assert due_slots(lender, steps, lent, float(now)) == 0
    for offer in reversed(found):
        assert due_slots(lender, steps, lent, math.nextafter(offer.until_s, 0) - 1e-3) == 0
        end_s = steps.start_s + len(steps.replicas) * steps.step_s
        if offer.until_s + lender.lead_s + lender.grace_s < end_s:
            assert due_slots(lender, steps, lent, offer.until_s) == offer.slots
        lent -= offer.slots


@given(DEMANDS)
def test_a_service_without_a_cold_start_lends_exactly_what_is_idle_now(steps: Demand) -> None:
    lender = replace(service(), lead_s=0.0, grace_s=0.0, needed_now=0)
    idle = max(0, 8 - max(1, steps.replicas[0]))
    assert sum(offer.slots for offer in offers(lender, steps, 0.0)) == idle
