"""Comparisons of arms over the same seeds, with intervals.

Knows nothing of what is compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fabric.core.errors import BadInput
from fabric.simulator.hti.replica import Floats

RESAMPLES = 10_000
"""Bootstrap samples; the ends of a 95 % interval then move by about a hundredth of its width between seeds."""
_LEAST_PAIRS = 2


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its 95 % interval."""

    estimate: float
    low: float
    high: float
    pairs: int
    """Runs on each side."""

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside."""
        return not self.low <= value <= self.high


def paired_difference(
    ours: Sequence[float], theirs: Sequence[float], *, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """Mean of ours minus theirs, pair by pair.

    Args:
        ours: One figure for each seed.
        theirs: The same figure of the other arm, for the same seeds in the same order.
        seed: Of the bootstrap.
        resamples: Bootstrap samples.

    Raises:
        BadInput: If they are not equally many, fewer than two, or one is not a finite number.
    """
    mine, others = _pairs(ours, theirs)
    drawn = _drawn(len(mine), seed, resamples)
    return _interval(float((mine - others).mean()), (mine - others)[drawn].mean(axis=1), len(mine))


def paired_ratio(ours: Sequence[float], theirs: Sequence[float], *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Mean of ours over mean of theirs; both are resampled by the same pairs.

    Args:
        ours: One figure for each seed.
        theirs: The same figure of the other arm, for the same seeds in the same order.
        seed: Of the bootstrap.
        resamples: Bootstrap samples.

    Raises:
        BadInput: If they are not equally many, fewer than two, one is not a finite number, or one of theirs is not
            positive.
    """
    mine, others = _pairs(ours, theirs)
    if others.min() <= 0:
        raise BadInput(f"a ratio needs positive figures below the line, got {others.min():g}")
    drawn = _drawn(len(mine), seed, resamples)
    ratios = mine[drawn].mean(axis=1) / others[drawn].mean(axis=1)
    return _interval(float(mine.mean() / others.mean()), ratios, len(mine))


def _pairs(ours: Sequence[float], theirs: Sequence[float]) -> tuple[Floats, Floats]:
    """Both as columns.

    Raises:
        BadInput: If they are no pairs.
    """
    if len(ours) != len(theirs) or len(ours) < _LEAST_PAIRS:
        raise BadInput(
            f"a paired comparison needs the same seeds on both sides, at least two, got {len(ours)} and {len(theirs)}"
        )
    mine, others = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if not (np.isfinite(mine).all() and np.isfinite(others).all()):
        raise BadInput("a figure is not a finite number; leave that run out on both sides, and say so")
    return mine, others


def _drawn(pairs: int, seed: int, resamples: int) -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    return np.random.default_rng(seed).integers(pairs, size=(resamples, pairs))


def _interval(estimate: float, samples: Floats, pairs: int) -> Interval:
    low, high = np.quantile(samples, (0.025, 0.975))
    return Interval(estimate, float(low), float(high), pairs)
