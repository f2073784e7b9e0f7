"""What slices use of their grants: readings with their time and units, and the port by which a backend gives them.

Knows nothing of how anything is counted. No decision rests on it, so the loop never asks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources

BUSY_GPU = MilliGpus(10)
"""Of an accelerator that works; a choice: drivers count in whole percents, and one that holds a context counts none."""
BUSY_CPUS = MilliCpus(100)
"""Of a slice that works, where accelerators have no counter; a choice: what waits needs some thousandths of a core, and
what feeds an accelerator most of one."""
BRIDGED_S = 120.0
"""A pause in measuring that is taken to have been like what was before it, as while control is started again."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one slice used over a span of time that has just ended; None is what nothing here can count."""

    at: float
    """End of the span, in seconds since the epoch."""
    over_s: float
    """Length of the span, in seconds."""
    cpus: MilliCpus | None = None
    """Cores that were busy, in the mean over the span."""
    memory: Bytes | None = None
    """What was resident at its end."""
    gpus: tuple[MilliGpus, ...] | None = None
    """The share of the span for which each accelerator of the slice was busy; none of a slice that holds none."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What was read of one cluster."""

    slices: Mapping[str, Reading] = field(default_factory=dict)
    """By name; those that have just joined, or cannot be read, are left out."""
    unmeasured: tuple[str, ...] = ()
    """What is not measured and why, a sentence each; nothing is guessed in its place."""


class Meter(Protocol):
    """Reads what slices use."""

    def measure(self, now: float) -> Mapping[str, Readings]:
        """What every cluster has used since the last call, by its name; the first call only begins to count.

        Args:
            now: Seconds since the epoch, which the readings carry.
        """
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """What was read of one attempt, beside what it was granted."""

    workload: str
    attempt: int
    born: float
    """When the workload was submitted, which tells it from a later one of its name."""
    at: float
    """When it was read, in seconds since the epoch."""
    granted: Mapping[str, Resources]
    """By slice."""
    readings: Readings


def last_worked(reading: Reading, granted: Resources, before: Sequence[float | None] = ()) -> tuple[float | None, ...]:
    """When each accelerator of a slice last worked; one instant for all of them where only its CPUs are counted.

    Args:
        reading: What the slice used.
        granted: What it holds.
        before: The answer to the reading before; None is what was never seen to work.
    """
    if not granted.gpus or (reading.gpus is None and reading.cpus is None):
        return ()
    if reading.gpus is not None:
        works = [share >= BUSY_GPU for share in reading.gpus]
    else:
        works = [reading.cpus is not None and reading.cpus >= BUSY_CPUS]
    known = before if len(before) == len(works) else (None,) * len(works)
    return tuple(reading.at if busy else at for busy, at in zip(works, known, strict=True))


def measured_since(reading: Reading, before: float | None, before_at: float | None) -> float:
    """Since when a slice has been measured without a longer pause than `BRIDGED_S`, in seconds since the epoch.

    Args:
        reading: What it used.
        before: The answer to the reading before; None where there was none.
        before_at: When that was.
    """
    begins = reading.at - reading.over_s
    goes_on = before is not None and before_at is not None and begins - before_at <= BRIDGED_S
    return before if goes_on and before is not None else begins
