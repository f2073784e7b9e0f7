"""The rule for moving an alias: the new version takes it only if it is not worse than the one that has it.

Knows nothing of models: it compares two evaluations.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from typing import Literal

from pydantic import Field

from fabric.config.settings import Settings
from fabric.registry.evaluation import Evaluation


class AliasRule(Settings):
    """What not being worse means."""

    metric: str
    """Number that decides, such as `exact_match` or `bits_per_byte`."""

    better: Literal["higher", "lower"]
    """Which way is better."""

    tolerance: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Most that the metric may be worse, in its own unit, where chance could explain it; 0 keeps a chain of almost
    equal versions from drifting down."""

    level: float = Field(default=0.05, gt=0, lt=1)
    """P-value of the paired comparison below which chance does not explain a loss."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the alias moves, and why."""

    moves: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two models on the same items, where they differ."""

    gained: int
    """Items that only the new one answered right."""
    lost: int
    """Items that only the old one answered right."""

    @property
    def p_worse(self) -> float:
        """Chance of at least so many losses if the two were equally good: McNemar's exact test, one-sided.

        Source:
            Q. McNemar, Psychometrika 12 (1947) 153, with the binomial in place of the chi-squared distribution.
        """
        flips = self.gained + self.lost
        return float(Fraction(sum(comb(flips, k) for k in range(self.lost, flips + 1)), 2**flips))


def pairs(old: Sequence[bool], new: Sequence[bool]) -> Pairs:
    """Compare item by item.

    Raises:
        ValueError: If the lengths differ.
    """
    both = list(zip(old, new, strict=True))
    return Pairs(sum(b and not a for a, b in both), sum(a and not b for a, b in both))


def may_take_alias(rule: AliasRule, old: Evaluation | None, new: Evaluation | None) -> Verdict:
    """Decide whether the version judged by `new` may take the alias from the one judged by `old`.

    Args:
        rule: What not being worse means.
        old: Of the version that has the alias; None if it was never judged.
        new: Of the one that wants it; None if it was never judged.
    """
    found = None if new is None else new.metrics.get(rule.metric)
    if new is None or found is None or not math.isfinite(found):
        return Verdict(False, f"it was not judged by {rule.metric} (got {found}); evaluate it first")
    before = None if old is None else old.metrics.get(rule.metric)
    if old is None or before is None or not math.isfinite(before):
        return Verdict(True, f"{rule.metric} {found:.6g}; the version that had the alias was not judged by it")
    if old.suite != new.suite:
        return Verdict(False, f"it was judged on other items ({new.suite}, not {old.suite}); evaluate both on the same")
    return _compared(rule, old, new)


def _compared(rule: AliasRule, old: Evaluation, new: Evaluation) -> Verdict:
    before, after = old.metrics[rule.metric], new.metrics[rule.metric]
    gain = after - before if rule.better == "higher" else before - after
    numbers = f"{rule.metric} {before:.6g} -> {after:.6g}"
    beside, by_chance = _paired(rule, old, new)
    if gain >= 0:
        return Verdict(True, f"not worse: {numbers}{beside}")
    if gain < -rule.tolerance:
        allowed = f", more than the {rule.tolerance:g} allowed" if rule.tolerance else ""
        return Verdict(False, f"worse: {numbers}{allowed}{beside}")
    if not by_chance:
        return Verdict(False, f"worse by more than chance explains: {numbers}{beside}")
    return Verdict(True, f"not worse within the tolerance of {rule.tolerance:g}: {numbers}{beside}")


def _paired(rule: AliasRule, old: Evaluation, new: Evaluation) -> tuple[str, bool]:
    """The paired comparison in words, and whether chance explains the losses; true where there is nothing to pair."""
    if rule.metric != new.items_metric or not new.correct or len(old.correct) != len(new.correct):
        return "", True
    found = pairs(old.correct, new.correct)
    words = f" ({found.gained} items gained, {found.lost} lost of {len(new.correct)}, p of worse {found.p_worse:.3g})"
    return words, found.p_worse >= rule.level
