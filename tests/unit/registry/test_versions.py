"""What is known of a model, in words and as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.errors import BadInput, Corrupt
from fabric.registry.evaluation import MOST_ITEMS, Evaluation
from fabric.registry.versions import Lineage, Parent


def test_lineage_is_shown_in_words_and_leaves_out_what_is_not_known() -> None:
    parents = (Parent("demo/data", "12ab", "dataset"), Parent("base", "", "model"), Parent("items", "34cd", "items"))
    assert Lineage("0123abc", "{}", parents).as_texts() == {
        "revision": "0123abc",
        "config": "{}",
        "data": "demo/data@12ab",
        "parent": "base",
        "made_from": "items@34cd",
    }
    assert Lineage().as_texts() == {}


@given(
    st.text(max_size=5),
    st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False), max_size=3),
    st.lists(st.booleans()),
)
def test_any_evaluation_is_read_back_as_it_was_written(
    suite: str, metrics: dict[str, float], items: list[bool]
) -> None:
    judged = Evaluation(suite, metrics, tuple(items), "accuracy")
    assert Evaluation.from_json(judged.to_json()) == judged


def test_items_may_be_written_as_truths() -> None:
    told = {"suite": "s", "metrics": {"exact_match": 0.5}, "correct": [True, False]}
    assert Evaluation.from_dict(told) == Evaluation("s", {"exact_match": 0.5}, (True, False))


@pytest.mark.parametrize(
    "text", ["", "5", "[]", "{}", '{"suite": "s", "metrics": 5}', '{"suite": "s", "metrics": {"a": "x"}}']
)
def test_what_is_no_evaluation_is_refused(text: str) -> None:
    with pytest.raises(Corrupt, match="is no evaluation"):
        Evaluation.from_json(text)


def test_more_items_than_can_be_kept_are_refused() -> None:
    most = Evaluation("s", {}, (True,) * MOST_ITEMS)
    assert len(most.to_json()) < 100_000, "letters that MLflow takes as one tag"
    with pytest.raises(BadInput, match=f"has {MOST_ITEMS + 1} items"):
        Evaluation("s", {}, (True,) * (MOST_ITEMS + 1))
