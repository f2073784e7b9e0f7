"""A fine-tuning run as values: its settings, its samples, the batch of every step, and what every rank is given.

Knows nothing of torch or Ray, so that whoever starts a run needs neither.

Shapes: B samples, L tokens, N answer tokens of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fabric.config.settings import Settings
from fabric.train.assets import BASE_MODEL
from fabric.train.checkpoint import FOLDER, Checkpoint, Checkpoints
from fabric.train.history import History
from fabric.train.report import Reporter
from fabric.train.settings import CheckpointSettings, OptimiserSettings, TrainerSettings
from fabric.train.task import LOSSES, READINGS
from fabric.train.tasks import Item, ItemsSettings, generators_version
from fabric.workloads.spec import WorkloadSpec

WINDOW_BATCHES = 8
"""Batches whose samples are sorted by length together: enough to save padding, few enough to keep kinds mixed."""


class LoraSettings(Settings):
    """The matrices of low rank that are learned beside the frozen weights."""

    rank: int = Field(default=8, ge=1)
    """Rank of each pair."""

    alpha: float = Field(default=16.0, gt=0)
    """What a pair adds is multiplied by `alpha / rank`."""

    targets: tuple[str, ...] = Field(default=("q_proj", "v_proj"), min_length=1)
    """Linear layers that get a pair, by the end of their names."""

    first_layer: int = Field(default=0, ge=0)
    """First decoder layer with pairs; those below need no backward pass, which is what makes this a saving."""


class FinetuneSettings(Settings):
    """A fine-tuning run; one file under `configs/train/`."""

    workload: WorkloadSpec | None = None
    """What the fabric grants; unused under plain Ray."""

    output: str
    """Folder of the run below the artifacts' root."""

    base: str = BASE_MODEL
    """Folder of the model to start from, below the cache folder."""

    items: ItemsSettings
    """What to learn and what to be judged by."""

    seed: int = Field(default=0, ge=0)
    """Seed of fresh pairs and of the order of samples."""

    epochs: int = Field(default=1, ge=1)
    """Times each item is learned from."""

    batch_items: int = Field(ge=1)
    """Items of one optimiser step over all ranks."""

    lora: LoraSettings = LoraSettings()
    """What is learned."""

    optimiser: OptimiserSettings = OptimiserSettings(kind="adamw", lr=1e-3, weight_decay=0.0, beta2=0.99)
    """How the pairs follow gradients; `adamw` only."""

    checkpoints: CheckpointSettings = CheckpointSettings(every_steps=20)
    """When training state is written."""

    trainers: TrainerSettings = TrainerSettings()
    """The ranks."""

    short: str = ""
    """If the run is too short to judge the model by, the sentence that says so."""

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.optimiser.kind != "adamw":
            raise ValueError("optimiser.kind must be adamw: Muon is for matrices of full rank")
        if self.batch_items % self.trainers.count:
            raise ValueError(
                f"batch_items ({self.batch_items}) must be a multiple of trainers.count ({self.trainers.count})"
            )
        if self.steps <= self.optimiser.warmup_steps:
            raise ValueError(
                f"{self.num_items} items of {self.epochs} epochs make {self.steps} steps of {self.batch_items}, which "
                f"must be more than optimiser.warmup_steps ({self.optimiser.warmup_steps})"
            )
        return self

    @model_validator(mode="after")
    def _workload_grants_it(self) -> Self:
        if self.workload is None:
            return self
        granted = {group.name: group.count for group in self.workload.groups}
        if granted.get(self.trainers.group, 0) < self.trainers.count:
            raise ValueError(
                f"trainers.count is {self.trainers.count} in group {self.trainers.group!r}, but the workload's groups "
                f"have {granted} workers"
            )
        return self

    @property
    def num_items(self) -> int:
        """Different items to learn from."""
        return self.items.train_per_task * len(self.items.tasks)

    @property
    def steps(self) -> int:
        """Optimiser steps in all; items that fill no batch at the very end are left out."""
        return self.epochs * self.num_items // self.batch_items

    def ranks_for(self, workers: int) -> int:
        """The most ranks, up to `workers`, that share a batch equally; at least one."""
        return max(n for n in range(1, max(1, workers) + 1) if self.batch_items % n == 0)

    @property
    def decisive(self) -> dict[str, object]:
        """The choices that the result depends on: a run that differs in one of them is another run."""
        same = {"base", "items", "seed", "epochs", "batch_items", "lora", "optimiser"}
        chosen: dict[str, object] = self.model_dump(mode="json", include=same)
        return chosen


class Sample(NamedTuple):
    """One item as tokens."""

    prompt: tuple[int, ...]
    """What the model reads, ending where its answer begins."""

    answer: tuple[int, ...]
    """What it should say, with the token that ends a turn."""


class Batch(NamedTuple):
    """The part of a step's samples that one rank learns from, without their common beginning."""

    tokens: NDArray[np.int64]
    """(B, L) inputs after the common beginning, filled up on the right."""

    where: NDArray[np.int64]
    """(N,) places in the flattened `tokens` that predict an answer token."""

    answers: NDArray[np.int64]
    """(N,) those answer tokens."""


