"""Ask the backend at intervals what slices use, and keep it.

Knows nothing of how it is counted. It is a thread of its own, so that the loop never waits for it.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping

from fabric.core.errors import FabricError
from fabric.scheduler.metering import Measured, Meter, Readings
from fabric.scheduler.ports import ClusterView, Phase

_log = logging.getLogger(__name__)

MEASURE_EVERY_S = 20.0
"""Seconds between two looks, a choice: a hundred local clusters of fifteen processes cost 60 ms of processor time a
look (`fabric/backends/local/README.md`), and keeping what was read of them 17 ms, together 0.4 % of a core."""


class Metering(threading.Thread):
    """Measures while this control acts."""

    def __init__(
        self,
        meter: Meter,
        views: Callable[[], Mapping[str, ClusterView]],
        keep: Callable[[Collection[Measured]], None],
        *,
        now: Callable[[], float],
        took: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """Measure nothing yet.

        Args:
            meter: What counts.
            views: Every cluster as it is, by its name.
            keep: Where it goes.
            now: Seconds since the epoch.
            took: Told the processor time of each look, in seconds.
        """
        super().__init__(name="metering", daemon=True)
        self._meter, self._views, self._keep, self._now, self._took = meter, views, keep, now, took
        self._over = threading.Event()
        self._said: dict[str, tuple[str, ...]] = {}

    def run(self) -> None:
        """Look again and again until told to end; what cannot be kept now is measured anew."""
        said = ""
        while not self._over.is_set():
            problem, began = "", time.thread_time()
            try:
                self.turn()
            except FabricError as error:
                problem = error.message
            except Exception as error:  # a mistake of ours must not end what measures
                problem = f"internal error: {type(error).__name__}"
                if problem != said:
                    _log.exception("measuring goes on in spite of an error")
            self._took(time.thread_time() - began)
            if problem != said:
                _log.warning("use is %s", f"not kept: {problem}" if problem else "kept again")
                said = problem
            self._over.wait(MEASURE_EVERY_S)

    def end(self) -> None:
        """Stop."""
        self._over.set()
        if self.is_alive():
            self.join(timeout=5.0)

    def turn(self) -> None:
        """Look once, and keep what is known of clusters that work.

        Raises:
            FabricError: If it cannot be kept now.
        """
        now = self._now()
        found = self._meter.measure(now)
        views = self._views() if found else {}
        works = {name: view for name, view in views.items() if view.phase is Phase.READY and name in found}
        news = [name for name in works if found[name].slices or self._said.get(name) != found[name].unmeasured]
        self._keep([measured(works[name], found[name], now) for name in news])
        # What nothing counts is said once, and not written again and again.
        self._said = {name: found[name].unmeasured for name in works}


def measured(view: ClusterView, readings: Readings, now: float) -> Measured:
    """What was read of a cluster, as its workload's."""
    workload, _, attempt = view.name.rpartition("-")
    granted = {part.name: part.resources for part in view.held}
    return Measured(workload, int(attempt), view.born, now, granted, readings)
