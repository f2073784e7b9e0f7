"""What open pages have seen over time: numbers that workloads told.

Knows nothing of pages. Control keeps what workloads tell, too.
"""

from collections import deque

from fabric.api.admin import ProgressView
from fabric.api.past import CurvesView
from fabric.console.chart import Point

MOST_KEPT = 3000
"""Points of each curve that are kept."""


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
