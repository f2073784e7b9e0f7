"""Records that also note who held which grant, from when until when.

Knows nothing of why a grant changed.
"""

from collections.abc import Sequence
from dataclasses import replace

from fabric.simulator.cluster import SimulatedCluster, VirtualClock
from fabric.simulator.records import Holding, SimulatedRecords
from fabric.workloads.record import Event, Record


class HoldingRecords(SimulatedRecords):
    """Implements `fabric.scheduler.ports.Records`; every grant ever held is in `holdings`, in order of beginning."""

    def __init__(self, cluster: SimulatedCluster, clock: VirtualClock) -> None:
        super().__init__(cluster.working.tells, cluster.shrink)
        self._clock = clock
        self._last: dict[str, int] = {}

    def save(self, changes: Sequence[Record], events: Sequence[Event]) -> None:
        """Write all of them, and note what is held from now on."""
        super().save(changes, events)
        for record in changes:
            grant = record.grant if record.state.holds_grant else None
            before = self._last.get(record.name)
            if before is not None and self.holdings[before].grant is not grant:
                self.holdings[before] = replace(self.holdings[before], end_s=self._clock.at)
                del self._last[record.name]
                before = None
            if before is None and grant is not None:
                self._last[record.name] = len(self.holdings)
                self.holdings.append(Holding(record.name, grant, self._clock.at))
