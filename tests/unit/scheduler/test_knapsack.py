"""One option of each holder: most worth in some slots, least cost for some slots."""

from collections.abc import Iterator
from itertools import accumulate, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.scheduler.knapsack import Option, cover, fill

Worlds = dict[str, tuple[Option, ...]]


def offers(*pairs: tuple[int, int]) -> tuple[Option, ...]:
    """Options of (slots, worth), their size the number of slots."""
    return tuple(Option(slots, slots, worth) for slots, worth in pairs)


def taken(choice: dict[str, Option]) -> dict[str, int]:
    """Slots by holder."""
    return {name: option.slots for name, option in sorted(choice.items())}


def every_choice(options: Worlds) -> Iterator[tuple[int, int]]:
    """Slots and worth of all choices there are."""
    for choice in product(*((Option(0, 0, 0), *some) for some in options.values())):
        yield sum(o.slots for o in choice), sum(o.worth for o in choice)


def rising(steps: list[tuple[int, int]]) -> tuple[Option, ...]:
    """Options whose slots and worth add up."""
    slots = accumulate(more for more, _ in steps)
    return offers(*zip(slots, accumulate(worth for _, worth in steps), strict=True))


RISING = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), max_size=3).map(rising)
BOTH = {"b": 2, "c": 2}
ALL = {"a": 2, "b": 1}
WORLDS = st.dictionaries(st.sampled_from("abcd"), RISING, max_size=4)


@pytest.mark.parametrize(
    ("sentence", "options", "slots", "expected"),
    [
        ("all of it where there is enough", {"a": offers((2, 5)), "b": offers((3, 1))}, 5, {"a": 2, "b": 3}),
        ("two halves beat one dense part", {"a": offers((3, 9)), "b": offers((2, 5)), "c": offers((2, 5))}, 4, BOTH),
        ("a smaller option leaves room", {"a": offers((1, 5), (3, 7)), "b": offers((2, 4))}, 3, {"a": 1, "b": 2}),
        ("ties go to the first name", {"b": offers((2, 5)), "a": offers((2, 5))}, 3, {"a": 2}),
        ("nothing fits into nothing", {"a": offers((1, 5))}, 0, {}),
    ],
)  # fmt: skip
def test_fill(sentence: str, options: Worlds, slots: int, expected: dict[str, int]) -> None:
    assert taken(fill(options, slots)) == expected, sentence


@pytest.mark.parametrize(
    ("sentence", "options", "slots", "expected"),
    [
        ("the cheapest that is enough", {"a": offers((2, 5)), "b": offers((2, 3))}, 2, {"b": 2}),
        ("more than enough may be cheaper", {"a": offers((3, 4)), "b": offers((1, 3), (2, 5))}, 2, {"a": 3}),
        ("everything, where even that is less", {"a": offers((1, 1), (2, 5)), "b": offers((1, 3))}, 9, ALL),
        ("nobody gives if nothing is wanted", {"a": offers((2, 5))}, 0, {}),
    ],
)  # fmt: skip
def test_cover(sentence: str, options: Worlds, slots: int, expected: dict[str, int]) -> None:
    assert taken(cover(options, slots)) == expected, sentence


@given(WORLDS, st.integers(0, 20))
def test_no_other_choice_that_fits_is_worth_more(options: Worlds, slots: int) -> None:
    found = fill(options, slots)
    assert sum(o.slots for o in found.values()) <= slots
    assert sum(o.worth for o in found.values()) == max(worth for used, worth in every_choice(options) if used <= slots)


@given(WORLDS, st.integers(0, 20))
def test_no_other_choice_that_is_enough_costs_less(options: Worlds, slots: int) -> None:
    found = cover(options, slots)
    enough = [cost for freed, cost in every_choice(options) if freed >= slots]
    if enough:
        assert sum(o.slots for o in found.values()) >= slots
        assert sum(o.worth for o in found.values()) == min(enough)
    else:
        assert taken(found) == {name: some[-1].slots for name, some in sorted(options.items()) if some}


@given(WORLDS, st.integers(0, 20), st.integers(1, 60))
def test_a_coarser_count_still_fits(options: Worlds, slots: int, most_cells: int) -> None:
    found = fill(options, slots, most_cells=most_cells)
    assert sum(o.slots for o in found.values()) <= slots


@given(WORLDS, st.integers(0, 20))
def test_the_order_in_which_holders_are_told_does_not_matter(options: Worlds, slots: int) -> None:
    backwards = dict(reversed(options.items()))
    assert fill(options, slots) == fill(backwards, slots)
    assert cover(options, slots) == cover(backwards, slots)
