"""Small corpora and small data sets, made in a few words."""

import random
from pathlib import Path
from typing import Any

from fabric.config.load import decode
from fabric.data.fingerprint import Fingerprint, fingerprint
from fabric.data.prepare import Here, Prepared, prepare
from fabric.data.settings import PrepareSettings

SYLLABLES = ("ba", "ke", "lo", "mi", "nu", "ra", "se", "to", "vi", "dor", "gan", "hel")


def prose(seed: int, words: int = 400) -> str:
    """Text that shares no run of five words with the prose of another seed."""
    chance = random.Random(seed)
    made = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 4))) for _ in range(words)]
    return "\n".join(" ".join(made[start : start + 9]) for start in range(0, words, 9)) + "\n"


def words_of(text: str, start: int, count: int) -> str:
    """Some words of a text."""
    return " ".join(text.split()[start : start + count]) + "\n"


def prints(**texts: str) -> list[Fingerprint]:
    """Fingerprints of texts by name, exact ones."""
    return [fingerprint(name, text, shingle_words=5, sketch_one_in=1) for name, text in texts.items()]


def corpus(folder: Path, **texts: str) -> Path:
    """A folder with a file for each text."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


def settings(folder: Path, *held_out: str, **changes: Any) -> PrepareSettings:
    """Settings for a small corpus."""
    document = {
        "output": "data",
        "source": {"folder": str(folder)},
        "held_out": list(held_out),
        "min_bytes": 20,
        "tokenizer": {"vocab_size": 400},
        "shard_bytes": 3000,
    }
    return decode(PrepareSettings, document | changes, "test")


class FakeReporter:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.done: list[tuple[float, float, str]] = []

    def stage(self, name: str) -> None:
        """Remember a stage."""
        self.stages.append(name)

    def progress(self, done: float, total: float, unit: str, **metrics: float) -> None:
        """Remember how far it is."""
        self.done.append((done, total, unit))


def prepared(chosen: PrepareSettings, output: Path) -> Prepared:
    """Run the stage in this process."""
    return prepare(chosen, output, Here(), reporter=FakeReporter(), say=lambda line: None)


def small_dataset(folder: Path) -> Path:
    """A data set of four training texts in several shards, and one held out."""
    texts = {f"text{number}": prose(number) for number in range(5)}
    prepared(settings(corpus(folder / "texts", **texts), "text4"), folder / "data")
    return folder / "data"
