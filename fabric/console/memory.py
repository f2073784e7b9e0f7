"""What open pages have seen over time: numbers that workloads told, and how full each tier was.

Knows nothing of pages. What workloads tell is also kept by control; how full tiers were begins when somebody looks.
"""

from collections import deque

from fabric.api.admin import ProgressView
from fabric.api.overview import Overview, TierView
from fabric.api.past import CurvesView
from fabric.console.chart import Point

MOST_KEPT = 3000
"""Points of each curve that are kept; of tiers, at one in `EVERY_S`, a day and a half."""
EVERY_S = 45.0
"""Shortest time between two points of a tier, in seconds."""


class Curves:
    """Points of several curves by name."""

    def __init__(self) -> None:
        self._points: dict[str, deque[Point]] = {}

    def add(self, name: str, at: float, height: float) -> None:
        """Add a point, unless nothing moved on since the last one."""
        points = self._points.setdefault(name, deque(maxlen=MOST_KEPT))
        if points and at < points[-1][0]:
            points.clear()
        if not points or at > points[-1][0]:
            points.append((at, height))

    def told(self, progress: ProgressView) -> None:
        """Add what a workload told, over what it has done; one that begins again begins its curves again."""
        for name, value in progress.metrics.items():
            self.add(name, progress.done, value)

    def told_before(self, before: CurvesView) -> None:
        """Add what a workload told before anybody looked."""
        for each in before.points:
            for name, value in each.metrics.items():
                self.add(name, each.done, value)

    def of(self, name: str) -> tuple[Point, ...]:
        """The points of one curve, from left to right."""
        return tuple(self._points.get(name, ()))

    def drawable(self) -> list[tuple[str, tuple[Point, ...]]]:
        """Those with at least two points, by name."""
        return [(name, tuple(points)) for name, points in sorted(self._points.items()) if len(points) > 1]


class Occupancy:
    """How full each tier was, in percent, whoever looked."""

    def __init__(self) -> None:
        self._curves = Curves()
        self._newest: float | None = None

    def saw(self, seen: Overview) -> None:
        """Remember it, if the last time was a while ago."""
        if self._newest is not None and seen.at < self._newest + EVERY_S:
            return
        self._newest = seen.at
        for tier in seen.tiers:
            self._curves.add(tier.name, seen.at, occupied(tier))

    def of(self, tier: str) -> tuple[Point, ...]:
        """Instants and percentages."""
        return self._curves.of(tier)


def occupied(tier: TierView) -> float:
    """Percentage of a tier's GPUs that are held; of its CPUs where it has no GPUs."""
    total, free = (tier.total.gpus, tier.free.gpus) if tier.total.gpus else (tier.total.cpus, tier.free.cpus)
    return 100.0 * (total - free) / total if total else 0.0
