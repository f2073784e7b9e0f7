"""How well promises were kept: by how much work started later than it was first promised.

Knows nothing of when that was, or of who was promised.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

KEPT_WITHIN_S = 1.0
"""How much later than promised still counts as kept, in seconds: one look of a calm loop (`LoopThread`)."""


@dataclass(frozen=True, slots=True)
class Punctuality:
    """The distribution of actual start minus first promise, in seconds; below zero is earlier than promised."""

    num: int = 0
    """Starts that had been promised."""
    num_kept: int = 0
    """Of these, how many were at most `KEPT_WITHIN_S` late."""
    p50_s: float | None = None
    """Median; None where nothing was promised, like the next two."""
    p95_s: float | None = None
    worst_s: float | None = None


def punctuality(late_s: Iterable[float]) -> Punctuality:
    """The distribution of errors; quantiles are the nearest rank, so each is an error that did happen.

    Args:
        late_s: Actual start minus first promise of each start that was promised, in seconds.
    """
    errors = sorted(late_s)
    if not errors:
        return Punctuality()
    kept = sum(error <= KEPT_WITHIN_S for error in errors)
    return Punctuality(len(errors), kept, _quantile(errors, 0.5), _quantile(errors, 0.95), errors[-1])


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