@dataclass(frozen=True, slots=True)
class FinetuneTask:
    """What every rank of a run is given; picklable."""

    settings: FinetuneSettings
    """The run's choices."""

    folder: Path
    """Output, absolute, on storage that every rank reaches."""

    base: Path
    """Folder of the base model, at the same place for every rank."""

    base_version: str
    """Content hash of the base model."""

    reporter: Reporter
    """Who is told of progress and checkpoints."""

    samples: tuple[Sample, ...] = ()
    """What to learn from; unused where nothing is left to learn."""

    start: Checkpoint | None = None
    """What to go on from."""

    @property
    def num_steps(self) -> int:
        """Optimiser steps in all."""
        return self.settings.steps

    @property
    def run(self) -> dict[str, object]:
        """What decides the result: attempts that agree in it are attempts at the same run."""
        return {**self.settings.decisive, "base_version": self.base_version, "generators": generators_version()}

    @property
    def checkpoints(self) -> Checkpoints:
        """The run's checkpoints."""
        return Checkpoints(self.folder / FOLDER, self.settings.checkpoints.keep_last)

    def going_on_from(self, start: Checkpoint | None) -> "FinetuneTask":
        """The same run from another point on."""
        return replace(self, start=start)

    def ranks_for(self, workers: int) -> int:
        """How many of `workers` ranks can share a batch equally."""
        return self.settings.ranks_for(workers)

    @property
    def losses(self) -> History:
        """The loss of every step."""
        return History(self.folder / LOSSES)

    @property
    def readings(self) -> History:
        """Readings of held-out works; fine-tuning takes none."""
        return History(self.folder / READINGS)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run, or this attempt at it, ended on its rank 0."""

    steps: int
    """Steps taken in all attempts."""

    tokens: int
    """Tokens of prompts and answers learned from in all attempts."""

    trained_s: float
    """Seconds spent on steps, without checkpoints and merging."""

    merge_difference: float | None = None
    """Largest difference of a logit between the merged model and the one with pairs; None where nothing was merged."""

    left_because: str = ""
    """Why it left early with its state saved; empty if it ran to the end."""


def encode(tokenizer: Any, items: Sequence[Item]) -> tuple[Sample, ...]:
    """Tokens of items: the question through the chat template, the answer as the assistant's whole turn."""
    return tuple(
        Sample(prompt_tokens(tokenizer, item.question), (*_tokens(tokenizer, item.answer), tokenizer.eos_token_id))
        for item in items
    )


def prompt_tokens(tokenizer: Any, question: str) -> tuple[int, ...]:
    """Tokens that a model reads when a user asks `question`, as an OpenAI server makes them."""
    asked = [{"role": "user", "content": question}]
    return _tokens(tokenizer, tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True))


def _tokens(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def common_beginning(samples: Sequence[Sample]) -> tuple[int, ...]:
    """The tokens that all prompts begin with; at least one token of every prompt comes after them."""
    shared: list[int] = []
    for tokens in zip(*(sample.prompt[:-1] for sample in samples), strict=False):
        if len(set(tokens)) > 1:
            break
        shared.append(tokens[0])
    return tuple(shared)


def plan_batches(lengths: Sequence[int], batch_items: int, epochs: int, seed: int) -> list[list[int]]:
    """Which samples every step learns from, the same for any number of ranks.

    Samples are shuffled, sorted by length within windows of a few batches, and the batches of a window shuffled again.
    Every sample comes once per epoch, but for those that fill no batch at the very end.

    Args:
        lengths: Tokens of each sample.
        batch_items: Samples of a step.
        epochs: Times each sample comes.
        seed: Seed of the order.
    """
    random = np.random.default_rng(seed)
    order = [int(i) for _ in range(epochs) for i in random.permutation(len(lengths))]
    order = order[: len(order) // batch_items * batch_items]
    batches: list[list[int]] = []
    for start in range(0, len(order), WINDOW_BATCHES * batch_items):
        window = sorted(order[start : start + WINDOW_BATCHES * batch_items], key=lambda i: lengths[i])
        parts = [window[i : i + batch_items] for i in range(0, len(window), batch_items)]
        batches += [parts[int(i)] for i in random.permutation(len(parts))]
    return batches


def collate(samples: Sequence[Sample], num_shared: int) -> Batch:
    """Put samples side by side.

    Args:
        samples: At least one.
        num_shared: Tokens of the common beginning, which are left out.
    """
    rows = [(*sample.prompt[num_shared:], *sample.answer[:-1]) for sample in samples]
    width = max(len(row) for row in rows)
    tokens = np.zeros((len(rows), width), dtype=np.int64)  # what fills up comes after the answer, which never sees it
    where: list[int] = []
    for i, (row, sample) in enumerate(zip(rows, samples, strict=True)):
        tokens[i, : len(row)] = row
        first = i * width + len(sample.prompt) - num_shared - 1
        where += range(first, first + len(sample.answer))
    answers = [token for sample in samples for token in sample.answer]
    return Batch(tokens, np.array(where, dtype=np.int64), np.array(answers, dtype=np.int64))
