"""The time to first token of a service, window by window, from its request rate and its ready replicas.

Knows nothing of single requests: work arrives in bins of a tenth of a second and is done by all ready replicas
together, so a request waits until the work before it is done. A bin's work is a Poisson number of requests with a
gamma-distributed sum that has the mean and variance of the trace's. `requests` is the same with every request, and
`agreement` compares them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fabric.core.errors import BadInput
from fabric.simulator.hti.replica import Floats

BIN_S = 0.1
"""Length of a bin in seconds; of the order of one prefill."""
SAMPLES_PER_WINDOW = 300
"""Instants of a window at which the wait is looked at; Poisson arrivals see time averages."""
LONGEST_WAIT_S = 3600.0
"""Waits beyond this many seconds are infinite: nobody waits longer for a first token."""
_CHUNK_WINDOWS = 288
_TAIL_CELLS = 4096
_HALVINGS = 26
_NO_WORK_S = 1e-9


@dataclass(frozen=True, slots=True)
class Traffic:
    """What reaches one service: a rate for each window, what requests cost, and the seed of chance."""

    rates_rps: tuple[float, ...]
    """Requests per second in each window."""
    window_s: float
    prefill_s: Floats
    """Seconds of reading, of requests to draw from."""
    seed: int
    """Runs with the same seed see the same arrivals, whatever their replicas."""


Steps = Sequence[tuple[float, int]]
"""Ready replicas from an instant in seconds on; rising instants, the first at or before zero."""


class Supply:
    """Work that a changing number of replicas can do: seconds of reading, summed since the beginning."""

    def __init__(self, steps: Steps, end_s: float) -> None:
        """Take the replicas over time; after `end_s` the last number stays for `LONGEST_WAIT_S`.

        Raises:
            BadInput: If instants do not rise, the first is above zero, or a number is negative.
        """
        times = [at for at, _ in steps]
        if not steps or times[0] > 0 or any(b <= a for a, b in pairwise(times)):
            raise BadInput("ready replicas need rising instants, the first at or before zero")
        if min(count for _, count in steps) < 0:
            raise BadInput("a number of ready replicas cannot be negative")
        last = max(end_s, times[-1]) + LONGEST_WAIT_S
        self._at_s = np.array([*times, last])
        done = np.diff(self._at_s) * np.array([count for _, count in steps])
        self._done_s = np.concatenate([[0.0], np.cumsum(done)])

    def until(self, at_s: Floats) -> Floats:
        """Work that could have been done up to each instant."""
        done_s: Floats = np.interp(at_s, self._at_s, self._done_s)
        return done_s

    def when(self, done_s: Floats) -> Floats:
        """First instant by which so much could have been done; infinite where that is never."""
        at_s: Floats = np.interp(done_s, self._done_s, self._at_s, right=np.inf)
        return at_s


def waits_s(traffic: Traffic, steps: Steps, work_s: Floats | None = None) -> Iterator[Floats]:
    """Waits before reading begins at sampled instants: arrays of (windows, samples), about a day each, in order.

    Args:
        traffic: What reaches the service.
        steps: Ready replicas over time.
        work_s: Seconds of reading that arrive in each bin; drawn where it is left out.

    Raises:
        BadInput: If `steps` is no step function from zero on.
    """
    bins = round(traffic.window_s / BIN_S)
    supply = Supply(steps, len(traffic.rates_rps) * traffic.window_s)
    every = max(1, bins // SAMPLES_PER_WINDOW)
    left_s = 0.0
    for chunk, first in enumerate(range(0, len(traffic.rates_rps), _CHUNK_WINDOWS)):
        rates = np.asarray(traffic.rates_rps[first : first + _CHUNK_WINDOWS])
        if work_s is None:
            came_s = draw_work(rates, traffic.prefill_s, bins=bins, seed=(traffic.seed, chunk))
        else:
            came_s = work_s[first * bins : (first + len(rates)) * bins]
        edges_s = first * traffic.window_s + BIN_S * np.arange(len(came_s) + 1)
        backlog_s = backlog(came_s, np.diff(supply.until(edges_s)), left_s)
        left_s = float(backlog_s[-1])
        at_s, before_s = edges_s[:-1:every], backlog_s[:-1:every]
        starts_s = supply.when(supply.until(at_s) + np.maximum(before_s, _NO_WORK_S))
        yield np.maximum(0.0, starts_s - at_s).reshape(len(rates), -1)


def draw_work(rates_rps: Floats, prefill_s: Floats, *, bins: int, seed: Sequence[int]) -> Floats:
    """Seconds of reading that arrive in each bin, `bins` of them in every window."""
    rng = np.random.default_rng(seed)
    mean, variance = float(prefill_s.mean()), float(prefill_s.var())
    arrived = rng.poisson(np.repeat(rates_rps * BIN_S, bins)).astype(np.float64)
    if variance <= 1e-12 * mean**2:
        return arrived * mean
    return rng.gamma(arrived * (mean**2 / variance), variance / mean)


def backlog(work_s: Floats, done_s: Floats, left_s: float) -> Floats:
    """Work waiting at every edge of the bins: what was left and came, less what could be done, never negative."""
    free = np.concatenate([[left_s], left_s + np.cumsum(work_s - done_s)])
    waiting: Floats = free - np.minimum(np.minimum.accumulate(free), 0.0)
    return waiting


def ttft_p99_s(traffic: Traffic, steps: Steps) -> Floats:
    """The 99th percentile of the time to first token in every window, in seconds; infinite above an hour.

    Args:
        traffic: What reaches the service.
        steps: Ready replicas over time.

    Raises:
        BadInput: If `steps` is no step function from zero on.
    """
    return np.concatenate([percentile_s(waits, traffic.prefill_s) for waits in waits_s(traffic, steps)])


class Tail:
    """Share of requests whose reading takes longer than given seconds, on a fine grid."""

    def __init__(self, prefill_s: Floats) -> None:
        self.longest_s = float(prefill_s.max())
        grid = np.linspace(0.0, self.longest_s, _TAIL_CELLS)
        self._above = 1.0 - np.searchsorted(np.sort(prefill_s), grid, side="right") / len(prefill_s)

    def beyond(self, left_s: Floats) -> Floats:
        """Share that reads longer than what is left of a limit; all of them where nothing is."""
        cells = np.clip(left_s * ((_TAIL_CELLS - 1) / self.longest_s), 0, _TAIL_CELLS - 1).astype(np.intp)
        return np.where(left_s < 0, 1.0, self._above[cells])


def percentile_s(waits: Floats, prefill_s: Floats, share: float = 0.99) -> Floats:
    """Percentile of wait plus reading for every row of `waits`, the two being independent.

    Args:
        waits: Seconds of waiting, one row for each window.
        prefill_s: Seconds of reading, of requests to draw from.
        share: Of requests that are at most as slow.
    """
    tail = Tail(prefill_s)
    waits = np.minimum(waits, LONGEST_WAIT_S)
    low, high = waits.min(axis=1), waits.max(axis=1) + tail.longest_s
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        slower = tail.beyond(middle[:, None] - waits).mean(axis=1)
        low, high = np.where(slower > 1 - share, middle, low), np.where(slower > 1 - share, high, middle)
    return np.where(high >= LONGEST_WAIT_S, np.inf, high)
