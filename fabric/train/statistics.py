"""Is a model better than another on the same items? McNemar's exact test on the items where they differ.

Knows nothing of models or tasks: callers bring one truth per item and model, in the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from fabric.core.errors import BadInput


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same items."""

    num_items: int
    """Items both answered."""

    before: int
    """Items that the first model got right."""

    after: int
    """Items that the second model got right."""

    gained: int
    """Items that only the second got right."""

    lost: int
    """Items that only the first got right."""

    p_value: float
    """Chance of a split at least as uneven if neither model were better (two-sided)."""

    def better(self, level: float = 0.05) -> bool:
        """Whether the second is better, by more than chance explains at `level`."""
        return self.gained > self.lost and self.p_value < level


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided p-value of McNemar's exact test.

    Args:
        gained: Items that only the second model got right.
        lost: Items that only the first got right.

    Returns:
        Probability that `gained + lost` fair coins fall at least as unevenly; 1 where the models never differ.

    Raises:
        BadInput: If a count is negative.

    Source:
        Q. McNemar, Psychometrika 12 (1947) 153, with the binomial in place of the chi-squared distribution.
    """
    if min(gained, lost) < 0:
        raise BadInput(f"counts of items cannot be negative, got {gained} gained and {lost} lost")
    flips = gained + lost
    ways = tail = 1  # to choose k of all flips, and up to k of them
    for k in range(min(gained, lost)):
        ways = ways * (flips - k) // (k + 1)
        tail += ways
    return float(min(Fraction(1), Fraction(2 * tail, 2**flips)))


def compare(before: Sequence[bool], after: Sequence[bool]) -> Comparison:
    """Compare two models item by item.

    Args:
        before: Whether the first model got each item right.
        after: The same of the second, in the same order.

    Raises:
        BadInput: If the lengths differ or there is no item.
    """
    if len(before) != len(after) or not before:
        raise BadInput(
            f"a paired comparison needs the same items on both sides, got {len(before)} and {len(after)}. "
            "Evaluate both models on one set of held-out items."
        )
    gained = sum(new and not old for old, new in zip(before, after, strict=True))
    lost = sum(old and not new for old, new in zip(before, after, strict=True))
    return Comparison(len(before), sum(before), sum(after), gained, lost, mcnemar_exact(gained, lost))
