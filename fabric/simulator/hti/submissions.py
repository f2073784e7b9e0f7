"""The benchmark's work as the scheduler is asked for it, and what becomes of each attempt.

Knows nothing of who decides. True run times are in the courses only; what is asked for has walltime classes.

A worker holds the accelerators that must share a node: four where the sizes allow it, else two or one. So a gang of
more than four accelerators takes whole nodes of the GPU tier (half nodes of the older one), and one of two or four
stays on a single node: spreading costs nothing in the model of progress, so the request itself must rule it out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fabric.core.quantity import Bytes
from fabric.scheduler.ports import WantedCluster
from fabric.simulator.cluster import Course
from fabric.simulator.hti.jobs import CpuJob, Service, TrainingJob
from fabric.simulator.hti.services import SPARE_REPLICAS
from fabric.simulator.hti.settings import HtiSettings
from fabric.simulator.hti.site import speeds
from fabric.simulator.hti.workload import Workload
from fabric.simulator.progress import Work
from fabric.workloads.record import Instants, Record
from fabric.workloads.spec import Group, Priority, ServiceSpec, WorkloadSpec
from fabric.workloads.states import State

WORKERS = "workers"
"""Group of a job."""
REPLICAS = "replicas"
"""Group of a service."""
MOST_GPUS_PER_WORKER = 4
"""Accelerators of a node of the GPU tier."""
EARLY_S = 1800.0
"""Seconds before the beginning at which services are submitted, so that they are ready when it begins."""
CPUS_PER_GPU = 8
"""Cores with each accelerator: what a node of the older pool has."""
GIB_PER_GPU = 60
"""Memory with each accelerator in GiB, so that eight fit into a node of the older pool."""
DATA_PROJECT = "data-preparation"
"""Project of the CPU work."""


@dataclass(frozen=True, slots=True)
class Submissions:
    """Everything that is asked for."""

    records: tuple[Record, ...]
    """By instant of submission."""
    training: Mapping[str, TrainingJob]
    services: Mapping[str, Service]
    courses: Mapping[str, Course]
    """By workload."""

    def course(self, wanted: WantedCluster) -> Course:
        """What becomes of an attempt."""
        return self.courses[wanted.workload]


def gpus_per_worker(job: TrainingJob) -> int:
    """Accelerators of one worker: the most that divide every size the job may have."""
    sizes = (job.gpus, job.min_gpus, job.step_gpus) if job.elastic else (job.gpus,)
    return math.gcd(MOST_GPUS_PER_WORKER, *sizes)


def submissions(settings: HtiSettings, workload: Workload, *, elastic_services: bool) -> Submissions:
    """Records and courses of a workload.

    Args:
        settings: The benchmark.
        workload: What arrives.
        elastic_services: Whether services may be resized; otherwise each has its peak.
    """
    pace = speeds(settings)
    records = [_service(service, settings, elastic=elastic_services) for service in workload.services]
    courses = {service.name: Course(math.inf) for service in workload.services}
    for job in workload.training:
        records.append(_training(job, settings))
        courses[job.name] = Course(math.inf, work=_work(job, settings, pace))
    for batch in workload.cpu:
        records.append(_cpu(batch, settings))
        courses[batch.name] = Course(batch.run_s)
    return Submissions(
        records=tuple(sorted(records, key=lambda record: (record.at.submitted, record.name))),
        training={job.name: job for job in workload.training},
        services={service.name: service for service in workload.services},
        courses=courses,
    )


def _service(service: Service, settings: HtiSettings, *, elastic: bool) -> Record:
    """A service; one that may be resized begins with what was needed last, in the history."""
    peak = max(service.needed)
    count = max(1, service.needed[-1]) if elastic else peak
    sizes: dict[str, Any] = {"min": 1, "max": peak + SPARE_REPLICAS} if elastic else {}
    gpus = service.gpus_per_replica
    group = Group(name=REPLICAS, count=count, tier=settings.gpu.tier, **_with_gpus(gpus), **sizes)
    spec = WorkloadSpec(
        name=service.name,
        kind="service",
        project="serving",
        priority=Priority.SERVING,
        groups=(group,),
        service=ServiceSpec(model=f"{service.name}@champion", group=REPLICAS),
    )
    return Record(service.name, spec, State.QUEUED, Instants(-EARLY_S))


def _training(job: TrainingJob, settings: HtiSettings) -> Record:
    each = gpus_per_worker(job)
    sizes: dict[str, Any] = (
        {"min": job.min_gpus // each, "max": job.max_gpus // each, "step": job.step_gpus // each} if job.elastic else {}
    )
    group = Group(name=WORKERS, count=job.gpus // each, **_with_gpus(each), **sizes)
    spec = WorkloadSpec(
        name=job.name,
        project=job.project,
        entrypoint="train",
        groups=(group,),
        walltime_s=job.walltime_s + settings.staging.grace_s,
        checkpoints=True,
        max_failures=1000,
        metadata={"user": job.user},
    )
    return Record(job.name, spec, State.QUEUED, Instants(job.submit_s))


def _work(job: TrainingJob, settings: HtiSettings, pace: Mapping[str, float]) -> Work:
    """Seconds at the size asked for on the GPU tier are the units of work."""
    each, staging = gpus_per_worker(job), settings.staging

    def rate(workers: int, tier: str) -> float:
        return pace.get(tier, 0.0) * job.speedup(workers * each)

    return Work(
        job.run_s,
        rate,
        WORKERS,
        restart_s=staging.restart_s,
        period_s=staging.checkpoint_period_s,
        save_s=staging.save_s,
    )


def _cpu(job: CpuJob, settings: HtiSettings) -> Record:
    """One core of each worker's is left to the Ray heads of all workloads, which run on this tier."""
    memory = str(Bytes.of(settings.cpu_work.memory_per_core).count * job.cores_per_worker)
    cores = max(1, job.cores_per_worker - 1)
    group = Group(name=WORKERS, count=job.workers, tier=settings.cpu.tier, cpus=float(cores), memory=memory)
    spec = WorkloadSpec(
        name=job.name,
        project=DATA_PROJECT,
        entrypoint="prepare",
        groups=(group,),
        walltime_s=max(job.walltime_s, job.run_s) + settings.staging.grace_s,
        max_failures=1000,
        metadata={"user": job.user},
    )
    return Record(job.name, spec, State.QUEUED, Instants(job.submit_s))


def _with_gpus(gpus: int) -> dict[str, Any]:
    return {"gpus": float(gpus), "cpus": float(gpus * CPUS_PER_GPU), "memory": f"{gpus * GIB_PER_GPU} GiB"}
