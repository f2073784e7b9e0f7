from pathlib import Path

import pytest

from fabric.core.errors import BadConfig
from fabric.data.split import Fate, SplitPlan, plan_split
from tests.unit.data.world import prints, prose, settings, words_of

A, B, C, D = (prose(seed) for seed in range(4))


def plan(*held_out: str, texts: dict[str, str], **changes: object) -> SplitPlan:
    return plan_split(prints(**texts), settings(Path("unused"), *held_out, **changes))


def fates(found: SplitPlan) -> dict[str, str]:
    return {name: decision.fate.value for name, decision in found.decisions.items()}


def test_texts_that_share_nothing_are_all_trained_on() -> None:
    assert fates(plan("a", texts={"a": A, "b": B, "c": C})) == {"a": "held_out", "b": "train", "c": "train"}


def test_of_equal_texts_the_first_by_name_stays() -> None:
    found = plan("a", texts={"a": A, "d": B, "c": B, "b": B})
    assert fates(found) == {"a": "held_out", "b": "train", "c": "exact_duplicate", "d": "exact_duplicate"}
    assert found.exact_groups == (("b", "c", "d"),)
    assert found.decisions["d"].reason == "the same as b"


def test_of_nearly_equal_texts_the_first_by_name_stays() -> None:
    found = plan("a", texts={"a": A, "b": B, "c": B.replace(words_of(B, 9, 1).strip(), "x", 1)})
    assert fates(found)["c"] == "near_duplicate"


def test_a_text_inside_another_is_removed_and_the_larger_stays() -> None:
    found = plan("a", texts={"a": A, "part": words_of(B, 0, 200), "whole": B})
    assert fates(found) == {"a": "held_out", "part": "contained", "whole": "train"}
    assert found.decisions["part"].reason == "1.000 of its 5-word runs are in whole"


def test_two_spellings_of_a_play_are_both_kept() -> None:
    folio = words_of(C, 0, 300) + words_of(B, 0, 100)
    found = plan("a", texts={"a": A, "modern": B, "modern_f": folio})
    assert set(found.names(Fate.TRAIN)) == {"modern", "modern_f"}
    assert [(pair.small, pair.large) for pair in found.related] == [("modern", "modern_f")]


@pytest.mark.parametrize(
    ("case", "other"),
    [
        ("another spelling of it", words_of(C, 0, 300) + words_of(A, 0, 100)),
        ("a part of it", words_of(A, 50, 60)),
        ("a collection that holds it", B + A + C),
        ("a collection that holds an act of it", words_of(A, 0, 60) + B),
        ("a copy", A),
    ],
)
def test_what_shares_text_with_a_held_out_work_is_not_trained_on(case: str, other: str) -> None:
    found = plan("hamlet", texts={"hamlet": A, "other": other, "d": D})
    assert fates(found) == {"d": "train", "hamlet": "held_out", "other": "leak"}, case
    assert "hamlet" in found.decisions["other"].reason


def test_a_copy_that_is_held_out_does_not_hold_back_its_twin_by_name_only() -> None:
    assert fates(plan("z", texts={"a": A, "b": B, "z": A})) == {"a": "leak", "b": "train", "z": "held_out"}


def test_a_line_that_is_quoted_elsewhere_does_no_harm() -> None:
    quoting = words_of(B, 0, 394) + words_of(A, 100, 6)
    assert fates(plan("a", texts={"a": A, "quoting": quoting})) == {"a": "held_out", "quoting": "train"}


def test_short_texts_are_left_out() -> None:
    found = plan("a", texts={"a": A, "b": B, "note": "Exeunt.\n"})
    assert found.decisions["note"].reason == "8 bytes, fewer than min_bytes 20"


def test_the_order_in_which_texts_arrive_does_not_matter() -> None:
    texts = {"a": A, "b": B, "c": B, "d": words_of(D, 0, 99), "e": D}
    backwards = dict(reversed(texts.items()))
    assert plan("a", texts=texts) == plan("a", texts=backwards)


@pytest.mark.parametrize(
    ("held_out", "texts", "message"),
    [
        (("a", "b"), {"a": A, "b": A + B, "c": C}, "a and b share 1.000 .* measured twice"),
        (("a",), {"a": "Exeunt.\n", "b": B}, "a has 8 bytes"),
        (("a",), {"a": A, "b": A, "c": words_of(A, 0, 99)}, "nothing is left to train on"),
    ],
)
def test_a_held_out_choice_that_measures_nothing_is_refused(
    held_out: tuple[str, ...], texts: dict[str, str], message: str
) -> None:
    with pytest.raises(BadConfig, match=message):
        plan(*held_out, texts=texts)
