"""How far the queueing model and the simulation of every request agree, by level of load.

Knows nothing of what error is acceptable.
"""

from dataclasses import dataclass

import numpy as np

from fabric.simulator.hti.queue import BIN_S, Steps, Supply, Tail, Traffic, percentile_s, ttft_p99_s, waits_s
from fabric.simulator.hti.replica import Floats
from fabric.simulator.hti.requests import Requests, lives, ttft_s

LEVELS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.1)
"""Lower bounds of the levels: work left over and arriving in a window, relative to what its ready replicas can do."""
_SHARE = 0.99
_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class Level:
    """Both answers over all windows of one level of load."""

    least_load: float
    windows: int
    requests: int
    model_p99_s: float
    """Over all requests of the level, fed with the arrivals of the simulated ones."""
    simulated_p99_s: float
    simulated_good: int
    """Windows that keep the promise."""
    model_good: int
    """Windows that keep it in the model, fed with the same arrivals."""
    drawn_good: int
    """Windows that keep it in the model with arrivals that it drew itself, as a benchmark run does."""

    @property
    def error(self) -> float:
        """Of the model's percentile, relative to the simulation's."""
        return self.model_p99_s / self.simulated_p99_s - 1


def compare(
    traffic: Traffic, steps: Steps, requests: Requests, *, batch_limit: int, slo_ttft_s: float
) -> tuple[Level, ...]:
    """Both answers for each level of load that occurs.

    Args:
        traffic: Rates and costs.
        steps: Ready replicas over time.
        requests: Drawn from the same rates and costs.
        batch_limit: Of one replica.
        slo_ttft_s: Promised p99 of a window.

    Raises:
        BadInput: If `steps` is no step function from zero on, or the batch limit is below one.
    """
    num = len(traffic.rates_rps)
    work_s = work_of(requests, round(num * traffic.window_s / BIN_S))
    waits = np.concatenate(list(waits_s(traffic, steps, work_s)))
    simulated = ttft_s(requests, lives(steps), batch_limit)
    window = np.minimum(num - 1, (requests.arrived_s // traffic.window_s).astype(np.intp))
    good = (
        np.array([_p99(simulated[window == index]) <= slo_ttft_s for index in range(num)]),
        percentile_s(waits, traffic.prefill_s, _SHARE) <= slo_ttft_s,
        ttft_p99_s(traffic, steps) <= slo_ttft_s,
    )
    level = np.searchsorted(LEVELS, _loads(traffic, steps, waits, work_s), side="right") - 1
    counts = np.bincount(window, minlength=num).astype(np.float64)
    found = []
    for number in np.unique(level):
        here = level == number
        theirs = simulated[here[window]]
        pooled = _pooled(waits[here], counts[here], traffic.prefill_s)
        kept = (int(flags[here].sum()) for flags in good)
        found.append(Level(LEVELS[number], int(here.sum()), len(theirs), pooled, _p99(theirs), *kept))
    return tuple(found)


def work_of(requests: Requests, num_bins: int) -> Floats:
    """Seconds of reading that arrive in each bin."""
    bins = np.minimum(num_bins - 1, (requests.arrived_s / BIN_S).astype(np.intp))
    return np.bincount(bins, requests.prefill_s, num_bins).astype(np.float64)


def _loads(traffic: Traffic, steps: Steps, waits: Floats, work_s: Floats) -> Floats:
    """Demand on each window: its arrivals, and what the first of them has to wait for."""
    edges = traffic.window_s * np.arange(len(waits) + 1)
    possible = np.diff(Supply(steps, edges[-1]).until(edges))
    arriving = work_s.reshape(len(waits), -1).sum(axis=1)
    loads: Floats = arriving / np.maximum(possible, 1e-9) + np.minimum(waits[:, 0] / traffic.window_s, 1.0)
    return loads


def _pooled(waits: Floats, counts: Floats, prefill_s: Floats) -> float:
    """Percentile over the requests of several windows: each counts by how many it had."""
    tail = Tail(prefill_s)
    low, high = 0.0, float(waits.max()) + tail.longest_s
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        slower = float(np.average(tail.beyond(middle - waits).mean(axis=1), weights=np.maximum(counts, 1e-9)))
        low, high = (middle, high) if slower > 1 - _SHARE else (low, middle)
    return high


def _p99(values: Floats) -> float:
    return float(np.quantile(values, _SHARE)) if len(values) else 0.0
