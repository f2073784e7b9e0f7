"""Paired comparisons have known answers."""

import pytest

from fabric.core.errors import BadInput
from fabric.train.statistics import compare, mcnemar_exact


@pytest.mark.parametrize(
    ("world", "gained", "lost", "p_value"),
    [
        ("models that never differ", 0, 0, 1.0),
        ("an even split", 5, 5, 1.0),
        ("one coin", 1, 0, 1.0),
        ("five coins on one side", 5, 0, 2 / 32),
        ("six coins on one side are the first to be significant", 6, 0, 2 / 64),
        ("the textbook's 10 and 2", 10, 2, 2 * (1 + 12 + 66) / 2**12),
    ],
)
def test_mcnemar_counts_the_coins_that_fall_as_unevenly(world: str, gained: int, lost: int, p_value: float) -> None:
    assert mcnemar_exact(gained, lost) == pytest.approx(p_value), world
    assert mcnemar_exact(lost, gained) == mcnemar_exact(gained, lost)


def test_thousands_of_flips_do_not_overflow() -> None:
    assert mcnemar_exact(5000, 5000) == 1.0
    assert 0 <= mcnemar_exact(6000, 4000) < 1e-80


def test_negative_counts_are_refused() -> None:
    with pytest.raises(BadInput, match="got -1 gained"):
        mcnemar_exact(-1, 3)


def test_a_comparison_counts_only_items_where_models_differ() -> None:
    found = compare([True, True, False, False, False], [True, False, True, True, False])
    assert (found.num_items, found.before, found.after, found.gained, found.lost) == (5, 2, 3, 2, 1)
    assert not found.better()


def test_better_needs_more_gained_than_lost_and_little_chance() -> None:
    assert compare([False] * 6, [True] * 6).better()
    assert not compare([False] * 5, [True] * 5).better()
    assert not compare([True] * 6, [False] * 6).better()


@pytest.mark.parametrize("sides", [([], []), ([True], [True, False])])
def test_other_items_on_each_side_are_refused(sides: tuple[list[bool], list[bool]]) -> None:
    with pytest.raises(BadInput, match="the same items on both sides"):
        compare(*sides)
