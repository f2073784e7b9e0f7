"""Records in SQL and in memory keep the contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric.scheduler.ports import Records
from fabric.store.records import SqlRecords
from fabric.workloads.record import Record
from fabric.workloads.states import State
from tests.builders import FakeRecords
from tests.contract.records_contract import RecordsContract
from tests.stores import ready_store


class TestSqlRecords(RecordsContract):
    """On SQLite."""

    @pytest.fixture
    def records(self, tmp_path: Path) -> Iterator[SqlRecords]:
        """In a folder of its own."""
        engine = ready_store(tmp_path)
        yield SqlRecords(engine)
        engine.dispose()

    def take_in(self, records: Records, *new: Record) -> None:
        assert isinstance(records, SqlRecords)
        for item in new:
            records.submit(item)

    def ask_to_stop(self, records: Records, name: str) -> None:
        assert isinstance(records, SqlRecords)
        records.request_stop(name, "enough")

    def ask_for(self, records: Records, name: str, workers: int) -> None:
        assert isinstance(records, SqlRecords)
        records.scale(name, workers)

    def history(self, records: Records, name: str) -> list[tuple[State, str]]:
        assert isinstance(records, SqlRecords)
        return [(event.state, event.reason) for event in records.events(name) if event.reason != "submitted"]


class TestFakeRecords(RecordsContract):
    """In a dictionary."""

    @pytest.fixture
    def records(self) -> FakeRecords:
        """Empty ones."""
        return FakeRecords()

    def take_in(self, records: Records, *new: Record) -> None:
        assert isinstance(records, FakeRecords)
        records.add(*new)

    def ask_to_stop(self, records: Records, name: str) -> None:
        assert isinstance(records, FakeRecords)
        records.request_stop(name)

    def ask_for(self, records: Records, name: str, workers: int) -> None:
        assert isinstance(records, FakeRecords)
        records.scale(name, workers)

    def history(self, records: Records, name: str) -> list[tuple[State, str]]:
        assert isinstance(records, FakeRecords)
        return [(event.state, event.reason) for event in records.events if event.workload == name]
