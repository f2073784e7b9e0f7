"""How many replicas a request rate needs.

Knows nothing of forecasts: it turns one rate into one number.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fabric.core.errors import DoesNotFit
from fabric.simulator.hti.queue import BIN_S, SAMPLES_PER_WINDOW, Tail, backlog, draw_work
from fabric.simulator.hti.replica import Floats

_HALVINGS = 10
_WINDOWS = 48
_LATE_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class ReplicaTable:
    """The highest rate that each number of replicas carries."""

    service: str
    most_rps: tuple[float, ...]
    """Requests per second of 1, 2, 3 ... replicas; rising."""

    def needed(self, rate_rps: float) -> int:
        """Fewest replicas that carry `rate_rps`; none for a rate of zero.

        Raises:
            DoesNotFit: If the rate is above that of the largest number in the table.
        """
        if rate_rps <= 0:
            return 0
        index = bisect_left(self.most_rps, rate_rps * (1 - 1e-9))
        if index == len(self.most_rps):
            raise DoesNotFit(
                f"service {self.service}: {rate_rps:.4g} requests/s are more than {index} replicas carry "
                f"({self.most_rps[-1]:.4g}). Build the table for more replicas.",
                service=self.service,
            )
        return index + 1


def replica_table(service: str, prefill_s: Floats, *, most: int, window_s: float, plan_ttft_s: float) -> ReplicaTable:
    """Highest rates at which no window in 48 has a p99 time to first token above `plan_ttft_s`.

    One drawn sequence of arrivals, of a fixed seed, is played slower or faster; so the answer rises with the number of
    replicas and falls with the demand on it, without noise between neighbours.

    Args:
        service: Name, for messages.
        prefill_s: Seconds of reading, of requests to draw from.
        most: Largest number of replicas.
        window_s: Length of a window.
        plan_ttft_s: Seconds.

    Raises:
        DoesNotFit: If reading alone takes longer than `plan_ttft_s` at the 99th percentile.
    """
    alone = float(np.quantile(prefill_s, 0.99))
    if alone >= plan_ttft_s:
        raise DoesNotFit(
            f"service {service}: reading a prompt takes {alone:.3g} s at the 99th percentile, and {plan_ttft_s:g} s "
            "are planned. Give a replica more prefill_tokens_per_s.",
            service=service,
        )
    rates = [_most_rps(prefill_s, n, window_s=window_s, plan_ttft_s=plan_ttft_s) for n in range(1, most + 1)]
    return ReplicaTable(service, tuple(float(rate) for rate in np.maximum.accumulate(rates)))


def _most_rps(prefill_s: Floats, replicas: int, *, window_s: float, plan_ttft_s: float) -> float:
    """Bisection over the load of a fixed sequence of arrivals."""
    full_rps = replicas / float(prefill_s.mean())
    bins = round(window_s / BIN_S)
    work_s = draw_work(np.full(_WINDOWS, full_rps), prefill_s, bins=bins, seed=(0, replicas))
    every = max(1, bins // SAMPLES_PER_WINDOW)
    tail = Tail(prefill_s)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        load = (low + high) / 2
        waiting = backlog(work_s, np.full(len(work_s), BIN_S * replicas / load), 0.0)[:-1:every] / replicas
        late = tail.beyond(plan_ttft_s - waiting.reshape(_WINDOWS, -1)).mean(axis=1).max()
        low, high = (low, load) if late > _LATE_SHARE else (load, high)
    return low * full_rps


def needed_replicas(table: ReplicaTable, rates_rps: Sequence[float]) -> tuple[int, ...]:
    """Fewest replicas in each window.

    Raises:
        DoesNotFit: If a rate is above what the table holds.
    """
    return tuple(table.needed(rate) for rate in rates_rps)
