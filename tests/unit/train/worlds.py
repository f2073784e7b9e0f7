"""Small pre-training runs in a few words."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fabric.train.report import Silent
from fabric.train.samples import HeldOut, SampleSource, Tokens, Work, share
from fabric.train.settings import (
    BatchSettings,
    CheckpointSettings,
    ModelSettings,
    OptimiserSettings,
    PretrainSettings,
    ValidationSettings,
)
from fabric.train.task import Task

CONTEXT = 32
VOCABULARY = 64


def shape(**changes: Any) -> ModelSettings:
    """A decoder of one layer."""
    sizes = {"vocab_size": VOCABULARY, "width": 64, "mlp_width": 96, "num_layers": 1, "num_heads": 2, "num_kv_heads": 2}
    return ModelSettings(**{**sizes, "context_tokens": CONTEXT, **changes})


def settings(**changes: Any) -> PretrainSettings:
    """Twelve steps of four rows."""
    chosen: dict[str, Any] = {
        "output": "run",
        "data": "data",
        "model": "model.yaml",
        "steps": 12,
        "batch": BatchSettings(rows=4, micro_rows=2),
        "optimiser": OptimiserSettings(warmup_steps=2),
        "checkpoints": CheckpointSettings(every_steps=5),
        "validation": ValidationSettings(every_steps=6, subset_tokens=100),
        "record_samples": True,
    }
    return PretrainSettings(**{**chosen, **changes})


@dataclass(frozen=True)
class FakeSource:
    """Samples made up from their number alone."""

    batch_rows: int
    context: int = CONTEXT

    def sample(self, number: int) -> Tokens:
        """Sample `number` of the global order: a walk over the vocabulary that a model can learn."""
        start, stride = np.random.default_rng(number).integers(1, 4, 2)
        walk: Tokens = (start + stride * np.arange(self.context + 1)) % VOCABULARY
        return walk

    def batches(self, *, rank: int, world_size: int, start_step: int = 0) -> Iterator[Tokens]:
        """A rank's share of each step."""
        step = start_step
        while True:
            numbers = share(step, self.batch_rows, rank=rank, world_size=world_size)
            yield np.stack([self.sample(number) for number in numbers])
            step += 1


def held_out() -> HeldOut:
    """Two texts, one shorter than a context."""
    draw = np.random.default_rng(7)
    works = (Work("long", draw.integers(0, VOCABULARY, 150), 400), Work("short", draw.integers(0, VOCABULARY, 9), 25))
    return HeldOut(works, xz_bits_per_byte=2.5)


def task(folder: Path, source: SampleSource | None = None, **changes: Any) -> Task:
    """A run that writes to `folder`."""
    chosen = settings(**changes)
    source = source or FakeSource(chosen.batch.rows)
    return Task(chosen, shape(), folder, source, held_out(), Silent(), data_version="0123456789ab")
