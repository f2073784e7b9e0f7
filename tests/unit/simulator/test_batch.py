"""Small logs, whose every start can be reckoned by hand."""

import pytest

from fabric.core.errors import BadInput
from fabric.scheduler.policy import Policy
from fabric.simulator.batch import EASY, PYSS, RLSCHEDULER, run_batch
from fabric.simulator.engine import Habits
from fabric.simulator.metrics import average_bounded_slowdown, mean_wait_s, utilisation, utilisation_to_last_start
from fabric.simulator.swf import SwfJob

LOG = (
    SwfJob(1, 0, 100, 6, 100),
    SwfJob(2, 1, 50, 10, 60),
    SwfJob(3, 2, 40, 4, 90),
    SwfJob(4, 3, 200, 2, 200),
    SwfJob(5, 4, 30, 4, 30),
)
"""Ten processors: 2 waits for all of them; 3 may pass it, 4 would outlive the promise, 5 fits after 3."""


def starts(policy: Policy = EASY, habits: Habits = PYSS, exact: bool = False) -> dict[int, float]:
    return {job.number: job.start_s for job in run_batch(LOG, 10, policy=policy, habits=habits, exact=exact).jobs}


@pytest.mark.parametrize(
    ("sentence", "policy", "exact", "expected"),
    [
        ("EASY", EASY, False, {1: 0, 2: 100, 3: 2, 4: 150, 5: 42}),
        ("exact times", EASY, True, {1: 0, 2: 100, 3: 2, 4: 150, 5: 42}),
        (
            "strict order",
            EASY.model_copy(update={"backfill": "off"}),
            False,
            {1: 0, 2: 100, 3: 150, 4: 150, 5: 150},
        ),
        (
            "nobody is promised a start",
            EASY.model_copy(update={"protect": 0}),
            False,
            {1: 0, 2: 242, 3: 2, 4: 42, 5: 100},
        ),
    ],
)
def test_every_start_is_the_one_reckoned_by_hand(
    sentence: str, policy: Policy, exact: bool, expected: dict[int, float]
) -> None:
    assert starts(policy, exact=exact) == expected, sentence


def test_work_that_ends_early_lets_the_promised_start_come_early() -> None:
    log = (SwfJob(1, 0, 20, 6, 100), SwfJob(2, 1, 50, 10, 60))
    assert [job.start_s for job in run_batch(log, 10).jobs] == [0, 20]


def test_habits_change_when_the_loop_looks_and_not_what_it_decides() -> None:
    assert starts(habits=RLSCHEDULER) == starts(habits=PYSS) == starts(habits=Habits())


def test_a_submission_that_does_not_fit_wakes_nobody_where_the_habit_says_so() -> None:
    assert run_batch(LOG, 10).num_passes < run_batch(LOG, 10, habits=RLSCHEDULER).num_passes


def test_the_same_log_gives_the_same_waits() -> None:
    assert run_batch(LOG, 10) == run_batch(LOG, 10)


def test_a_log_without_jobs_is_refused() -> None:
    with pytest.raises(BadInput, match="no job that ran"):
        run_batch((), 10)


def test_metrics_of_two_jobs() -> None:
    jobs = run_batch((SwfJob(1, 0, 100, 10, 100), SwfJob(2, 0, 2, 5, 5)), 10).jobs
    assert mean_wait_s(jobs) == 50.0
    # (100 + 0) / 100 and (100 + 2) / 10, as short runs count as ten seconds.
    assert average_bounded_slowdown(jobs) == pytest.approx((1.0 + 10.2) / 2)
    assert utilisation(jobs, 10) == pytest.approx(1010 / 1020)
    assert utilisation_to_last_start(jobs, 10) == pytest.approx(1010 / 1000)
