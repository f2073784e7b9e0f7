"""What the benchmark HTI-14 is: its machines, its work and its promises, as one file under `configs/simulate/`.

Knows nothing of the traces' contents, and nothing of how a run is scheduled.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from fabric.config.settings import Settings, checked
from fabric.core.quantity import Bytes


class Pool(Settings):
    """Equal nodes of one tier."""

    tier: str
    """Name; its nodes are called `TIER-0`, `TIER-1` and so on."""

    nodes: int = Field(ge=1, le=100_000)
    """Number of nodes."""

    gpus: int = Field(default=0, ge=0)
    """Accelerators of each node."""

    cpus: int = Field(ge=1)
    """CPU cores of each node."""

    memory: str
    """Memory of each node, with unit."""

    speed: float = Field(default=1.0, gt=0, le=1)
    """Progress of training on one accelerator here, relative to the GPU tier."""

    groups: int = Field(default=1, ge=1)
    """Dragonfly groups over which the nodes are spread, in order and evenly."""

    heads: bool = False
    """Whether Ray heads may run here."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        checked(Bytes.of, self.memory)
        if self.nodes % self.groups:
            raise ValueError(f"{self.nodes} nodes of tier {self.tier} do not spread evenly over {self.groups} groups")
        return self

    @property
    def total_gpus(self) -> int:
        """Accelerators of all nodes."""
        return self.nodes * self.gpus

    @property
    def total_cpus(self) -> int:
        """Cores of all nodes."""
        return self.nodes * self.cpus


class Staging(Settings):
    """What it costs before, and after an interruption, in seconds."""

    node_boot_s: float = Field(default=180.0, ge=0)
    """From power on to ready."""

    restart_s: float = Field(default=120.0, ge=0)
    """Every start of training after the first: read the checkpoint, build the worker group again."""

    checkpoint_period_s: float = Field(default=1800.0, gt=0)
    """Between two checkpoints; work since the last one is done again after a preemption without notice."""

    save_s: float = Field(default=30.0, ge=0)
    """Saving a checkpoint when asked to leave or to shrink. Assumed."""

    grace_s: float = Field(default=60.0, ge=0)
    """From the notice to the kill. Assumed: room for one checkpoint, and below the 120 s of the goals for a reclaim."""


class ReplicaRates(Settings):
    """How fast one replica of a service answers."""

    gpus: int = Field(ge=1)
    """Accelerators of one replica; they are on one node."""

    prefill_tokens_per_s: float = Field(gt=0)
    """Prompt tokens read per second while others are decoded."""

    overhead_s: float = Field(default=0.02, ge=0)
    """Fixed seconds for each request before its first token."""

    decode_s_per_token: float = Field(gt=0)
    """Seconds for each further token at a full batch."""

    batch_limit: int = Field(default=256, ge=1)
    """Requests in the batch at once. 256 is the default of vLLM's max_num_seqs."""


class ServiceSettings(Settings):
    """One service."""

    name: str
    """Name."""

    rates: str
    """Model of servegen-rates whose curve it follows."""

    sizes: Literal["azure", "mooncake"]
    """Trace whose token counts its requests have."""

    replica: ReplicaRates
    """How fast one replica answers."""

    peak_replicas: int = Field(ge=1)
    """Replicas needed in the busiest window; the curve is scaled so that they are."""


class Scaling(Settings):
    """How training speeds up with accelerators: GPUs to the power of `exponent`."""

    name: str
    """Which model it was measured with."""

    exponent: float = Field(gt=0, le=1)
    """One is linear."""


