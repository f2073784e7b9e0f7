"""How a model was judged: numbers by name and, where there are, right and wrong item by item.

Knows nothing of models or items.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fabric.core.errors import BadInput, Corrupt

JUDGEMENTS = "judgements"
"""Key of an evaluation's file under which each judged output's name has its judgement."""
MOST_ITEMS = 90_000
"""Items an evaluation may have; one character each, it fits the 100,000 that MLflow takes for one tag."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One judgement of one model."""

    suite: str
    """Content hash of what was asked; only within one suite may two models be compared."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Numbers by name."""
    correct: tuple[bool, ...] = ()
    """Whether each item was answered right, in the suite's order; empty where nothing is right or wrong."""
    items_metric: str = "exact_match"
    """Name of the metric that is the share of right items."""

    def __post_init__(self) -> None:
        if len(self.correct) > MOST_ITEMS:
            raise BadInput(f"an evaluation has {len(self.correct)} items; {MOST_ITEMS} can be kept. Judge by fewer.")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types, one character for each item."""
        items = "".join("1" if right else "0" for right in self.correct)
        told = {"suite": self.suite, "metrics": dict(self.metrics)}
        return {**told, "correct": items, "items_metric": self.items_metric}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Evaluation":
        """What `to_dict` wrote.

        Raises:
            Corrupt: If it is something else.
        """
        try:
            metrics = {str(name): float(number) for name, number in value["metrics"].items()}
            items = tuple(mark in {"1", True} for mark in value["correct"])
            return cls(str(value["suite"]), metrics, items, str(value.get("items_metric", "exact_match")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Corrupt(f"{str(value)[:80]!r} is no evaluation: {error!r}") from None

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> "Evaluation":
        """What `to_json` wrote.

        Raises:
            Corrupt: If it is something else.
        """
        try:
            return cls.from_dict(json.loads(text))
        except ValueError as error:
            raise Corrupt(f"{text[:80]!r} is no evaluation: {error}") from None
