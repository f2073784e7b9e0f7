"""What may be asked for as items, and what follows from a set of them; generators themselves are in tests/ray."""

from typing import Any

import pytest

from fabric.config.load import decode
from fabric.core.errors import BadConfig
from fabric.train.tasks import DRAWS_PER_ITEM, Item, ItemSets, ItemsSettings, guesses, items_version


def settings(**changes: Any) -> ItemsSettings:
    chosen = {"tasks": [{"generator": "chain_sum"}], "train_per_task": 10, "held_out_per_task": 5, **changes}
    return decode(ItemsSettings, chosen, "items.yaml")


def item(answer: str, task: str = "sums") -> Item:
    return Item(task, f"what is {answer}?", answer, {})


def test_a_task_is_called_as_its_generator_unless_it_has_a_name() -> None:
    found = settings(tasks=[{"generator": "chain_sum"}, {"generator": "chain_sum", "name": "long sums"}])
    assert [task.title for task in found.tasks] == ["chain_sum", "long sums"]


def test_seeds_that_only_touch_are_allowed() -> None:
    assert settings(train_seed=0, held_out_seed=10 * DRAWS_PER_ITEM).held_out_seeds.start == 200


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train_seed": 0, "held_out_seed": 199}, "seeds overlap.*move held_out_seed to 200 or more"),
        ({"train_seed": 1_000_099, "held_out_seed": 1_000_000}, "seeds overlap"),
        ({"tasks": [{"generator": "gcd"}, {"generator": "gcd"}]}, "different names.*give one a `name`"),
        ({"tasks": []}, "tasks"),
        ({"train_per_task": 0}, "train_per_task.*greater than or equal to 1"),
        ({"held_out_seed": -1}, "held_out_seed"),
        ({"tasks": [{"generator": "gcd", "option": {}}]}, "Did you mean 'options'"),
    ],
)
def test_impossible_items_are_refused_with_what_is_allowed(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(BadConfig, match=told):
        settings(**changes)


def test_a_version_depends_on_every_question_and_answer() -> None:
    assert items_version([item("1"), item("2")]) == items_version([item("1"), item("2")])
    assert items_version([item("1"), item("2")]) != items_version([item("1"), item("3")])
    assert len(items_version([])) == 12


def test_guessing_the_commonest_answer_sets_the_mark_to_beat() -> None:
    train = (item("2"), item("2"), item("3"), item("cat", "animals"))
    held_out = (item("2"), item("3"), item("3"), item("4"), item("dog", "animals"))
    assert guesses(ItemSets(train, held_out)) == {"sums": 0.25, "animals": 0.0}
