"""How long runs should take: for ordering, for promises, and when nobody knows."""

import gzip
import heapq
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.config import env
from fabric.core.errors import BadInput
from fabric.scheduler.estimates import (
    KEPT_RUNS,
    Estimate,
    Run,
    Runs,
    attained_queue,
    estimate,
    expected_now_s,
    shortness_s,
)


def after(*ran_s: float, owner: str = "ann", walltime_s: float | None = 1000.0) -> Runs:
    """What is known after runs of these lengths."""
    runs = Runs()
    for seconds in ran_s:
        runs = runs.after(Run(owner, seconds, walltime_s))
    return runs


def test_the_mean_of_the_last_two_runs_is_expected_and_the_walltime_is_safe() -> None:
    assert estimate(after(900.0, 100.0, 200.0), "ann", 1000.0) == Estimate(150.0, 1000.0, True, "last 2 runs of ann")


def test_one_run_is_better_than_none() -> None:
    assert estimate(after(100.0), "ann", 1000.0) == Estimate(100.0, 1000.0, True, "last 1 runs of ann")


def test_runs_of_others_say_nothing() -> None:
    assert estimate(after(100.0, owner="bob"), "ann", 500.0) == Estimate(500.0, 500.0, True, "walltime")
    assert estimate(Runs(), "ann", None) == Estimate(None, None, False, "nothing known")


def test_nobody_is_expected_beyond_the_walltime() -> None:
    assert estimate(after(900.0), "ann", 60.0).expected_s == 60.0


def test_without_a_walltime_the_upper_quantile_is_safe_but_promises_nothing() -> None:
    found = estimate(after(*map(float, range(1, 21)), walltime_s=None), "ann", None)
    assert found == Estimate(19.5, 19.0, False, "last 2 runs of ann")
    assert estimate(after(1.0, 2.0, 3.0, 4.0, walltime_s=None), "ann", None).safe_s is None, "too few runs"


def test_walltimes_that_are_overrun_are_not_safe_as_they_stand() -> None:
    assert estimate(after(*[1100.0] * 5), "ann", 500.0).safe_s == pytest.approx(550.0)
    assert estimate(after(*[1100.0] * 4), "ann", 500.0).safe_s == 500.0


def test_work_that_outlives_its_prediction_is_expected_to_take_as_long_again() -> None:
    found = estimate(after(100.0, 100.0), "ann", 1000.0)
    assert [expected_now_s(found, ran_s) for ran_s in (0.0, 99.0, 100.0, 400.0, 800.0, 1200.0)] == [
        100.0, 100.0, 200.0, 800.0, 1000.0, 1200.0,
    ]  # fmt: skip
    assert expected_now_s(Estimate(None, None, False, ""), 50.0) is None
    assert expected_now_s(Estimate(10.0, None, False, ""), 50.0) == 100.0


@pytest.mark.parametrize(("slot_s", "queue"), [(0.0, 0), (3249.0, 0), (3250.0, 1), (7200.0, 2), (17999.0, 2), (1e9, 3)])
def test_work_falls_through_queues_by_the_service_it_has_had(slot_s: float, queue: int) -> None:
    assert attained_queue(slot_s) == queue


def test_the_unknown_is_tried_first_and_then_steps_back() -> None:
    unknown = Estimate(None, None, False, "")
    assert [shortness_s(unknown, slots=2, ran_s=ran_s) for ran_s in (0.0, 1000.0, 2000.0, 9000.0)] == [
        0.0, 0.0, 1625.0, 9000.0,
    ]  # fmt: skip
    known = estimate(after(400.0, 400.0), "ann", 1000.0)
    assert shortness_s(known, slots=2, ran_s=100.0) == 300.0
    assert shortness_s(known, slots=2, ran_s=1500.0) == 0.0


@pytest.mark.parametrize("bad", [(-1.0, 10.0), (math.inf, 10.0), (math.nan, 10.0), (1.0, 0.0), (1.0, math.inf)])
def test_a_run_that_cannot_be_is_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(BadInput):
        Run("ann", *bad)


def test_only_the_latest_runs_are_kept_and_old_values_stay_as_they_were() -> None:
    before = after(*[1.0] * KEPT_RUNS)
    later = before.after(Run("ann", 2.0, None))
    assert len(later.by_owner["ann"]) == KEPT_RUNS
    assert later.by_owner["ann"][-1].ran_s == 2.0
    assert before == after(*[1.0] * KEPT_RUNS)


RUNS = st.lists(st.builds(Run, st.sampled_from(["ann", "bob"]), st.floats(0, 1e6), st.none() | st.floats(1, 1e6)))


@given(RUNS, st.floats(1, 1e6), st.floats(0, 1e6))
def test_what_is_promised_is_never_below_the_walltime(past: list[Run], walltime_s: float, ran_s: float) -> None:
    runs = Runs()
    for run in past:
        runs = runs.after(run)
    found = estimate(runs, "ann", walltime_s)
    assert found.holds
    assert found.expected_s is not None
    assert found.safe_s is not None
    assert found.expected_s <= walltime_s <= found.safe_s
    now_s = expected_now_s(found, ran_s)
    assert now_s is not None
    assert ran_s <= max(now_s, found.expected_s)


def kth() -> list[tuple[float, float, float, float, str]]:
    """Submit, end, run time, walltime and user of every job of a public log."""
    file = Path(env.get(env.TRACES) or "../shared/traces") / "swf-pyss-easy" / "KTH-SP2.easy.swf.gz"
    if not file.exists():
        pytest.skip(f"no {file}; set {env.TRACES} to the folder of the public traces")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [line.split() for line in lines if not line.startswith(";")]
    return [(float(r[1]), float(r[1]) + float(r[2]) + float(r[3]), float(r[3]), float(r[8]), r[11]) for r in rows]


def closeness(one_s: float, other_s: float) -> float:
    """The shorter over the longer, one second added to both: 1 is a perfect prediction."""
    return (min(one_s, other_s) + 1) / (max(one_s, other_s) + 1)


def test_on_a_real_log_predictions_are_closer_than_walltimes_and_walltimes_are_safe() -> None:
    ends: list[tuple[float, int, Run]] = []
    runs, predicted, asked = Runs(), 0.0, 0.0
    jobs = sorted(kth())[:3000]
    for number, (submit, end, ran_s, walltime_s, user) in enumerate(jobs):
        while ends and ends[0][0] <= submit:
            runs = runs.after(heapq.heappop(ends)[2])
        found = estimate(runs, user, walltime_s)
        assert found.expected_s is not None
        assert found.safe_s is not None
        assert ran_s <= found.safe_s
        predicted += closeness(found.expected_s, ran_s) / len(jobs)
        asked += closeness(walltime_s, ran_s) / len(jobs)
        heapq.heappush(ends, (end, number, Run(user, ran_s, walltime_s)))
    assert predicted >= asked + 0.05, "of the first 5,000 jobs, 0.49 and 0.40 were measured"
