"""What a tier's nodes must show of themselves in a preflight before they take work.

Knows nothing of how they show it. What the tier itself says of its nodes (architecture, cores, memory, accelerators,
devices, folders that pods may write to) is asked in every preflight and is not said here again.
"""

from typing import Self

from pydantic import Field, model_validator

from fabric.config.settings import Settings, checked
from fabric.core.quantity import Bytes


class Vet(Settings):
    """A preflight on every node that is new, was started anew or comes back from being drained."""

    shm: str | None = None
    """Least size of /dev/shm that a pod can have, with unit; None asks for none."""

    memory_free: str | None = None
    """Least memory that must be available while nothing runs on the node, with unit, such as what a clean RAM disk
    leaves; None asks for none."""

    network: bool = False
    """Whether NCCL is started once on the node's accelerators, and must choose the network that `NCCL_NET` and
    `FI_PROVIDER` of the profile name. Needs torch in the tier's image."""

    clock_skew_s: float = Field(default=5.0, gt=0, le=3600)
    """Seconds by which the node's clock may differ from control's. 5 is a choice: well over what a pod's start hides,
    well below the minute after which tokens and deadlines go wrong."""

    deadline_s: float = Field(default=600.0, gt=0, le=86_400)
    """Seconds that a preflight may take once it has its node, with the pull of the image; 600 as for a pod of work."""

    again_s: float = Field(default=600.0, ge=10, le=7 * 86_400)
    """Seconds after which a refused node is asked again; 600 is a choice: what was repaired in place is back within ten
    minutes, and a bad node costs one small pod in that time."""

    @model_validator(mode="after")
    def _amounts(self) -> Self:
        for size in (self.shm, self.memory_free):
            if size is not None and not checked(Bytes.of, size):
                raise ValueError("an amount of 0 asks for nothing; leave it out")
        return self

    @property
    def least_shm(self) -> Bytes | None:
        """Least size of /dev/shm; None asks for none."""
        return None if self.shm is None else Bytes.of(self.shm)

    @property
    def least_free(self) -> Bytes | None:
        """Least memory that must be available; None asks for none."""
        return None if self.memory_free is None else Bytes.of(self.memory_free)