class TrainingSettings(Settings):
    """Training on the GPU tier and the older pool."""

    elastic_share: float = Field(default=0.3, ge=0, le=1)
    """Share of the GPU-hours of jobs with several GPUs that may be resized, to between half and twice what they ask."""

    finetune_share: float = Field(default=0.2, ge=0, le=1)
    """Share of the jobs with at most `finetune_most_gpus` that have a deadline."""

    finetune_most_gpus: int = Field(default=8, ge=1)
    """Largest fine-tuning job."""

    deadline_factor: float = Field(default=3.0, ge=1)
    """Run times from submission to deadline."""

    walltimes_s: tuple[float, ...] = (3600.0, 14400.0, 43200.0, 86400.0, 604800.0)
    """Classes, rising; a job asks for the least that holds its run time, and runs longer than the last are cut."""

    scaling: tuple[Scaling, ...] = Field(min_length=1)
    """Curves; each elastic job draws one with equal chance."""

    users_per_project: int = Field(default=8, ge=1)
    """The log names no users, so each project has this many made-up ones, the k-th with a weight of 1/k."""

    smallest_project: float = Field(default=0.01, ge=0, lt=1)
    """Virtual clusters with less than this share of the log's GPU-hours form one project together."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        classes = self.walltimes_s
        if not classes or classes[0] <= 0 or sorted(set(classes)) != list(classes):
            raise ValueError(f"walltimes_s must be positive and rise, got {list(classes)}")
        return self


class CpuSettings(Settings):
    """Data preparation on the CPU tier."""

    load: float = Field(default=0.7, gt=0, le=2)
    """Core-hours asked for, relative to those of the CPU tier."""

    cores_per_processor: int = Field(default=16, ge=1)
    """Cores of one worker; a job has as many workers as its log entry has processors."""

    memory_per_core: str = "2 GiB"
    """Memory of a worker for each of its cores, with unit."""


class HarvestSettings(Settings):
    """Batch inference without end that anything may preempt."""

    gpus: int = Field(default=1, ge=1)
    """Accelerators of one worker."""

    tokens_per_gpu_s: float = Field(default=2000.0, gt=0)
    """Tokens from one accelerator of the GPU tier. Assumed: 256 sequences, 0.03 s a token, 4 GPUs are 2,133."""

    unit_s: float = Field(default=60.0, gt=0)
    """Work that is lost at most when a worker is stopped: requests in flight."""


class HtiSettings(Settings):
    """The whole benchmark."""

    days: int = Field(default=14, ge=1, le=14)
    """Length; the rate curves cover fourteen."""

    window_s: float = Field(default=300.0, gt=0)
    """Length of a service-level window."""

    slo_ttft_s: float = Field(default=2.0, gt=0)
    """Promise: the 99th percentile of the time to first token in every window is at most this."""

    plan_ttft_s: float = Field(default=1.5, gt=0)
    """The same percentile for which needed replicas are reckoned; below the promise, so that nobody lives by luck."""

    gpu: Pool
    """The GPU tier."""

    older: Pool
    """The older GPU pool: training only."""

    cpu: Pool
    """The CPU tier."""

    peak_share: float = Field(default=0.4, gt=0, lt=1)
    """Share of the GPU tier that the peaks of all services need together."""

    staging: Staging = Staging()
    """What starts and interruptions cost."""

    services: tuple[ServiceSettings, ...] = Field(min_length=1)
    """Inference."""

    training: TrainingSettings
    """Training."""

    cpu_work: CpuSettings = CpuSettings()
    """Data preparation."""

    harvest: HarvestSettings = HarvestSettings()
    """Leftovers."""

    loads: tuple[float, ...] = (0.85, 0.95, 1.05)
    """Training loads at which it is run, relative to the GPU-hours that mean inference leaves."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.plan_ttft_s > self.slo_ttft_s:
            raise ValueError(f"plan_ttft_s ({self.plan_ttft_s:g}) must not be above slo_ttft_s ({self.slo_ttft_s:g})")
        tiers = [pool.tier for pool in (self.gpu, self.older, self.cpu)]
        names = [service.name for service in self.services]
        for what, given in (("tiers", tiers), ("services", names)):
            if len(set(given)) != len(given):
                raise ValueError(f"{what} need different names, got {given}")
        self._check_peaks()
        return self

    def _check_peaks(self) -> None:
        """The peaks fill their share of the tier as far as whole replicas allow, and each replica fits a node.

        Raises:
            ValueError: If they do not.
        """
        widest = max(service.replica.gpus for service in self.services)
        if widest > self.gpu.gpus:
            raise ValueError(f"a replica of {widest} GPUs fits on no node of tier {self.gpu.tier} ({self.gpu.gpus})")
        peak, most = self.peak_gpus, self.peak_share * self.gpu.total_gpus
        if not most - widest < peak <= most:
            raise ValueError(
                f"the services' peaks need {peak} GPUs together, but peak_share {self.peak_share:g} of "
                f"{self.gpu.total_gpus} is {most:g}; change peak_replicas until at most {widest} GPUs are left"
            )

    @property
    def peak_gpus(self) -> int:
        """Accelerators that all services need at their peaks."""
        return sum(service.peak_replicas * service.replica.gpus for service in self.services)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.days * 86400.0

    @property
    def reference_gpus(self) -> float:
        """Accelerators of both pools, those of the older one counted by their speed."""
        return sum(pool.total_gpus * pool.speed for pool in (self.gpu, self.older))
