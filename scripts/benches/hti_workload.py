"""HTI-14's workloads against their targets, and its queueing model against every request of a day; about 5 minutes.

Reads the traces from FABRIC_TRACES. Each service-day is run under three plans of replicas: `peak` (always the peak),
`late` (what was needed two windows ago) and `short` (one less than needed, at least one, in every fourth hour; else
what is needed). Levels are those of `fabric.simulator.hti.agreement`; the error is of the p99 over all requests of a
level.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fabric.config import env
from fabric.config.load import load
from fabric.simulator.hti.agreement import compare
from fabric.simulator.hti.bound import capacity_left, demand_of, lower_bound
from fabric.simulator.hti.jobs import Service
from fabric.simulator.hti.planning import ReplicaTable
from fabric.simulator.hti.replica import decode_s
from fabric.simulator.hti.requests import draw_requests
from fabric.simulator.hti.services import table_of, traffic_of
from fabric.simulator.hti.settings import HtiSettings
from fabric.simulator.hti.traces.folder import Traces, read_traces
from fabric.simulator.hti.workload import Workload, digest, draw_workload

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = ROOT / "configs" / "simulate" / "hti-14.yaml"
PLANS = ("peak", "late", "short")
_REQUESTS_SEED = 1


def main(words: Sequence[str]) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="scripts/bench hti_workload", description=__doc__)
    parser.add_argument("--day", type=int, default=9, help="day of the benchmark whose requests are simulated, from 0")
    parser.add_argument("--seeds", type=int, default=3, help="seeds for each load")
    parser.add_argument("--plans", nargs="*", default=PLANS, choices=PLANS)
    chosen = parser.parse_args(words)
    folder = env.get(env.TRACES)
    if not folder:
        print("hti_workload: set FABRIC_TRACES to the folder of public traces", file=sys.stderr)
        return 2
    settings, traces = load(HtiSettings, SCENARIO), read_traces(Path(folder))
    tables = [table_of(service, settings, traces) for service in settings.services]
    for table in tables:
        print(f"{table.service}: carries {', '.join(f'{rate:.1f}' for rate in table.most_rps)} requests/s")
    _workloads(settings, traces, tables, seeds=chosen.seeds)
    workload = draw_workload(settings, traces, tables, load=0.95, seed=0)
    for service in workload.services:
        for plan in chosen.plans:
            _agreement(service, settings, traces, day=chosen.day, plan=plan)
    return 0


def _workloads(settings: HtiSettings, traces: Traces, tables: Sequence[ReplicaTable], *, seeds: int) -> None:
    print("load seed  jobs  GPU-h  offered elastic wide serving  cpu-jobs cpu-load  bound-h (runs/srpt/busy)   digest")
    for wanted in settings.loads:
        for seed in range(seeds):
            _print_workload(draw_workload(settings, traces, tables, load=wanted, seed=seed), settings)


def _print_workload(drawn: Workload, settings: HtiSettings) -> None:
    """One line: what was drawn, as shares of what was wanted."""
    left_gpu_s = (settings.reference_gpus - drawn.serving_gpus) * settings.duration_s
    work = sum(job.work_gpu_s for job in drawn.training)
    several = sum(job.work_gpu_s for job in drawn.training if job.gpus > 1)
    elastic = sum(job.work_gpu_s for job in drawn.training if job.elastic) / several
    wide = sum(job.gpus >= 32 for job in drawn.training)  # noqa: PLR2004 - as in the goals
    core_s = sum(job.run_s * job.workers * job.cores_per_worker for job in drawn.cpu)
    cores = core_s / (settings.cpu.total_cpus * settings.duration_s)
    capacity = capacity_left(drawn.services, reference_gpus=settings.reference_gpus)
    bound = lower_bound([demand_of(job) for job in drawn.training], capacity)
    hours = "/".join(f"{s / 3600:.3f}" for s in (bound.run_times_s, bound.shortest_first_s, bound.busy_times_s))
    print(
        f"{drawn.load:.2f} {drawn.seed:4d} {len(drawn.training):5d} {work / 3600:6.0f} {work / left_gpu_s:8.4f} "
        f"{elastic:7.3f} {wide:4d} {drawn.serving_gpus:7.1f} {len(drawn.cpu):9d} {cores:8.4f}  {hours:>24s}   "
        f"{digest(drawn)[:12]}",
        flush=True,
    )


def _agreement(service: Service, settings: HtiSettings, traces: Traces, *, day: int, plan: str) -> None:
    """One service-day under one plan: a line for each level of load."""
    per_day = round(86400 / service.window_s)
    window = slice(day * per_day, (day + 1) * per_day)
    known = next(known for known in settings.services if known.name == service.name)
    full = traffic_of(service, settings, traces, seed=0)
    traffic = replace(full, rates_rps=full.rates_rps[window])
    counts = _planned(service.needed[window], known.peak_replicas, plan, per_hour=round(3600 / service.window_s))
    steps = [
        (index * service.window_s, count)
        for index, count in enumerate(counts)
        if not index or count != counts[index - 1]
    ]
    costs = (full.prefill_s, decode_s(known.replica, traces.sizes[known.sizes]))
    requests = draw_requests(traffic.rates_rps, traffic.window_s, costs, seed=_REQUESTS_SEED)
    began = time.perf_counter()
    levels = compare(traffic, steps, requests, batch_limit=known.replica.batch_limit, slo_ttft_s=settings.slo_ttft_s)
    print(f"{service.name}, day {day}, {plan}: {len(requests.arrived_s)} requests, {time.perf_counter() - began:.1f} s")
    print("  load from  windows  model p99 s  requests p99 s   error   promise kept: requests, model, model's own draw")
    for level in levels:
        print(
            f"  {level.least_load:9.2f} {level.windows:8d} {level.model_p99_s:12.3f} {level.simulated_p99_s:15.3f} "
            f"{level.error:+7.1%} {level.simulated_good:24d} {level.model_good:6d} {level.drawn_good:6d}",
            flush=True,
        )


def _planned(needed: Sequence[int], peak: int, plan: str, *, per_hour: int) -> list[int]:
    """Ready replicas in each window."""
    if plan == "peak":
        return [peak] * len(needed)
    if plan == "late":
        return [needed[max(0, index - 2)] for index in range(len(needed))]
    return [max(1, n - 1) if index // per_hour % 4 == 0 else n for index, n in enumerate(needed)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
