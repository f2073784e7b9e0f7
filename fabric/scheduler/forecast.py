"""Say how many replicas a service will need over the coming hours, as a quantile.

Knows nothing of requests, tokens or how many a replica serves: callers count the need in replicas, whole or not.

The forecast is the last value blended with the median of the same time on past days, plus a margin for each horizon.
The margin is the larger of two: the quantile of the errors of the past week, and a level that rises whenever the
forecast was exceeded and falls a little whenever it was not, so that in the long run it holds as often as it should,
also when demand drifts (quantile tracking: Angelopoulos, Candès and Tibshirani, Conformal PID Control, NeurIPS'23). The
level is never below zero, so demand that does not change is forecast as it is.

Gaps: up to an hour is bridged by a straight line; a longer one takes the values of the day before, or the straight line
where there is no day before. What was filled in is never counted as an error.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fabric.core.errors import BadInput

DAY_S = 86400.0
"""Seconds of the period that demand is expected to repeat with."""

MOST_GAP_S = 3600.0
"""Longest gap in seconds that is bridged by a straight line."""

PAST_DAYS = 7
"""Days whose same time of day is looked at, and whose errors make the margin."""

BLEND_S = 6 * 3600.0
"""Horizon in seconds over which the weight of past days would rise from none to all; it stops at one half."""

MOST_BLEND = 0.5
"""Largest weight of past days. On the ServeGen rates, 3 and 6 h ahead, one half had less pinball loss than none."""

LEARN = 0.03
"""Step of the margin, as a share of the daily mean. Chosen of 0.03, 0.05 and 0.1 on the last 7 days of three ServeGen
rates (m-large, m-mid, m-small): all three hold as often, the smallest asks for the fewest replicas."""

MEDIAN = 0.5
"""Smallest quantile that is forecast, as margins are not negative."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """What was needed at an instant."""

    at_s: float
    """Seconds since the epoch."""
    replicas: float


@dataclass(frozen=True, slots=True)
class Demand:
    """Replicas needed as a step function of time."""

    start_s: float
    """Seconds since the epoch at which the first step begins."""
    step_s: float
    replicas: tuple[int, ...]
    method: str
    """What it rests on, for people."""

    def needed(self, at_s: float) -> int:
        """Replicas needed at an instant; before the first step as in it, after the last one the most of all steps."""
        return self.peak(at_s, at_s)

    def peak(self, from_s: float, to_s: float) -> int:
        """Most replicas needed at any instant from `from_s` to `to_s`, both included."""
        first, last = (max(0, math.floor((at - self.start_s) / self.step_s)) for at in (from_s, to_s))
        return max(self.replicas[first : last + 1] if last < len(self.replicas) else self.replicas)

    def rises_above(self, replicas: int, from_s: float) -> float | None:
        """The first instant from `from_s` on at which more than `replicas` are needed; None if there is none."""
        for number, needed in enumerate(self.replicas):
            end_s = self.start_s + (number + 1) * self.step_s
            if needed > replicas and end_s > from_s:
                return max(from_s, end_s - self.step_s)
        return None

    def with_lead(self, lead_s: float) -> "Demand":
        """What must have been started, so that every replica is ready `lead_s` after its start when it is needed.

        Raises:
            BadInput: If the lead is negative.
        """
        if lead_s < 0:
            raise BadInput(f"a cold start takes no negative time, got {lead_s} s")
        later = 1 + math.ceil(lead_s / self.step_s)
        early = tuple(max(self.replicas[i : i + later]) for i in range(len(self.replicas)))
        return Demand(self.start_s, self.step_s, early, f"{self.method}, {lead_s:.0f} s ahead for the cold start")


@dataclass(frozen=True, slots=True)
class BackTest:
    """How a forecast would have done."""

    quantile: float
    coverage: float
    """Share of steps in which no more was needed than was forecast; should be near `quantile`."""
    coverage_by_step: tuple[float, ...]
    """The same for the first step, the second and so on."""
    over: float
    """Replicas forecast beyond need, on average, as a share of the mean need."""
    under: float
    """Replicas that were missing, on average, as a share of the mean need."""
    num_steps: int
    """Steps compared, of all forecasts: those that were measured."""


def forecast(
    samples: Sequence[Sample],
    now: float,
    *,
    quantile: float,
    horizon_s: float,
    step_s: float = 600.0,
    least: int = 0,
) -> Demand:
    """The `quantile` of the replicas needed in each step of the next `horizon_s`.

    Without a day of history it is the last value and its margin; without any history it is `least`. In the present
    step at least what was already seen in it is needed.

    Args:
        samples: What was needed, in any order; of several in one step the largest counts.
        now: Seconds since the epoch.
        quantile: Share of steps in which the forecast should be enough; at least one half.
        horizon_s: How far to look, at most a day; add the lead if `with_lead` follows.
        step_s: Length of a step in seconds; steps begin at multiples of it.
        least: Replicas that are wanted even if nobody asks.

    Raises:
        BadInput: If a number is out of its range, or a sample lies in the future or is no number.
    """
    _check(samples, now, quantile, horizon_s=horizon_s, step_s=step_s)
    num_steps = math.ceil(horizon_s / step_s)
    present = math.floor(now / step_s)
    past = [sample for sample in samples if sample.at_s < present * step_s]
    seen_now = max((s.replicas for s in samples if s.at_s >= present * step_s), default=0.0)
    if not past:
        needed = max(least, math.ceil(seen_now))
        return Demand(present * step_s, step_s, (needed,) * num_steps, "nothing was seen yet")
    series = _Series(*_regular(past, present, step_s), step_s, num_steps, quantile)
    replicas = series.asked(len(series.values) - 1)
    replicas[0] = max(replicas[0], seen_now)
    whole = tuple(max(least, math.ceil(round(float(value), 6))) for value in replicas)
    return Demand(present * step_s, step_s, whole, series.method)


def forecasts(
    samples: Sequence[Sample],
    from_s: float,
    *,
    quantile: float,
    horizon_s: float,
    step_s: float = 600.0,
    least: int = 0,
) -> tuple[Demand, ...]:
    """What `forecast` says at the beginning of each step, one after another, without doing the work anew each time.

    Args:
        samples: A history without gaps, in any order.
        from_s: When the first forecast is made: a multiple of the step, with samples before it.
        quantile: As in `forecast`.
        horizon_s: As in `forecast`.
        step_s: As in `forecast`.
        least: As in `forecast`.

    Returns:
        One for each step from `from_s` to the one after the last sample.

    Raises:
        BadInput: If there is no sample before `from_s` or a step without one, or as in `forecast`.
    """
    last_s = max((sample.at_s for sample in samples), default=from_s)
    _check(samples, last_s, quantile, horizon_s=horizon_s, step_s=step_s)
    first, end = math.floor(from_s / step_s), math.floor(last_s / step_s) + 1
    if not any(sample.at_s < first * step_s for sample in samples):
        raise BadInput(f"a first forecast at {from_s:.0f} needs a sample before that instant")
    series = _Series(*_regular(samples, end, step_s), step_s, math.ceil(horizon_s / step_s), quantile)
    if not series.seen.all():
        raise BadInput("forecasts one after another need a history without gaps; ask for each by itself")
    begin = end - len(series.values)
    found = []
    for step in range(first, end + 1):
        replicas = series.asked(step - 1 - begin)
        whole = tuple(max(least, math.ceil(round(float(value), 6))) for value in replicas)
        found.append(Demand(step * step_s, step_s, whole, "last value blended with past days"))
    return tuple(found)


def back_test(
    samples: Sequence[Sample],
    *,
    quantile: float,
    horizon_s: float,
    warm_up_s: float,
    step_s: float = 600.0,
    every: int = 1,
) -> BackTest:
    """Forecast again and again inside a history and compare with what came; fractions of replicas are kept.

    Args:
        samples: What was needed.
        quantile: As in `forecast`.
        horizon_s: As in `forecast`.
        warm_up_s: History before the first forecast, in seconds.
        step_s: As in `forecast`.
        every: Steps from one forecast to the next.

    Raises:
        BadInput: If no forecast can be compared, or as in `forecast`.
    """
    if not samples:
        raise BadInput("a back-test needs a history")
    last_s = max(sample.at_s for sample in samples)
    _check(samples, last_s, quantile, horizon_s=horizon_s, step_s=step_s)
    present = math.floor(last_s / step_s) + 1
    series = _Series(*_regular(samples, present, step_s), step_s, math.ceil(horizon_s / step_s), quantile)
    origins = range(math.ceil(warm_up_s / step_s), len(series.values) - series.num_steps, every)
    ahead = np.arange(1, series.num_steps + 1)
    counts = np.array([series.seen[origin + ahead] for origin in origins], bool).reshape(len(origins), series.num_steps)
    if not counts.any():
        raise BadInput(f"{len(series.values) * step_s:.0f} s of history is too little for a back-test of {horizon_s} s")
    asked = np.array([series.asked(origin) for origin in origins])
    came = np.array([series.values[origin + ahead] for origin in origins])
    holds = (came <= asked) & counts
    need = max(float(came[counts].sum()), math.ulp(1.0))
    return BackTest(
        quantile=quantile,
        coverage=float(holds.sum() / counts.sum()),
        coverage_by_step=tuple(float(share) for share in holds.sum(axis=0) / np.maximum(1, counts.sum(axis=0))),
        over=float(np.maximum(asked - came, 0)[counts].sum() / need),
        under=float(np.maximum(came - asked, 0)[counts].sum() / need),
        num_steps=int(counts.sum()),
    )


@dataclass(frozen=True)
class _Series:
    """A regular history; rows are origins (the last step that is known), columns are steps ahead, from one."""

    values: Floats
    seen: npt.NDArray[np.bool_]
    """Which values were measured and not filled in."""
    step_s: float
    num_steps: int
    quantile: float

    def asked(self, origin: int) -> Floats:
        """The forecast made at `origin`, in replicas and fractions of them."""
        margins = np.maximum(self.learnt[origin], self._recent(origin))
        replicas: Floats = self.points[origin] + margins * self.scale[origin]
        return replicas

    @cached_property
    def day(self) -> int:
        """Steps in a day."""
        return max(1, round(DAY_S / self.step_s))

    @property
    def method(self) -> str:
        """What a forecast from the end of it rests on."""
        days = min(PAST_DAYS, len(self.values) // self.day)
        return f"last value blended with {days} past days" if days else "last value"

    @cached_property
    def scale(self) -> Floats:
        """Mean of the day up to each origin, at least one replica: the unit in which margins are learnt."""
        total = np.concatenate(([0.0], np.cumsum(self.values)))
        ends = np.arange(1, len(total))
        starts = np.maximum(0, ends - self.day)
        means: Floats = (total[ends] - total[starts]) / (ends - starts)
        return np.maximum(1.0, means)

    @cached_property
    def points(self) -> Floats:
        """The forecast without margin."""
        known = len(self.values)
        usual = np.full(known + self.num_steps, np.nan)
        padded = np.concatenate((self.values, np.full(self.num_steps, np.nan)))
        for at in range(self.day, len(usual)):
            usual[at] = np.median(padded[at - self.day :: -self.day][:PAST_DAYS])
        ahead = np.arange(1, self.num_steps + 1)
        last = ((self.values + np.concatenate((self.values[:1], self.values[:-1]))) / 2)[:, None]
        then = usual[np.arange(known)[:, None] + ahead]
        weight = np.minimum(MOST_BLEND, ahead * self.step_s / BLEND_S)
        return np.where(np.isnan(then), last, (1 - weight) * last + weight * then)

    @cached_property
    def errors(self) -> Floats:
        """What became known at each origin: by how many daily means the forecast made for it was too low."""
        known = len(self.values)
        ahead = np.arange(1, self.num_steps + 1)
        made = np.arange(known)[:, None] - ahead
        forecast_then = self.points[np.maximum(0, made), ahead - 1]
        error = (self.values[:, None] - forecast_then) / self.scale[np.maximum(0, made)]
        return np.where((made >= 0) & self.seen[:, None], error, np.nan)

    def _recent(self, origin: int) -> Floats:
        """The quantile of the errors of the past days, in daily means; zero where there are none."""
        errors = self.errors[max(0, origin + 1 - PAST_DAYS * self.day) : origin + 1]
        measured = (~np.isnan(errors)).sum(axis=0)
        ordered, columns = np.sort(errors, axis=0), np.arange(errors.shape[1])
        # Straight line between the two neighbours, as numpy's quantile does; what is no number is sorted last.
        place = self.quantile * np.maximum(0, measured - 1)
        below = np.floor(place).astype(np.intp)
        low, high = ordered[below, columns], ordered[np.minimum(below + 1, np.maximum(0, measured - 1)), columns]
        part = place - below
        between = np.where(part < 0.5, low + (high - low) * part, high - (high - low) * (1 - part))  # noqa: PLR2004
        return np.where(measured > 0, between, 0.0)

    @cached_property
    def learnt(self) -> Floats:
        """Levels, in daily means, that rise whenever they were exceeded and fall a little when not."""
        levels = np.zeros_like(self.errors)
        level, columns = np.zeros(self.num_steps), np.arange(self.num_steps)
        for row, errors in enumerate(self.errors):
            # What is known now was forecast as many rows ago as it lay ahead.
            held = errors <= levels[np.maximum(0, row - 1 - columns), columns]
            moved = np.maximum(0.0, level + LEARN * (self.quantile - held))
            level = np.where(np.isnan(errors), level, moved)
            levels[row] = level
        return levels


def _regular(samples: Sequence[Sample], end: int, step_s: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The largest sample of each step up to `end` (excluded) with gaps filled, and which steps had one."""
    numbers = [math.floor(sample.at_s / step_s) for sample in samples]
    first = min(numbers)
    values = np.full(end - first, np.nan)
    for number, sample in zip(numbers, samples, strict=True):
        values[number - first] = np.fmax(values[number - first], sample.replicas)
    seen = ~np.isnan(values)
    filled = np.interp(np.arange(len(values)), np.flatnonzero(seen), values[seen])
    day = max(1, round(DAY_S / step_s))
    edges = np.flatnonzero(np.concatenate((seen, [True])))
    for before, after in pairwise(edges):
        if (after - before - 1) * step_s > MOST_GAP_S:
            for at in range(max(before + 1, day), after):
                filled[at] = filled[at - day]
    return filled, seen


def _check(samples: Sequence[Sample], now: float, quantile: float, *, horizon_s: float, step_s: float) -> None:
    if not MEDIAN <= quantile < 1:
        raise BadInput(f"forecast a quantile of at least {MEDIAN} and below 1, got {quantile}")
    if not 0 < step_s <= horizon_s <= DAY_S:
        raise BadInput(f"forecast at most a day in steps no longer than that, got {horizon_s} s in steps of {step_s} s")
    for sample in samples:
        if not 0 <= sample.replicas < math.inf:
            raise BadInput(f"{sample.replicas} replicas cannot have been needed at {sample.at_s:.0f}")
        if not sample.at_s <= now:
            raise BadInput(f"a sample of {sample.at_s:.0f} lies after now, {now:.0f}; is the clock right?")
