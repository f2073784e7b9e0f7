"""What a project may use in all, and when that begins anew.

Knows nothing of what anybody used.
"""

from datetime import UTC, datetime, timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from fabric.config.settings import Settings


class Budget(Settings):
    """What the work of a project, and of those below it, may use; who runs when it is used up runs on."""

    gpu_hours: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Accelerators times hours in one period; None for any amount."""

    every: Literal["day", "week", "month"] = "month"
    """Period after which `gpu_hours` begins anew: at midnight, on Monday, on the first of the month, in UTC."""

    running: int | None = Field(default=None, ge=0)
    """Most jobs and services that hold nodes at the same time; None for any number."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.gpu_hours is None and self.running is None:
            raise ValueError("names no limit; give gpu_hours or running, or leave the budget out")
        return self

    def period(self, now: float) -> tuple[float, float]:
        """Beginning and end of the period in which `now` is, in seconds since the epoch."""
        day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self.every == "day":
            begins, ends = day, day + timedelta(days=1)
        elif self.every == "week":
            begins = day - timedelta(days=day.weekday())
            ends = begins + timedelta(days=7)
        else:
            begins = day.replace(day=1)
            ends = (begins + timedelta(days=32)).replace(day=1)
        return begins.timestamp(), ends.timestamp()
