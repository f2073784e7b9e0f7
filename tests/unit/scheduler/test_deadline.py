"""Who is admitted with a deadline, with how many workers, and by when the others could be done."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.errors import BadInput
from fabric.scheduler.deadline import (
    DeadlineJob,
    Free,
    Meets,
    Misses,
    Span,
    admit,
    admit_gang,
    minimum_share,
    minimum_shares,
)
from fabric.scheduler.elastic import Curve

LINEAR = Curve(exponent=1.0)


def job(name: str = "a", deadline_s: float = 100.0, **more: Any) -> DeadlineJob:
    """One to four workers, 100 s of one worker's work, linear, no restart."""
    fields = {"sizes": (1, 2, 4), "remaining": 100.0, "restart_s": 0.0, "curve": LINEAR, **more}
    return DeadlineJob(name, deadline_s, **fields)


def free(*steps: tuple[float, int]) -> Free:
    """Slots from an instant on."""
    return Free(tuple(at for at, _ in steps), tuple(slots for _, slots in steps))


def gang(deadline_s: float, starts: dict[int, float | None]) -> Meets | Misses:
    """A gang of two or four workers that takes 100 s of eight."""
    return admit_gang(
        "g", deadline_s, (4, 2), earliest_start=lambda workers, _: starts[workers], duration_s=lambda n: 800.0 / n
    )


def test_the_smallest_size_that_ends_in_time_is_enough() -> None:
    assert gang(410.0, {2: 0.0, 4: 0.0}) == Meets("g", 2, 0.0, 400.0, 410.0)
    found = gang(410.0, {2: 50.0, 4: 100.0})
    assert found == Meets("g", 4, 100.0, 300.0, 410.0)
    assert found.reason == "g ends 110 s before its deadline with 4 workers"


def test_who_cannot_end_in_time_is_told_by_when_it_could() -> None:
    found = gang(250.0, {2: 0.0, 4: 100.0})
    assert found == Misses("g", 300.0, 250.0, 4)
    assert found.reason == (
        "g cannot end before its deadline; in what is left it could end 50 s after its deadline, with 4 workers"
    )
    never = gang(250.0, {2: None, 4: None})
    assert never == Misses("g", None, 250.0)
    assert never.reason == "g cannot end before its deadline, and nothing says when it could"
    assert gang(250.0, {2: None, 4: 100.0}) == Misses("g", 300.0, 250.0, 4)


def test_the_minimum_share_is_no_larger_than_needed() -> None:
    plenty = free((0.0, 8))
    shares = [minimum_share(job(deadline_s=at), plenty, 0.0) for at in (100.0, 99.0, 25.0, 24.0)]
    assert [share and share.workers for share in shares] == [1, 2, 4, None]


def test_with_less_free_it_goes_on_smaller_or_pauses() -> None:
    share = minimum_share(job(deadline_s=55.0), free((0.0, 4), (10.0, 0), (20.0, 2)), 0.0)
    assert share is not None
    assert share.spans == (Span(0.0, 10.0, 4), Span(20.0, 50.0, 2))
    assert share.workers == 4
    assert minimum_share(job(deadline_s=49.0), free((0.0, 4), (10.0, 0), (20.0, 2)), 0.0) is None


def test_a_restart_is_paid_at_the_start_and_at_every_change_of_size() -> None:
    steps = free((0.0, 1), (50.0, 4))
    share = minimum_share(job(restart_s=20.0, deadline_s=1e9, sizes=(1, 4)), steps, 0.0)
    assert share is not None
    assert share.end_s == 120.0, "one worker throughout is enough"
    share = minimum_share(job(restart_s=20.0, deadline_s=90.0, sizes=(1, 4)), steps, 0.0)
    assert share is not None
    assert share.end_s == 50.0 + 20.0 + 70.0 / 4
    short = free((0.0, 1), (5.0, 2), (6.0, 1))
    share = minimum_share(job(restart_s=20.0, deadline_s=200.0, sizes=(1,)), short, 0.0)
    assert share is not None
    assert share.end_s == 120.0, "a restart goes on over a change of what is free"


def test_workers_of_several_slots_need_all_of_them() -> None:
    share = minimum_share(job(slots_per_worker=4, deadline_s=50.0), free((0.0, 7), (10.0, 8)), 0.0)
    assert share is None
    share = minimum_share(job(slots_per_worker=4, deadline_s=55.0), free((0.0, 7), (10.0, 8)), 0.0)
    assert share is not None
    assert share.spans == (Span(0.0, 10.0, 4), Span(10.0, 55.0, 8))


