"""Choose at most one option of each holder: most worth within some slots, or least cost for some slots.

Knows nothing of gangs or time: worth and cost are whole numbers, slots are counted.

Both are the multiple-choice knapsack, solved by dynamic programming over slots. Ties go to the first name.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOST_CELLS = 50_000_000
"""Options times slots up to which `fill` is exact. Measured on one core of a shared two-core machine: 11 million cells
in 0.05 s, 366 million in 0.6 s; counted in units eight times as large, those took 0.2 s and kept 99.2 % of worth."""

_UNREACHABLE = 2**62


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that a holder may do."""

    size: int
    """What the caller calls it by, such as a number of workers."""
    slots: int
    """Slots it takes (fill) or frees (cover); at least 1."""
    worth: int
    """Worth (fill) or cost (cover); at least 1."""


Options = Mapping[str, tuple[Option, ...]]
"""Options of each holder by rising slots and rising worth; choosing none is always allowed."""


def fill(options: Options, slots: int, *, most_cells: int = MOST_CELLS) -> dict[str, Option]:
    """The choice of most total worth that takes at most `slots`.

    Above `most_cells` slots are counted in larger units, every option rounded up, so the choice still fits but may
    leave some slots idle and some worth behind.

    Args:
        options: What each holder may take.
        slots: What there is.
        most_cells: Options times slots up to which the answer is exact.

    Returns:
        The option of each holder that takes any.
    """
    if sum(offers[-1].slots for offers in options.values() if offers) <= slots:
        return {name: offers[-1] for name, offers in options.items() if offers}
    unit = _unit(options)
    unit *= max(1, math.ceil(_num_options(options) * slots / unit / most_cells))
    room = slots // unit
    best = np.zeros(room + 1, np.int64)
    picks: dict[str, npt.NDArray[np.int16]] = {}
    for name in sorted(options, reverse=True):
        better, pick = best.copy(), np.zeros(room + 1, np.int16)
        for number, option in enumerate(options[name], start=1):
            taken = math.ceil(option.slots / unit)
            if taken > room:
                break
            worth = best[: room + 1 - taken] + option.worth
            # At least as good: the name looked at last is the first in order, and has the tie.
            wins = worth >= better[taken:]
            np.copyto(better[taken:], worth, where=wins)
            np.copyto(pick[taken:], np.int16(number), where=wins)
        best, picks[name] = better, pick
    return dict(_walk_back(options, picks, room, unit))


def cover(options: Options, slots: int) -> dict[str, Option]:
    """The choice of least total cost that frees at least `slots`; everything, where even that is less.

    Args:
        options: What each holder may give.
        slots: What is wanted.

    Returns:
        The option of each holder that gives any.
    """
    if slots <= 0:
        return {}
    if sum(offers[-1].slots for offers in options.values() if offers) <= slots:
        return {name: offers[-1] for name, offers in options.items() if offers}
    unit = _unit(options)
    need = math.ceil(slots / unit)
    best = np.full(need + 1, _UNREACHABLE, np.int64)
    best[0] = 0
    picks: dict[str, npt.NDArray[np.int16]] = {}
    lacking = np.arange(need + 1)
    for name in sorted(options, reverse=True):
        better, pick = best.copy(), np.zeros(need + 1, np.int16)
        for number, option in enumerate(options[name], start=1):
            cost = best[np.maximum(0, lacking - option.slots // unit)] + option.worth
            # Of equal ones the smaller option of a holder, and the holder looked at last, which is the first in order.
            wins = (cost < better) | ((cost == better) & (pick == 0))
            wins[0] = False
            np.copyto(better, cost, where=wins)
            np.copyto(pick, np.int16(number), where=wins)
        best, picks[name] = better, pick
    return dict(_walk_back(options, picks, need, unit))


def _unit(options: Options) -> int:
    """The largest number of slots that divides every option, so that tables are short."""
    return math.gcd(*(option.slots for offers in options.values() for option in offers)) or 1


def _num_options(options: Options) -> int:
    return sum(len(offers) for offers in options.values())


def _walk_back(
    options: Options, picks: Mapping[str, npt.NDArray[np.int16]], left: int, unit: int
) -> Iterator[tuple[str, Option]]:
    """Read the choice out of the tables, from the holder decided last; `left` counts units."""
    for name in sorted(picks):
        number = int(picks[name][left])
        if number:
            option = options[name][number - 1]
            yield name, option
            left = max(0, left - math.ceil(option.slots / unit))
