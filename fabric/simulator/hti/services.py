"""Services with the rates of production models, scaled so that each needs its peak replicas once.

Knows nothing of training.
"""

import numpy as np
from numpy.random import Generator

from fabric.core.errors import BadInput
from fabric.simulator.hti.jobs import Service
from fabric.simulator.hti.planning import ReplicaTable, needed_replicas, replica_table
from fabric.simulator.hti.queue import Traffic
from fabric.simulator.hti.replica import check_batch, prefill_s
from fabric.simulator.hti.settings import HtiSettings, ServiceSettings
from fabric.simulator.hti.traces.folder import Traces

CURVE_WINDOW_S = 600.0
"""Length of a window of the rate curves. Source: the README of servegen-rates."""
SPARE_REPLICAS = 4
"""Replicas above its peak up to which a service's table goes, for forecasts that are too high."""
_COLD_STARTS = 512


def table_of(service: ServiceSettings, settings: HtiSettings, traces: Traces) -> ReplicaTable:
    """What 1, 2, 3 ... replicas of a service carry; the same for every load and seed, so that it can be kept.

    Raises:
        BadConfig: If its batch limit would be felt before its reading speed.
        DoesNotFit: If reading alone takes too long.
    """
    sizes = traces.sizes[service.sizes]
    check_batch(service, sizes)
    return replica_table(
        service.name,
        prefill_s(service.replica, sizes),
        most=service.peak_replicas + SPARE_REPLICAS,
        window_s=settings.window_s,
        plan_ttft_s=settings.plan_ttft_s,
    )


def draw_service(
    service: ServiceSettings, settings: HtiSettings, traces: Traces, *, table: ReplicaTable, rng: Generator
) -> Service:
    """One service: the cleaned curve turned by a drawn number of days, scaled, with cold starts.

    The curve's first window is taken as midnight. The cold start of a replica is the load of a base model and the
    set-up of a pipeline, each drawn from its measurements.

    Raises:
        BadInput: If the curve is shorter than the benchmark.
    """
    curve = np.asarray(traces.rates[service.rates])
    per_day = round(86400.0 / CURVE_WINDOW_S)
    if len(curve) < settings.days * per_day:
        raise BadInput(f"the curve of {service.rates} has {len(curve) / per_day:.1f} of {settings.days} days")
    turned = np.roll(curve, -per_day * int(rng.integers(len(curve) // per_day)))[: settings.days * per_day]
    scaled = turned * (table.most_rps[service.peak_replicas - 1] / curve.max())
    instants = np.arange(round(settings.duration_s / settings.window_s)) * settings.window_s
    rates = tuple(float(rate) for rate in scaled[(instants / CURVE_WINDOW_S).astype(np.intp)])
    cold = rng.choice(traces.base_load_s, _COLD_STARTS) + rng.choice(traces.pipeline_load_s, _COLD_STARTS)
    return Service(
        name=service.name,
        gpus_per_replica=service.replica.gpus,
        window_s=settings.window_s,
        rates_rps=rates,
        needed=needed_replicas(table, rates),
        carried_rps=table.most_rps,
        cold_starts_s=tuple(float(seconds) for seconds in cold),
    )


def traffic_of(service: Service, settings: HtiSettings, traces: Traces, *, seed: int) -> Traffic:
    """What reaches `service`, for the queueing model; the same for every arm of one seed.

    Raises:
        BadInput: If the settings have no such service.
    """
    for number, known in enumerate(settings.services):
        if known.name == service.name:
            reading = prefill_s(known.replica, traces.sizes[known.sizes])
            return Traffic(service.rates_rps, service.window_s, reading, seed * len(settings.services) + number)
    raise BadInput(f"the benchmark has no service {service.name}")
