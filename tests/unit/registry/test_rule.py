"""When an alias moves."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.registry.evaluation import Evaluation
from fabric.registry.rule import AliasRule, Pairs, may_take_alias, pairs

EXACT = AliasRule(metric="exact_match", better="higher")
BITS = AliasRule(metric="bits_per_byte", better="lower")
LENIENT = AliasRule(metric="exact_match", better="higher", tolerance=0.1)


def judged(*marks: str, suite: str = "s", **metrics: float) -> Evaluation:
    """An evaluation from marks such as "1101"; its share of ones is `exact_match`."""
    items = tuple(mark == "1" for mark in "".join(marks))
    shares = {"exact_match": sum(items) / len(items)} if items else {}
    return Evaluation(suite, {**shares, **metrics}, items)


@pytest.mark.parametrize(
    ("world", "rule", "old", "new", "moves", "reason"),
    [
        ("better", EXACT, judged("0011"), judged("0111"), True, "0.5 -> 0.75 (1 items gained, 0 lost of 4"),
        ("equal", EXACT, judged("0011"), judged("1100"), True, "0.5 -> 0.5 (2 items gained, 2 lost of 4"),
        ("worse by one", EXACT, judged("0111"), judged("0011"), False, "worse: exact_match 0.75 -> 0.5"),
        ("lower is better", BITS, judged(bits_per_byte=2.5), judged(bits_per_byte=2.4), True, "byte 2.5 -> 2.4"),
        ("lower is better", BITS, judged(bits_per_byte=2.4), judged(bits_per_byte=2.5), False, "byte 2.4 -> 2.5"),
        ("not judged", EXACT, judged("1"), None, False, "it was not judged by exact_match"),
        ("judged by another", EXACT, judged("1"), judged(bits_per_byte=1.0), False, "not judged by exact_match"),
        ("judged not a number", BITS, judged(bits_per_byte=9.0), judged(bits_per_byte=math.nan), False, "got nan"),
        ("judged infinite", BITS, judged(bits_per_byte=9.0), judged(bits_per_byte=math.inf), False, "got inf"),
        ("old never judged", EXACT, None, judged("10"), True, "the version that had the alias was not judged by it"),
        ("old judged by another", EXACT, judged(bits_per_byte=1.0), judged("10"), True, "was not judged by it"),
        ("other items", EXACT, judged("1", suite="t"), judged("1"), False, "judged on other items (s, not t)"),
    ],
)  # fmt: skip
def test_an_alias_moves_only_to_what_is_not_worse(
    world: str, rule: AliasRule, old: Evaluation | None, new: Evaluation | None, moves: bool, reason: str
) -> None:
    verdict = may_take_alias(rule, old, new)
    assert verdict.moves is moves, world
    assert reason in verdict.reason


def test_within_the_tolerance_a_loss_that_chance_explains_is_allowed() -> None:
    old, new = judged("1" * 50, "0" * 50), judged("1" * 47, "0" * 50, "000")
    assert not may_take_alias(EXACT, old, new).moves
    verdict = may_take_alias(LENIENT, old, new)
    assert verdict.moves
    assert verdict.reason.startswith("not worse within the tolerance of 0.1")
    assert "0 items gained, 3 lost of 100, p of worse 0.125" in verdict.reason


def test_within_the_tolerance_a_loss_that_chance_does_not_explain_is_refused() -> None:
    old, new = judged("1" * 50, "0" * 50), judged("1" * 45, "0" * 55)
    verdict = may_take_alias(LENIENT, old, new)
    assert not verdict.moves
    assert verdict.reason.startswith("worse by more than chance explains")


def test_a_loss_above_the_tolerance_is_refused_even_if_chance_explains_it() -> None:
    verdict = may_take_alias(LENIENT, judged("1100"), judged("1000"))
    assert not verdict.moves
    assert "more than the 0.1 allowed" in verdict.reason


def test_items_say_nothing_about_another_metric() -> None:
    old, new = judged("11", bits_per_byte=2.0), judged("00", bits_per_byte=1.0)
    verdict = may_take_alias(BITS, old, new)
    assert verdict.moves
    assert "items" not in verdict.reason


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1.0), (0, 1, 0.5), (1, 0, 1.0), (0, 5, 1 / 32), (1, 9, 11 / 1024), (30, 30, 0.5513)],
)
def test_the_paired_comparison_is_mcnemars_exact_test(gained: int, lost: int, p: float) -> None:
    assert Pairs(gained, lost).p_worse == pytest.approx(p, abs=1e-4)


marks = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30)


@given(marks)
def test_of_two_models_on_the_same_items_at_least_one_may_follow_the_other(both: list[tuple[bool, bool]]) -> None:
    first, second = ("".join("1" if mark[side] else "0" for mark in both) for side in (0, 1))
    there = may_take_alias(EXACT, judged(first), judged(second)).moves
    back = may_take_alias(EXACT, judged(second), judged(first)).moves
    assert there or back
    found = pairs([old for old, _ in both], [new for _, new in both])
    assert there == (found.gained >= found.lost)
    assert (there and back) == (found.gained == found.lost)
