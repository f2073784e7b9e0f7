"""Batch inference on whatever accelerators nobody holds, reckoned afterwards from how many each node had in use.

Knows nothing of who held the others. It is endless and leaves at once, so it never stands in anybody's way, and it is
the same rule for every arm: a worker fills each idle accelerator, and loses up to a unit of work when it is stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fabric.simulator.hti.logs import HarvestLog

Steps = Sequence[tuple[float, int]]
"""Accelerators of a node in use, from an instant in seconds on; instants do not fall."""


@dataclass(frozen=True, slots=True)
class Host:
    """A node with accelerators."""

    gpus: int
    speed: float
    """Relative to the GPU tier."""
    used: Steps


def harvest(hosts: Sequence[Host], *, unit_s: float, end_s: float) -> tuple[HarvestLog, ...]:
    """The stretches in which batch inference ran, from zero to `end_s`.

    Of the workers of a node those that began last are stopped first.

    Args:
        hosts: Every node with accelerators.
        unit_s: Work that is lost at most when a worker is stopped, in seconds; a shorter stretch is lost whole.
        end_s: End of the benchmark; what runs then loses nothing.
    """
    return tuple(log for host in hosts for log in _on(host, unit_s, end_s))


def _on(host: Host, unit_s: float, end_s: float) -> list[HarvestLog]:
    found: list[HarvestLog] = []
    fleet: list[tuple[float, int]] = []
    idle = 0
    for at, used in (*_inside(host, end_s), (end_s, host.gpus)):
        free = max(0, host.gpus - used)
        if free > idle:
            fleet.append((at, free - idle))
        gone = idle - free
        while gone > 0:
            since, count = fleet.pop()
            stopped = min(gone, count)
            gone -= stopped
            if stopped < count:
                fleet.append((since, count - stopped))
            lost_s = 0.0 if at >= end_s else min(unit_s, at - since)
            if at > since:
                found.append(HarvestLog(since, at, stopped, host.speed, lost_s=lost_s))
        idle = free
    return found


def _inside(host: Host, end_s: float) -> list[tuple[float, int]]:
    """The last use of each instant from zero to before the end."""
    uses = {0.0: 0}
    for at, used in host.used:
        if at < end_s:
            uses[max(0.0, at)] = used
    return sorted(uses.items())
