"""What a data set, a checkpoint and a model version is: a name, what is in it, and where it comes from.

Knows nothing of where they are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fabric.registry.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class Parent:
    """What something was made from."""

    name: str
    """Output of the stage that made it, or name of an asset."""
    version: str
    """Its content hash."""
    kind: str = ""
    """`dataset`, `model` ..., where known."""

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" if self.version else self.name


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """Data that never change; equal contents are equal versions."""

    name: str
    version: str
    """Content hash."""
    uri: str
    """Its folder."""
    parents: tuple[Parent, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Training state from which a run goes on."""

    workload: str
    """Who wrote it."""
    step: int
    uri: str
    """Its folder."""
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a model comes from."""

    revision: str = ""
    """Of the code; empty where the code is under no version control."""
    config: str = ""
    """The settings it was made with, as JSON."""
    parents: tuple[Parent, ...] = ()
    """The data it learned from and the model it began with."""

    def as_texts(self) -> dict[str, str]:
        """Each part under a word, as people and the wire see it; parts that are not known are left out."""
        parts = {"revision": self.revision, "config": self.config}
        for kind, word in (("dataset", "data"), ("model", "parent"), ("", "made_from")):
            named = [
                str(p) for p in self.parents if p.kind == kind or (not kind and p.kind not in {"dataset", "model"})
            ]
            parts[word] = ", ".join(named)
        return {word: text for word, text in parts.items() if text}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that asks to be registered."""

    name: str
    """Of the registered model, such as `shakespeare`."""
    digest: str
    """Content hash: two with equal ones are one version."""
    uri: str
    """Folder that an engine reads."""
    lineage: Lineage = Lineage()
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Measured while it was made and when it was evaluated."""
    evaluation: Evaluation | None = None
    """How it was judged; what the rule for aliases looks at."""


@dataclass(frozen=True, slots=True)
class ModelVersion(Candidate):
    """A registered model."""

    version: int = 0
    """From 1, rising within the name."""
    aliases: tuple[str, ...] = ()
    """Those that point here now, in alphabetical order."""
    created_at: float = 0.0
    """Seconds since the epoch."""
