"""Paired intervals: what they see that unpaired ones would not, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.errors import BadInput
from fabric.simulator.hti.statistics import Interval, paired_difference, paired_ratio

SEEDS = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0]


def test_a_small_gain_on_every_seed_is_seen_through_large_differences_between_seeds() -> None:
    found = paired_difference([x - 1 + 0.1 * (i % 3) for i, x in enumerate(SEEDS)], SEEDS, seed=1)
    assert found.excludes(0)
    assert -1 < found.low <= found.estimate <= found.high < -0.7


def test_chance_alone_is_not_taken_for_a_gain() -> None:
    noise = np.random.default_rng(5).normal(0, 1, 10)
    assert not paired_difference([x + e for x, e in zip(SEEDS, noise, strict=True)], SEEDS, seed=1).excludes(0)


def test_a_ratio_is_that_of_the_means() -> None:
    found = paired_ratio([x * 0.8 for x in SEEDS], SEEDS, seed=1)
    assert [found.estimate, found.low, found.high] == pytest.approx([0.8, 0.8, 0.8])
    assert found.excludes(1)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    inside = [
        not paired_difference(rng.normal(0.5, 1, 30).tolist(), [0.0] * 30, seed=i, resamples=500).excludes(0.5)
        for i in range(200)
    ]
    assert 0.88 <= np.mean(inside) <= 0.99


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12), st.integers(0, 99))
def test_the_same_seed_gives_the_same_interval_and_swapping_sides_mirrors_it(values: list[float], seed: int) -> None:
    zeros = [0.0] * len(values)
    found = paired_difference(values, zeros, seed=seed, resamples=200)
    back = paired_difference(zeros, values, seed=seed, resamples=200)
    assert found == paired_difference(values, zeros, seed=seed, resamples=200)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    assert found.low <= found.high
    assert found.pairs == len(values)


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ([1.0, 2.0], [1.0], "got 2 and 1"),
        ([1.0], [1.0], "at least two"),
        ([1.0, float("nan")], [1.0, 2.0], "not a finite number"),
        ([1.0, 2.0], [1.0, float("inf")], "not a finite number"),
    ],
)
def test_what_is_no_pair_of_figures_is_refused(ours: list[float], theirs: list[float], said: str) -> None:
    for compare in (paired_difference, paired_ratio):
        with pytest.raises(BadInput) as caught:
            compare(ours, theirs, seed=0)
        assert said in str(caught.value)


def test_a_ratio_to_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="positive figures below the line, got 0"):
        paired_ratio([1.0, 1.0], [1.0, 0.0], seed=0)


def test_an_interval_excludes_what_lies_outside() -> None:
    found = Interval(1.0, 0.5, 1.5, 10)
    assert [found.excludes(value) for value in (0.4, 0.5, 1.0, 1.5, 1.6)] == [True, False, False, False, True]
