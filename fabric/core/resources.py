"""A resource vector: what a worker needs, a node has or a slice holds.

Knows nothing of who asks.
"""

from dataclasses import dataclass, field
from typing import Self

from fabric.core.quantity import Bytes, MilliCpus, MilliGpus


@dataclass(frozen=True, slots=True)
class Resources:
    """CPUs, accelerators and memory together, compared and added component by component."""

    cpus: MilliCpus = field(default=MilliCpus(0))
    gpus: MilliGpus = field(default=MilliGpus(0))
    memory: Bytes = field(default=Bytes(0))

    @classmethod
    def of(cls, cpus: float | str = 0, gpus: float | str = 0, memory: int | str = 0) -> Self:
        """Read whole devices and a size with unit, such as `Resources.of(2, 1, "4 GiB")`."""
        return cls(MilliCpus.of(cpus), MilliGpus.of(gpus), Bytes.of(memory))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.cpus + other.cpus, self.gpus + other.gpus, self.memory + other.memory)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.cpus - other.cpus, self.gpus - other.gpus, self.memory - other.memory)

    def __mul__(self, times: int) -> Self:
        return type(self)(self.cpus * times, self.gpus * times, self.memory * times)

    def __bool__(self) -> bool:
        return bool(self.cpus or self.gpus or self.memory)

    def fits(self, free: Self) -> bool:
        """Whether every component is at most that of `free`."""
        return self.cpus <= free.cpus and self.gpus <= free.gpus and self.memory <= free.memory

    def shortfall(self, free: Self) -> Self:
        """What is missing in `free`, component by component; zero where it suffices."""
        return type(self)(
            self.cpus.shortfall(free.cpus), self.gpus.shortfall(free.gpus), self.memory.shortfall(free.memory)
        )

    def times_in(self, free: Self) -> int:
        """How many copies of this fit into `free` together.

        Raises:
            ValueError: If this is zero, as any number would fit.
        """
        pairs = (
            (self.cpus.count, free.cpus.count),
            (self.gpus.count, free.gpus.count),
            (self.memory.count, free.memory.count),
        )
        counts = [have // need for need, have in pairs if need]
        if not counts:
            raise ValueError("a request for nothing fits any number of times")
        return min(counts)

    def __str__(self) -> str:
        parts = [str(part) for part in (self.gpus, self.cpus, self.memory) if part]
        return " + ".join(parts) or "nothing"
