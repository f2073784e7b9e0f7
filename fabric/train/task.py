"""A pre-training run as values: what every rank is given, and what comes back.

Knows nothing of torch or Ray, so that whoever starts a run needs neither.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from fabric.core.errors import BadConfig
from fabric.train.checkpoint import FOLDER, Checkpoint, Checkpoints, check_same_run
from fabric.train.history import History
from fabric.train.report import Reporter, Say
from fabric.train.samples import HeldOut, SampleSource
from fabric.train.settings import ModelSettings, PretrainSettings

LOSSES = "losses.jsonl"
"""One record a step: loss in nats per token, tokens seen, seconds trained."""
READINGS = "readings.jsonl"
"""One record for each time held-out works were read."""
MODEL = "model"
"""Folder, of the output and of each checkpoint, with the weights as engines load them."""
STOP_FILE = "stop-requested"
"""A file of this name in the output asks all ranks to save and leave; its text says why."""


@dataclass(frozen=True, slots=True)
class Task:
    """What every rank of a run is given; picklable."""

    settings: PretrainSettings
    """The run's choices."""

    shape: ModelSettings
    """The model's sizes."""

    folder: Path
    """Output, absolute, on storage that every rank reaches."""

    source: SampleSource
    """What to learn from."""

    held_out: HeldOut
    """What to be judged by."""

    reporter: Reporter
    """Who is told of progress and checkpoints."""

    data_version: str
    """Content hash of what is learned from."""

    start: Checkpoint | None = None
    """What to go on from."""

    end_token: int = 0
    """Id of the token between texts."""

    @property
    def num_steps(self) -> int:
        """Optimiser steps in all."""
        return self.settings.steps

    @property
    def run(self) -> dict[str, object]:
        """What decides the result: attempts that agree in it are attempts at the same run."""
        return {**self.settings.decisive, "shape": self.shape.model_dump(mode="json"), "data": self.data_version}

    @property
    def checkpoints(self) -> Checkpoints:
        """The run's checkpoints."""
        return Checkpoints(self.folder / FOLDER, self.settings.checkpoints.keep_last)

    def going_on_from(self, start: Checkpoint | None) -> "Task":
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
        """Readings of held-out works."""
        return History(self.folder / READINGS)

    def samples_of(self, rank: int) -> History:
        """Which samples a rank learned from."""
        return History(self.folder / f"samples-{rank}.jsonl")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run, or this attempt at it, ended."""

    steps: int
    """Steps taken in all attempts."""

    trained_s: float
    """Seconds spent on them, without validation and checkpoints."""

    bits_per_byte: float | None = None
    """On all held-out works; None if it left before that."""

    left_because: str = ""
    """Why it left early with its state saved; empty if it ran to the end."""


class Notices(Protocol):
    """Whether this rank has been asked to leave."""

    def at_step(self, step: int) -> str:
        """Why, or an empty string; called by every rank at every step."""
        ...

    def now(self) -> str:
        """The same, at any moment and without waiting for others."""
        ...


class StopFile:
    """Notices by a file, which works across processes and nodes without any connection."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / STOP_FILE

    def ask(self, reason: str) -> None:
        """Ask all ranks to save and leave.

        Raises:
            OSError: If the disk refuses.
        """
        self.path.write_text(reason, encoding="utf-8")

    def now(self) -> str:
        """Why to leave, or an empty string."""
        try:
            return self.path.read_text(encoding="utf-8") or "it was asked to stop"
        except FileNotFoundError:
            return ""

    def at_step(self, step: int) -> str:
        """Why to leave, or an empty string."""
        return self.now()


class Resumable(Protocol):
    """A run that may go on where an earlier attempt left, whatever it trains."""

    @property
    def folder(self) -> Path:
        """Its output."""
        ...

    @property
    def num_steps(self) -> int:
        """Steps in all."""
        ...

    @property
    def run(self) -> dict[str, object]:
        """What decides the result."""
        ...

    @property
    def checkpoints(self) -> Checkpoints:
        """Its checkpoints."""
        ...


def resume(task: Resumable, say: Say) -> Checkpoint | None:
    """Make the output folder ready and find the checkpoint to go on from, before any rank starts.

    Args:
        task: The run; its `start` is not looked at.
        say: Told which checkpoint is used, and which were corrupt.

    Raises:
        Conflict: If the folder belongs to a run with other settings.
        Corrupt: If there are checkpoints and none is good.
        Unavailable: If one cannot be read at the moment.
        OSError: If the disk refuses.
    """
    task.folder.mkdir(parents=True, exist_ok=True)
    (task.folder / STOP_FILE).unlink(missing_ok=True)
    found = task.checkpoints.newest()
    for corrupt in found.skipped:
        say(f"corrupt checkpoint set aside: {corrupt}")
    if found.checkpoint:
        check_same_run(found.checkpoint, task.run)
        say(f"going on from {found.checkpoint.path.name}: {found.checkpoint.step} of {task.num_steps} steps done")
    step = found.checkpoint.step if found.checkpoint else 0
    for path in task.folder.glob("*.jsonl"):
        if path.name in (LOSSES, READINGS) or path.name.startswith("samples-"):
            History(path).rewind(step)
    return found.checkpoint


def check_vocabulary(shape: ModelSettings, vocab_size: int) -> None:
    """Refuse a model that does not know all tokens of the data.

    Args:
        shape: The model's sizes.
        vocab_size: Tokens of the data's tokenizer.

    Raises:
        BadConfig: If they differ.
    """
    if shape.vocab_size != vocab_size:
        raise BadConfig(
            f"the model has a vocabulary of {shape.vocab_size} tokens and the data one of {vocab_size}. "
            f"Set vocab_size in the model's file, or prepare the data with tokenizer.vocab_size={shape.vocab_size}."
        )


def folder_of(uri: str) -> Path:
    """The folder that a `file://` URI names.

    Raises:
        BadConfig: If it names something that is not a folder of this machine.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        raise BadConfig(f"artifacts are at {uri}, but training writes checkpoints to file:// only, shared by all tiers")
    return Path(unquote(parts.path))
