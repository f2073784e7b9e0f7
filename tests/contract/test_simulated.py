"""The simulated cluster and its records keep the same contracts as the real ones."""

import math

import pytest

from fabric.scheduler.ports import Backend, Outcome, Records, WantedCluster
from fabric.simulator.cluster import Course, SimulatedCluster, VirtualClock
from fabric.simulator.records import SimulatedRecords
from fabric.workloads.record import Record
from fabric.workloads.states import State
from tests.builders import hybrid
from tests.contract.backend_contract import BackendContract
from tests.contract.records_contract import RecordsContract

COURSES = {"true": Course(0.0), "false": Course(0.0, outcome=Outcome.FAILED)}


class ByItself(SimulatedCluster):
    """What is due happens whenever somebody looks, as no engine moves the clock."""

    def observe(self) -> dict[str, object]:  # type: ignore[override]
        """Let everything happen that is due now."""
        while (due := self.next_due()) is not None and due <= 0.0:
            self.happen()
        return dict(super().observe())


class TestSimulatedCluster(BackendContract):
    """On a clock that stands still: what ends at once has ended."""

    leaves_in_time = False

    @pytest.fixture
    def backend(self) -> Backend:
        """A fresh one."""

        def course(wanted: WantedCluster) -> Course:
            return COURSES.get(wanted.entrypoint, Course(math.inf))

        return ByItself(hybrid(), course, VirtualClock(0.0))  # type: ignore[return-value]

    def lose_a_node(self, backend: Backend, cluster: str) -> None:
        """Say so."""
        assert isinstance(backend, SimulatedCluster)
        backend.lose(cluster, "slice lost")


class TestSimulatedRecords(RecordsContract):
    """In a dictionary."""

    @pytest.fixture
    def records(self) -> SimulatedRecords:
        """Empty ones."""
        return SimulatedRecords()

    def take_in(self, records: Records, *new: Record) -> None:
        assert isinstance(records, SimulatedRecords)
        for item in new:
            records.submit(item)

    def ask_to_stop(self, records: Records, name: str) -> None:
        assert isinstance(records, SimulatedRecords)
        records.request_stop(name)

    def ask_for(self, records: Records, name: str, workers: int) -> None:
        assert isinstance(records, SimulatedRecords)
        records.scale(name, workers)

    def history(self, records: Records, name: str) -> list[tuple[State, str]]:
        assert isinstance(records, SimulatedRecords)
        return [(event.state, event.reason) for event in records.events if event.workload == name]
