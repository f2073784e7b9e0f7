"""What workloads use of what they were granted, as JSON.

Knows nothing of HTTP frameworks; the constant names the route for server and SDK alike.
"""

from collections.abc import Iterable
from typing import Any

from fabric.config.settings import Settings

USE = "use"
"""Below a workload's own path, GET: what it uses of its grant, and used over time."""

_UNITS = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


class UseAmounts(Settings):
    """What was used beside what was granted of it; None is what nothing there counts."""

    cpus: float | None = None
    """CPU cores that were busy, in the mean."""
    of_cpus: float = 0.0
    """CPU cores of the grant."""
    memory_bytes: int | None = None
    """Memory that was resident."""
    of_memory_bytes: int = 0
    """Memory of the grant."""
    gpus: float | None = None
    """Accelerators that were busy, in the mean; one that was busy for half of the time counts half."""
    of_gpus: float = 0.0
    """Accelerators of the grant."""

    def words(self) -> str:
        """In words, such as `0.3 of 4 CPUs, 1.2 of 3 GiB`; what is not counted is left out."""
        gpus = f"{_short(self.gpus)} of {self.of_gpus:g} GPUs" if self.gpus is not None and self.of_gpus else ""
        cpus = "" if self.cpus is None else f"{_short(self.cpus)} of {self.of_cpus:g} CPUs"
        return ", ".join(filter(None, (gpus, cpus, self._memory())))

    def _memory(self) -> str:
        """Memory in the unit of what was granted."""
        if self.memory_bytes is None:
            return ""
        unit, step = next((each for each in _UNITS if self.of_memory_bytes >= each[1]), ("B", 1))
        return f"{_short(self.memory_bytes / step)} of {self.of_memory_bytes / step:.4g} {unit}"


class SliceUse(UseAmounts):
    """What one slice used."""

    slice: str
    """Its name."""
    since: float = 0.0
    """Since when it has been measured without a pause, in seconds since the epoch."""
    worked_at: tuple[float | None, ...] = ()
    """Of a slice with accelerators: when each of them was last busy, in seconds since the epoch; where they have no
    counter one instant, at which the slice last used its CPUs. None is what was never seen to be busy."""


class UseView(UseAmounts):
    """What a workload used over a span of time that has just ended."""

    at: float
    """End of the span, in seconds since the epoch."""
    over_s: float = 0.0
    """Its length, in seconds."""
    unmeasured: tuple[str, ...] = ()
    """What is not measured, and why."""
    slices: tuple[SliceUse, ...] = ()
    """Each of its slices; left out in lists of workloads."""

    def brief(self) -> "UseView":
        """The same without its slices."""
        return self.model_copy(update={"slices": ()})


class UsePoint(UseAmounts):
    """What one attempt used over a while: busy cores and accelerators in the mean, of memory the most."""

    attempt: int
    """Of the workload."""
    at: float
    """End of that while, in seconds since the epoch; it began at the point before."""


class UseHistory(Settings):
    """What a workload uses, and used over time."""

    latest: UseView | None
    """What was read last; None where nothing was, or long ago."""
    points: tuple[UsePoint, ...]
    """Over all its attempts, oldest first; long runs are thinned."""


def total(parts: Iterable[UseAmounts]) -> dict[str, Any]:
    """The fields of `UseAmounts` for parts together: each resource of those that count it, or of all if none do.

    A part that holds nothing of a resource says nothing of it, unless none does: a head without accelerators knows that
    it uses none, and that is not what the workload uses.
    """
    parts = tuple(parts)
    found: dict[str, Any] = {}
    for used, granted in (("cpus", "of_cpus"), ("memory_bytes", "of_memory_bytes"), ("gpus", "of_gpus")):
        holding = [part for part in parts if getattr(part, granted)] or parts
        counted = [part for part in holding if getattr(part, used) is not None]
        found[used] = sum(getattr(part, used) for part in counted) if counted else None
        found[granted] = sum(getattr(part, granted) for part in counted or holding)
    return found


def _short(amount: float) -> str:
    """A number of which two digits matter."""
    return f"{amount:.0f}" if amount >= 10 else f"{amount:.2g}" if amount >= 0.01 else "0"  # noqa: PLR2004 - digits
