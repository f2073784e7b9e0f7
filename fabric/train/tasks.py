"""Questions with one short answer, made by reasoning-gym: some to learn from, others to be judged by.

Knows nothing of models or tokens.
"""

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from typing import Any, Self

from pydantic import Field, model_validator

from fabric.config.settings import Settings
from fabric.core.errors import BadConfig

DRAWS_PER_ITEM = 20
"""Draws a generator gets for each item it owes: repeated questions, and those held out, are drawn again."""


class TaskSettings(Settings):
    """One kind of question."""

    generator: str
    """Generator of reasoning-gym, such as `chain_sum`."""

    name: str = ""
    """What reports call it; left out, the generator's name."""

    options: dict[str, Any] = {}
    """Options of the generator, such as `max_terms: 2`."""

    @property
    def title(self) -> str:
        """What reports call it."""
        return self.name or self.generator


class ItemsSettings(Settings):
    """Which questions a model learns from and which it is judged by."""

    tasks: tuple[TaskSettings, ...] = Field(min_length=1)
    """Kinds of questions, each with the same number of items."""

    train_per_task: int = Field(ge=1)
    """Items to learn from, for each kind."""

    held_out_per_task: int = Field(ge=1)
    """Items to be judged by, for each kind."""

    train_seed: int = Field(default=0, ge=0)
    """First seed of the items to learn from; each draw takes the next."""

    held_out_seed: int = Field(default=1_000_000, ge=0)
    """First seed of the items to be judged by; the two ranges of seeds may not meet."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        titles = [task.title for task in self.tasks]
        if len(set(titles)) != len(titles):
            raise ValueError(f"tasks need different names, got {titles}; give one a `name`")
        train, held_out = self.train_seeds, self.held_out_seeds
        if train.start < held_out.stop and held_out.start < train.stop:
            raise ValueError(
                f"seeds overlap: items to learn from may draw {train.start} to {train.stop - 1}, held-out ones "
                f"{held_out.start} to {held_out.stop - 1}; move held_out_seed to {train.stop} or more"
            )
        return self

    @property
    def train_seeds(self) -> range:
        """Seeds that items to learn from may draw."""
        return range(self.train_seed, self.train_seed + DRAWS_PER_ITEM * self.train_per_task)

    @property
    def held_out_seeds(self) -> range:
        """Seeds that held-out items may draw."""
        return range(self.held_out_seed, self.held_out_seed + DRAWS_PER_ITEM * self.held_out_per_task)


@dataclass(frozen=True, slots=True)
class Item:
    """A question and its answer."""

    task: str
    """Title of its kind."""

    question: str
    """What is asked."""

    answer: str
    """What is right."""

    facts: Mapping[str, Any]
    """The generator's own record, which its grader reads."""


@dataclass(frozen=True, slots=True)
class ItemSets:
    """Items to learn from and items to be judged by; no question is in both, and none is in either twice."""

    train: tuple[Item, ...]
    """To learn from, kind after kind."""

    held_out: tuple[Item, ...]
    """To be judged by, kind after kind; the same however many are learned from."""


def make_items(chosen: ItemsSettings) -> ItemSets:
    """Draw the items; the same settings give the same items.

    Raises:
        BadConfig: If there is no such generator or option, or a generator has too few different questions.
    """
    sources = [_Source(task) for task in chosen.tasks]
    seen: set[str] = set()
    held_out = [
        item for source in sources for item in source.draw(chosen.held_out_seeds, chosen.held_out_per_task, seen)
    ]
    train = [item for source in sources for item in source.draw(chosen.train_seeds, chosen.train_per_task, seen)]
    return ItemSets(tuple(train), tuple(held_out))


class _Source:
    """A generator of reasoning-gym with its options."""

    def __init__(self, task: TaskSettings) -> None:
        # Importing it takes seconds, and settings are read by programs that never make an item.
        from reasoning_gym.factory import DATASETS

        if task.generator not in DATASETS:
            near = difflib.get_close_matches(task.generator, sorted(DATASETS), n=3, cutoff=0.4)
            hint = f" Did you mean {' or '.join(near)}?" if near else f" There are: {', '.join(sorted(DATASETS))}."
            raise BadConfig(f"tasks: reasoning-gym has no generator {task.generator!r}.{hint}", task=task.generator)
        self._task = task

    def dataset(self, seed: int, size: int) -> Any:
        """The questions of `size` seeds from `seed` on.

        Raises:
            BadConfig: If the generator refuses its options.
        """
        import reasoning_gym

        task = self._task
        try:
            return reasoning_gym.create_dataset(task.generator, seed=seed, size=size, **task.options)
        except (TypeError, ValueError, AssertionError) as error:
            raise BadConfig(f"tasks: {task.title}: options {task.options}: {error}", task=task.title) from None

    def draw(self, seeds: range, count: int, seen: set[str]) -> Iterator[Item]:
        """Yield `count` items whose questions are not in `seen`, and add them to it.

        Raises:
            BadConfig: If there are too few.
        """
        title, found = self._task.title, 0
        for facts in islice(self.dataset(seeds.start, len(seeds)), len(seeds)):
            question = facts["question"].strip()
            if question in seen:
                continue
            seen.add(question)
            yield Item(title, question, str(facts["answer"]), facts)
            found += 1
            if found == count:
                return
        raise BadConfig(
            f"tasks: {title} has only {found} questions that are neither repeated nor held out, {count} are asked for. "
            "Ask for fewer or widen its options.",
            task=title,
        )


class Grader:
    """Says whether an answer is right: exactly right, by the generator's own grader."""

    def __init__(self, tasks: Sequence[TaskSettings]) -> None:
        self._datasets = {task.title: _Source(task).dataset(0, 1) for task in tasks}

    def right(self, item: Item, text: str) -> bool:
        """Whether `text`, without the blanks around it, scores 1."""
        try:
            return bool(self._datasets[item.task].score_answer(text.strip(), dict(item.facts)) == 1.0)
        except (ValueError, TypeError, IndexError, ArithmeticError, SyntaxError):
            return False  # some graders parse what they are given, and a model may say anything


def generators_version() -> str:
    """Version of reasoning-gym, on which items depend besides their settings."""
    return version("reasoning-gym")


def items_version(items: Sequence[Item]) -> str:
    """Content hash of items, 12 hexadecimal digits."""
    text = json.dumps([(item.task, item.question, item.answer) for item in items])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def guesses(items: ItemSets) -> dict[str, float]:
    """By kind, the share of held-out items that always giving the commonest answer learned from gets right.

    What a model must beat to have learned more than the form of the answers.
    """
    shares = {}
    for task in dict.fromkeys(item.task for item in items.held_out):
        commonest = Counter(item.answer for item in items.train if item.task == task).most_common(1)[0][0]
        asked = [item for item in items.held_out if item.task == task]
        shares[task] = sum(item.answer == commonest for item in asked) / len(asked)
    return shares