def test_one_more_is_admitted_while_all_end_in_time() -> None:
    first = job("first", 100.0)
    assert admit(job("second", 100.0), [first], free((0.0, 2)), 0.0) == Meets("second", 1, 0.0, 100.0, 100.0)
    found = admit(job("second", 100.0), [first], free((0.0, 1)), 0.0)
    assert found == Misses("second", 200.0, 100.0, 1)


def test_nobody_is_admitted_at_the_cost_of_an_earlier_promise() -> None:
    promised = job("promised", 99.0)
    found = admit(job("urgent", 50.0), [promised], free((0.0, 2)), 0.0)
    assert found == Misses("urgent", 100.0, 50.0, 2, ("promised",))
    assert found.reason == (
        "urgent would make promised late; in what is left it could end 50 s after its deadline, with 2 workers"
    )


def test_who_was_late_anyway_stands_in_nobodys_way() -> None:
    lost = job("lost", 10.0)
    assert isinstance(admit(job("new", 100.0), [lost], free((0.0, 1)), 0.0), Meets)


def test_without_any_slots_nothing_is_promised() -> None:
    assert admit(job(), [], free((0.0, 0)), 0.0) == Misses("a", None, 100.0)


@pytest.mark.parametrize(
    "bad",
    [
        {"sizes": ()},
        {"sizes": (0,)},
        {"sizes": (2, 1)},
        {"remaining": 0.0},
        {"restart_s": -1.0},
        {"slots_per_worker": 0},
    ],
)
def test_a_job_that_cannot_be_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        job(**bad)


@pytest.mark.parametrize("steps", [(), ((0.0, -1),), ((1.0, 1), (1.0, 2)), ((2.0, 1), (1.0, 2))])
def test_free_slots_that_cannot_be_are_refused(steps: tuple[tuple[float, int], ...]) -> None:
    with pytest.raises(BadInput):
        free(*steps)


def test_a_gang_without_sizes_is_refused() -> None:
    with pytest.raises(BadInput):
        admit_gang("g", 1.0, (), earliest_start=lambda n, s: 0.0, duration_s=lambda n: 1.0)


STEPS = st.tuples(st.integers(0, 300).map(float), st.integers(0, 8))
FREE = st.lists(STEPS, min_size=1, max_size=5, unique_by=lambda step: step[0]).map(lambda steps: free(*sorted(steps)))
JOBS = st.lists(
    st.builds(
        lambda deadline_s, sizes, remaining, restart_s, per: job(
            "", deadline_s, sizes=tuple(sorted(sizes)), remaining=remaining, restart_s=restart_s, slots_per_worker=per
        ),
        st.floats(1, 500),
        st.sets(st.integers(1, 5), min_size=1, max_size=3),
        st.floats(1, 300),
        st.sampled_from([0.0, 15.0]),
        st.integers(1, 2),
    ),
    max_size=4,
).map(lambda jobs: [replace(one, name=f"j{i}") for i, one in enumerate(jobs)])


@given(JOBS, FREE)
def test_shares_together_are_never_more_than_free_and_all_end_in_time(jobs: list[DeadlineJob], steps: Free) -> None:
    shares = {name: share for name, share in minimum_shares(jobs, steps, 0.0).items() if share}
    edges = {*steps.starts_s, *(s.from_s for share in shares.values() for s in share.spans)}
    for edge in edges:
        held = sum(s.slots for share in shares.values() for s in share.spans if s.from_s <= edge < s.to_s)
        assert held <= steps.at(edge)
    for one in jobs:
        if one.name not in shares:
            continue
        share = shares[one.name]
        assert share.end_s <= one.deadline_s
        assert share.workers in one.sizes
        assert all(a.to_s <= b.from_s for a, b in pairwise(share.spans))
        most = sum((s.to_s - s.from_s) * s.slots / one.slots_per_worker for s in share.spans)
        assert most >= one.remaining * (1 - 1e-9), "linear work needs at least its worker-seconds"


@given(JOBS, FREE)
def test_admission_never_breaks_a_promise(jobs: list[DeadlineJob], steps: Free) -> None:
    admitted: list[DeadlineJob] = []
    for one in jobs:
        found = admit(one, admitted, steps, 0.0)
        if isinstance(found, Meets):
            admitted.append(one)
        elif found.end_s is not None and not found.breaks:
            assert found.end_s > one.deadline_s
        assert all(minimum_shares(admitted, steps, 0.0).values())
