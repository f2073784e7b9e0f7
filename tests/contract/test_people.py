"""People in SQL keep the contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric.store.people import SqlPeople
from tests.contract.people_contract import PeopleContract
from tests.stores import ready_store


class TestSqlPeople(PeopleContract):
    """On SQLite."""

    @pytest.fixture
    def people(self, tmp_path: Path) -> Iterator[SqlPeople]:
        """In a folder of its own."""
        engine = ready_store(tmp_path)
        yield SqlPeople(engine, now=lambda: 1000.0)
        engine.dispose()
