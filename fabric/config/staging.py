"""What a site knows of how long things take to start before anything has been measured.

Knows nothing of what is started.
"""

from typing import Self

from pydantic import Field, model_validator

from fabric.config.settings import Settings, checked
from fabric.core.quantity import Bytes


class StagingPriors(Settings):
    """First guesses for one tier; measurements replace them within a few starts."""

    boot_s: float = Field(default=180.0, ge=0)
    """Seconds from powering a node on to ready; 180 is what our benchmark assumes, zero suits nodes always there."""

    ray_s: float = Field(default=7.5, ge=0)
    """Seconds until a slice's Ray node has joined; a head with its worker took 7.5 on two cores."""

    caches_s: float = Field(default=0.0, ge=0)
    """Seconds an engine compiles and captures graphs where its caches are cold."""

    image_per_s: str = "100 MiB"
    """Image bytes pulled and unpacked in a second, with unit; a choice."""

    weights_per_s: str = "355 MiB"
    """Weight bytes loaded in a second, with unit; 894 GiB took 43 minutes from a cloud NFS (a slow loader)."""

    safe_factor: float = Field(default=2.0, ge=1)
    """Upper quantile over median; base models of the gentd26 serving trace load with p95/p50 = 45.4 s/22.7 s = 2.0."""

    @model_validator(mode="after")
    def _rates(self) -> Self:
        for name in ("image_per_s", "weights_per_s"):
            if not checked(Bytes.of, getattr(self, name)):
                raise ValueError(f"{name} must be above zero, or nothing would ever be loaded")
        return self
