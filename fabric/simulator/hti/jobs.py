"""What the benchmark asks for, as plain values: training jobs, CPU jobs, services and projects.

Knows nothing of traces, and nothing of how the values were drawn.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Project:
    """Who pays for training."""

    name: str
    share: float
    """Guaranteed part of what serving leaves of the GPUs; the shares of all projects sum to one."""


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Training or fine-tuning."""

    name: str
    project: str
    user: str
    submit_s: float
    run_s: float
    """On `gpus` accelerators of the GPU tier, without interruption; nobody who decides may look at it."""
    gpus: int
    """As asked for."""
    min_gpus: int
    max_gpus: int
    step_gpus: int
    """Sizes are `min_gpus` and whole steps above it."""
    exponent: float
    """Of the scaling curve."""
    walltime_s: float
    """Class that holds the run time, on `gpus` accelerators of the GPU tier."""
    deadline_s: float | None
    """Instant by which fine-tuning should have ended."""

    @property
    def elastic(self) -> bool:
        """Whether it may be resized."""
        return self.min_gpus < self.max_gpus

    @property
    def work_gpu_s(self) -> float:
        """GPU-seconds at the size asked for."""
        return self.run_s * self.gpus

    def speedup(self, gpus: int) -> float:
        """Progress on so many accelerators of the GPU tier, relative to the number asked for."""
        return float((gpus / self.gpus) ** self.exponent)


@dataclass(frozen=True, slots=True)
class CpuJob:
    """Data preparation: a gang of equal workers."""

    name: str
    user: str
    submit_s: float
    run_s: float
    walltime_s: float
    workers: int
    cores_per_worker: int


@dataclass(frozen=True, slots=True)
class Service:
    """Inference over the whole benchmark."""

    name: str
    gpus_per_replica: int
    window_s: float
    rates_rps: tuple[float, ...]
    """Requests per second in each window, scaled."""
    needed: tuple[int, ...]
    """Fewest replicas in each window that carry the rate; what a forecast is about and is judged by."""
    carried_rps: tuple[float, ...]
    """Highest rate that 1, 2, 3 ... replicas carry."""
    cold_starts_s: tuple[float, ...]
    """Seconds from node to first answer of the service's first, second ... replica start; begin again at the end."""

    @property
    def mean_gpus(self) -> float:
        """Accelerators needed on average."""
        return self.gpus_per_replica * sum(self.needed) / len(self.needed)
