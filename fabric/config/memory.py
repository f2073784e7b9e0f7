"""What a node's RAM holds besides the memory that workers ask for, and the units in which a superchip is given out.

Knows nothing of workloads.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from fabric.config.settings import Settings, checked
from fabric.core.quantity import Bytes
from fabric.core.resources import Resources


class Ram(Settings):
    """Caps of what one Ray node keeps in memory or, on a diskless tier, in a RAM disk.

    Each becomes a line of the RAM bill and a limit of the manifest, so that a wrong cap is an error of the work that
    exceeds it and never of its neighbours. Where no source is given the value is a choice, not a measurement.
    """

    object_store_permille: int = Field(default=300, ge=0, le=1000)
    """Object store in thousandths of the memory asked for; 300 is Ray's own default (ray_constants, 0.3)."""

    object_store_most: str = "64 GB"
    """Largest object store, with unit; Ray's 200 GB leave no room for an engine beside it, 64 GB do (isambard-vllm)."""

    shm: str = "64 MiB"
    """Shared memory beside the object store, for NCCL and data loaders, with unit; container runtimes give 64 MiB."""

    scratch: str = "1 GiB"
    """Temporary files and Ray's session folder, logs apart, with unit."""

    logs: str = "1 GiB"
    """Logs of all processes of a Ray node before they are rotated away, with unit."""

    spill: str = "0"
    """Spilled objects kept on the node, with unit; 0 where spilling goes to a shared file system or is off."""

    jit: str = "1 GiB"
    """Compiled kernels and graphs (Triton, Inductor, FlashInfer), with unit."""

    image: str = "15 GB"
    """Unpacked layers of an image whose size nobody gave, with unit; images of centres have 10 to 15 GB."""

    agents: str = "512 MiB"
    """Raylet and its agents, with unit; a head and one worker were seen to take 1.5 GB together on amd64."""

    disk: Literal["tmpfs", "block"] = "tmpfs"
    """How a diskless node keeps files: tmpfs is charged to the slice that writes, a block RAM disk to nobody."""

    @model_validator(mode="after")
    def _amounts(self) -> Self:
        for size in (self.object_store_most, *self._fixed):
            checked(Bytes.of, size)
        return self

    @property
    def _fixed(self) -> tuple[str, ...]:
        return (self.shm, self.scratch, self.logs, self.spill, self.jit, self.image, self.agents)

    @property
    def fixed(self) -> Bytes:
        """What a slice costs on a diskless tier before its workers ask for anything."""
        return sum((Bytes.of(size) for size in self._fixed), Bytes(0))


class Superchip(Settings):
    """CPU cores, memory and accelerators that are given out together or not at all.

    A GH200 node has four: 72 cores, about 120 GB, one GPU and one network interface each. Leave some of the node's
    memory to no unit: image layers are shared by the slices of a node and charged beside the units.
    """

    cpus: float = Field(gt=0)
    """CPU cores of a unit."""

    gpus: float = Field(default=1.0, gt=0)
    """Accelerators of a unit; whole devices."""

    memory: str
    """Memory of a unit, with unit."""

    @model_validator(mode="after")
    def _amounts(self) -> Self:
        if not checked(lambda: self.resources).memory:
            raise ValueError("a superchip needs some memory")
        if not self.gpus.is_integer():
            raise ValueError(f"a superchip has whole accelerators, not {self.gpus:g}")
        return self

    @property
    def resources(self) -> Resources:
        """One unit as a resource vector."""
        return Resources.of(self.cpus, self.gpus, self.memory)


def check_memory(tier: str, capacity: Resources, diskless: Ram | None, superchip: Superchip | None) -> None:
    """Check that what a tier says of its memory suits its nodes.

    Args:
        tier: Its name.
        capacity: What a node has.
        diskless: Caps of a tier whose files are in RAM; None where they are on disks.
        superchip: Unit in which nodes are given out, if any.

    Raises:
        ValueError: If the fixed part of the bill fills a node, or its accelerators are no whole number of superchips
            that fit it together.
    """
    if diskless is not None and diskless.fixed >= capacity.memory:
        raise ValueError(
            f"tier {tier}: the fixed part of the RAM bill ({diskless.fixed}) leaves nothing of a node's "
            f"{capacity.memory}; lower ram.image, ram.scratch, ram.logs, ram.jit or ram.spill"
        )
    if superchip is None:
        return
    unit = superchip.resources
    units, rest = divmod(capacity.gpus.count, unit.gpus.count)
    if rest or not units:
        raise ValueError(f"tier {tier}: {capacity.gpus} of a node are no whole number of superchips of {unit.gpus}")
    if not (unit * units).fits(capacity):
        raise ValueError(
            f"tier {tier}: {units} superchips ({unit} each) need {(unit * units).shortfall(capacity)} more than a "
            f"node has ({capacity})"
        )
