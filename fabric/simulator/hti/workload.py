"""The whole workload of one (load, seed), and the name of its contents.

Knows nothing of policies: every arm of the benchmark gets the same value.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fabric.core.errors import BadInput
from fabric.simulator.hti.cpu_work import draw_cpu_work
from fabric.simulator.hti.jobs import CpuJob, Project, Service, TrainingJob
from fabric.simulator.hti.planning import ReplicaTable
from fabric.simulator.hti.services import draw_service
from fabric.simulator.hti.settings import HtiSettings
from fabric.simulator.hti.traces.folder import Traces
from fabric.simulator.hti.training import Target, draw_training, projects

_TRAINING, _CPU, _SERVICES = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything that arrives; batch inference has no end and is in the settings."""

    load: float
    seed: int
    projects: tuple[Project, ...]
    training: tuple[TrainingJob, ...]
    cpu: tuple[CpuJob, ...]
    services: tuple[Service, ...]

    @property
    def serving_gpus(self) -> float:
        """Accelerators that all services need on average."""
        return sum(service.mean_gpus for service in self.services)


def draw_workload(
    settings: HtiSettings, traces: Traces, tables: Sequence[ReplicaTable], *, load: float, seed: int
) -> Workload:
    """Draw the workload of one (load, seed); equal arguments give equal values.

    Training, CPU work and services have chance of their own, so a change to one leaves the others as they are.

    Args:
        settings: The benchmark.
        traces: What it is drawn from.
        tables: What the replicas of each service carry, in the order of the settings (`services.table_of`).
        load: Training work relative to the GPU-hours that mean inference leaves, the older pool counted by its speed.
        seed: At least zero.

    Raises:
        BadInput: If a log is too short, load is not positive, or a table is of another service.
        DoesNotFit: If a rate is above what a table holds.
    """
    if load <= 0 or seed < 0:
        raise BadInput(f"load must be positive and seed not negative, got {load:g} and {seed}")
    if [table.service for table in tables] != [service.name for service in settings.services]:
        raise BadInput("there must be one table for each service, in the order of the settings")
    services = tuple(
        draw_service(service, settings, traces, table=table, rng=np.random.default_rng((seed, _SERVICES, number)))
        for number, (service, table) in enumerate(zip(settings.services, tables, strict=True))
    )
    left_gpus = settings.reference_gpus - sum(service.mean_gpus for service in services)
    target = Target(load * left_gpus * settings.duration_s, settings.duration_s, settings.gpu.total_gpus)
    return Workload(
        load=load,
        seed=seed,
        projects=projects(traces.training, settings.training)[0],
        training=draw_training(traces.training, settings.training, target, np.random.default_rng((seed, _TRAINING))),
        cpu=draw_cpu_work(
            traces.cpu,
            settings.cpu_work,
            np.random.default_rng((seed, _CPU)),
            core_s=settings.cpu_work.load * settings.cpu.total_cpus * settings.duration_s,
            duration_s=settings.duration_s,
        ),
        services=services,
    )


def digest(workload: Workload) -> str:
    """SHA-256 of everything in it, as 64 hexadecimal digits; equal workloads have equal digests.

    Taken of the written form, in which a float has the fewest digits that give it back.
    """
    return hashlib.sha256(repr(workload).encode()).hexdigest()
