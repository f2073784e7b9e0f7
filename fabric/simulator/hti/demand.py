"""What each service says of its demand over time, from the request rates that were seen by then.

Knows nothing of who decides: every arm is told the same.

A rate is known when its window is over. The week before the benchmark is the last week of the same curve: the curve
covers fourteen days and no more. No forecast looks back further than a week at a time of day, so none is shown the
very value it forecasts.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from fabric.scheduler.forecast import Demand, Sample, forecasts
from fabric.simulator.hti.jobs import Service

WARM_UP_S = 7 * 86400.0
"""Seconds of history before the beginning."""


@dataclass(frozen=True, slots=True)
class Forecasting:
    """How demand is forecast."""

    method: Literal["quantile", "last"] = "quantile"
    """From the history, or the last value as it stands."""
    quantile: float = 0.99
    """Share of steps in which it should be enough."""
    horizon_s: float = 6 * 3600.0
    """How far it looks."""
    step_s: float = 600.0
    """Of a step; a rate curve has one value in each."""


def demands(service: Service, how: Forecasting) -> tuple[Demand, ...]:
    """What is told at the beginning of each service-level window, from the first to the one after the last."""
    needed = [float(count) for count in service.needed]
    if how.method == "last":
        steps = math.ceil(how.horizon_s / how.step_s)
        seen = [int(needed[-1]), *map(int, needed)]
        return tuple(
            Demand(k * service.window_s, how.step_s, (max(1, count),) * steps, "the last value")
            for k, count in enumerate(seen)
        )
    before = needed[-min(len(needed), round(WARM_UP_S / service.window_s)) :]
    history = [*before, *needed]
    samples = [Sample((k - len(before)) * service.window_s, count) for k, count in enumerate(history)]
    steps_told = forecasts(samples, 0.0, quantile=how.quantile, horizon_s=how.horizon_s, step_s=how.step_s, least=1)
    per_step = max(1, round(how.step_s / service.window_s))
    return tuple(_at(k, steps_told, needed, per_step) for k in range(len(needed) + 1))


def _at(window: int, told: tuple[Demand, ...], needed: list[float], per_step: int) -> Demand:
    """The forecast of the present step, raised to what was seen in the step itself."""
    demand = told[window // per_step]
    seen = max(needed[window - window % per_step : window], default=0.0)
    if seen <= demand.replicas[0]:
        return demand
    return replace(demand, replicas=(int(seen), *demand.replicas[1:]))


def lead_s(service: Service) -> float:
    """Seconds from the start of a replica until it is ready, in 99 of 100 cases."""
    starts = sorted(service.cold_starts_s)
    return float(starts[min(len(starts) - 1, math.ceil(0.99 * len(starts)) - 1)])
