"""A lease in SQLite keeps the contract; `tests/ray/test_postgres.py` runs it on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.contract.lease_contract import LeaseContract
from tests.stores import ready_store


class TestSqliteLease(LeaseContract):
    """In a folder of its own."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        """Empty."""
        engine = ready_store(tmp_path)
        yield engine
        engine.dispose()
