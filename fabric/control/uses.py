"""What workloads use of their grants, as far as it was measured of late.

Knows nothing of how it is measured or kept.
"""

from collections.abc import Iterable, Mapping

from fabric.api.use import UseHistory, UseView
from fabric.control.ports import Reports
from fabric.core.clock import Clock
from fabric.scheduler.metering import BRIDGED_S
from fabric.workloads.record import Record


class Uses:
    """Reads what was measured; safe to call from several threads at once."""

    def __init__(self, reports: Reports, clock: Clock) -> None:
        """Read nothing yet.

        Args:
            reports: Where it is kept.
            clock: What says how old it is.
        """
        self._reports, self._clock = reports, clock

    def of(self, records: Iterable[Record]) -> Mapping[str, UseView]:
        """What those that hold nodes use, by name; the others, and what was read long ago, are left out."""
        names = [record.name for record in records if record.state.holds_grant]
        if not names:
            return {}
        since = self._clock.now() - BRIDGED_S
        # That nothing is measured is written once, and stays true.
        return {name: use for name, use in self._reports.uses(names).items() if use.at >= since or not use.slices}

    def history(self, record: Record) -> UseHistory:
        """What one workload uses and used."""
        points = tuple(self._reports.use_points(record.name))
        return UseHistory(latest=self.of([record]).get(record.name), points=points)
