"""Sia's program: at most one size on one tier for each job, of most total worth within what each tier has.

Knows nothing of rounds, names only jobs by their place in the list.

The program is a multiple-choice knapsack with one capacity for each tier. Prices for the devices of each tier are
found by bisection (Lagrangian relaxation); then tier by tier, the fastest first, an exact knapsack chooses among the
jobs that have nothing yet, each worth what it has here beyond what it would have elsewhere at the prices. What is left
then goes to those who have nothing, whatever they might have had elsewhere. With one tier it is exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabric.scheduler.knapsack import Option, fill

SCALE = 1_000_000
"""Worth is counted in millionths, since the knapsack takes whole numbers."""

_STEPS = 14
"""Halvings of a price; worth is about one, so a price is found to a ten-thousandth."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One size of a job on one tier."""

    tier: int
    """Number of the tier."""
    workers: int
    devices: int
    worth: float


def choose(jobs: Sequence[Sequence[Choice]], devices: Sequence[int]) -> list[Choice | None]:
    """The choice of each job, or None.

    Args:
        jobs: What each may have; choices that are worth nothing are never made.
        devices: What each tier has, the fastest first.
    """
    prices = _prices(jobs, devices) if len(devices) > 1 else [0.0]
    result: list[Choice | None] = [None] * len(jobs)
    left = [max(0, room) for room in devices]
    for passes in range(min(2, len(devices))):
        for tier in range(len(devices)):
            options: dict[str, tuple[Option, ...]] = {}
            meant: dict[tuple[str, int], Choice] = {}
            for number, choices in enumerate(jobs):
                if result[number] is not None:
                    continue
                others = (c.worth - prices[c.tier] * c.devices for c in choices if c.tier > tier and not passes)
                name, here = f"{number:06d}", [c for c in choices if c.tier == tier and c.devices <= left[tier]]
                options[name] = _options(here, max(0.0, max(others, default=0.0)), name=name, meant=meant)
            for name, option in fill({n: o for n, o in options.items() if o}, left[tier]).items():
                result[int(name)] = meant[name, option.size]
                left[tier] -= option.slots
    return result


def _options(
    here: Sequence[Choice], elsewhere: float, *, name: str, meant: dict[tuple[str, int], Choice]
) -> tuple[Option, ...]:
    """Choices on one tier by rising devices, without those that are worth no more than a smaller one."""
    found: list[Option] = []
    for choice in sorted(here, key=lambda c: (c.devices, -c.worth)):
        worth = round((choice.worth - elsewhere) * SCALE)
        if worth > (found[-1].worth if found else 0) and (not found or choice.devices > found[-1].slots):
            found.append(Option(choice.workers, choice.devices, worth))
            meant[name, choice.workers] = choice
    return tuple(found)


def _prices(jobs: Sequence[Sequence[Choice]], devices: Sequence[int]) -> list[float]:
    """A price for the devices of each tier at which no more is wanted than there is."""
    table = _Table(jobs, len(devices))
    prices = [0.0] * len(devices)
    for _ in range(2):  # the price of one tier moves what is wanted of another
        for tier, room in enumerate(devices):
            low, high = 0.0, table.most
            for _ in range(_STEPS):
                prices[tier] = (low + high) / 2
                if table.wanted(prices)[tier] > room:
                    low = prices[tier]
                else:
                    high = prices[tier]
            prices[tier] = high
    return prices


class _Table:
    """All choices as arrays, one row a job, so that one operation looks at every job."""

    def __init__(self, jobs: Sequence[Sequence[Choice]], tiers: int) -> None:
        width = max((len(choices) for choices in jobs), default=0)
        self._worth: NDArray[np.float64] = np.zeros((len(jobs), width + 1))
        self._cost = np.zeros((len(jobs), width + 1, tiers))
        for row, choices in enumerate(jobs):
            for column, choice in enumerate(choices):
                self._worth[row, column] = choice.worth
                self._cost[row, column, choice.tier] = choice.devices
        self.most = float(max((c.worth / c.devices for choices in jobs for c in choices), default=0.0)) + 1.0 / SCALE
        """A price at which nobody wants anything."""

    def wanted(self, prices: Sequence[float]) -> Mapping[int, float]:
        """Devices of each tier that are wanted at some prices; having nothing is the last column."""
        best = (self._worth - self._cost @ np.array(prices)).argmax(axis=1)
        totals = self._cost[np.arange(len(best)), best].sum(axis=0)
        return dict(enumerate(totals.tolist()))
