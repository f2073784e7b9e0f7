"""The store on a real PostgreSQL keeps every promise that it keeps on SQLite: the same suites, run again."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from fabric.api.admin import Report
from fabric.control import backups
from fabric.core.errors import BadInput, Conflict, Unavailable
from fabric.store.database import migrations, open_store, reading, writing
from fabric.store.lease import Lease
from fabric.store.people import SqlPeople
from fabric.store.postgres import IDLE_MS
from fabric.store.records import SqlRecords
from fabric.store.schema import METADATA
from fabric.workloads.states import State
from tests.builders import job, record, tiny_site
from tests.contract.lease_contract import LeaseContract
from tests.contract.people_contract import PeopleContract
from tests.contract.test_records import TestSqlRecords as RecordsOnSqlite
from tests.postgres import Postgres, emptied
from tests.unit.store import test_history, test_keys, test_ledger, test_records, test_rows

ON_SQLITE_ONLY = {
    "test_a_secret_is_made_once_and_survives_a_new_start",
    "test_what_was_remembered_is_there_for_another_control",
    "test_the_ledger_is_the_integral_of_the_grants_over_kills_and_restarts",
    "test_a_ledger_is_read_where_nothing_was_written",
    "test_a_long_time_is_read_row_after_row",
    "test_a_record_survives_closing_and_opening_the_store",
}
"""Tests that open a file of SQLite by themselves, or count what SQLite does."""

for _module in (test_history, test_keys, test_ledger, test_records, test_rows):
    globals().update({
        name: member
        for name, member in vars(_module).items()
        if name.startswith("test_") and name not in ON_SQLITE_ONLY
    })  # fmt: skip


@pytest.fixture
def records(engine: Engine) -> SqlRecords:
    return SqlRecords(engine, now=lambda: 1000.0)


@pytest.fixture(scope="module")
def store(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlRecords]:
    """What the test of any record asks for."""
    engine = open_store(tmp_path_factory.mktemp("rows"), server.store())
    yield SqlRecords(engine)
    engine.dispose()


@pytest.fixture
def world(engine: Engine) -> test_ledger.World:
    """What the tests of the ledger ask for."""
    return test_ledger.World(engine)


class TestPostgresRecords(RecordsOnSqlite):
    """The contract of the loop's records."""

    @pytest.fixture
    def records(self, engine: Engine) -> SqlRecords:
        """On PostgreSQL."""
        return SqlRecords(engine)


class TestPostgresPeople(PeopleContract):
    """The contract of people."""

    @pytest.fixture
    def people(self, engine: Engine) -> SqlPeople:
        """On PostgreSQL."""
        return SqlPeople(engine, now=lambda: 1000.0)


class TestPostgresLease(LeaseContract):
    """The contract of the lease."""

    @pytest.fixture
    def engine(self, database: Engine) -> Engine:
        """With nobody in the lead."""
        return emptied(database)


def test_a_former_leader_that_hangs_with_the_row_locked_keeps_nobody_from_the_lead(
    server: Postgres, tmp_path: Path
) -> None:
    store = server.store()
    first, second = (open_store(tmp_path, store, name) for name in ("first", "second"))
    former, later = Lease(first, "first", lease_s=2.0), Lease(second, "second")
    assert former.take()
    hung = former.fenced().connect()
    former.check_in(hung)  # as in the middle of a write
    server.execute("SELECT pg_sleep(2.1)")
    began = time.monotonic()
    assert later.take()
    assert time.monotonic() - began < IDLE_MS / 1000 / 2, "it is not left to the server's patience"
    with pytest.raises(DBAPIError):
        hung.execute(text("SELECT 1"))
    hung.close()
    first.dispose()
    second.dispose()


def test_the_migrated_schema_is_that_of_the_tables_here_too(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_revision() == ScriptDirectory.from_config(migrations()).get_current_head()


def test_a_newer_schema_is_refused_naming_the_database_and_no_secret(server: Postgres, tmp_path: Path) -> None:
    store = server.store()
    engine = open_store(tmp_path, store)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(Conflict, match=r"PostgreSQL database fabric\d+ on 127\.0\.0\.1: written by a newer fabric"):
        open_store(tmp_path, store)


def test_a_reader_sees_one_instant_and_may_not_write(engine: Engine) -> None:
    records = SqlRecords(engine)
    count = text("SELECT count(*) FROM workloads")
    with reading(engine) as connection:
        assert connection.execute(count).scalar() == 0
        records.submit(record(job("a")))
        assert connection.execute(count).scalar() == 0
    with pytest.raises(Unavailable, match="read-only"), reading(engine) as connection:
        connection.execute(text("DELETE FROM workloads"))
    assert records.get("a").name == "a"


def test_a_zero_byte_in_a_text_is_written_out_and_in_a_name_is_bad_input(records: SqlRecords) -> None:
    records.submit(record(job("a")))
    assert records.request_stop("a", "so\0so").stop_reason == r"so\x00so"
    with pytest.raises(BadInput):
        records.get("a\0b")


def test_after_a_restart_of_the_server_the_next_call_works(server: Postgres, records: SqlRecords) -> None:
    records.submit(record(job("a")))
    server.end()
    with pytest.raises(Unavailable):
        records.get("a")
    server.start()
    assert records.get("a").name == "a"


def test_who_hangs_in_the_middle_of_a_write_keeps_others_waiting_for_seconds_only(
    engine: Engine, records: SqlRecords
) -> None:
    def hang() -> None:
        with writing(engine) as hung:
            hung.execute(text("SELECT 1"))
            records.submit(record(job("b")))  # waits until the server has ended the one that stands still
            hung.execute(text("SELECT 1"))

    with pytest.raises(Unavailable):
        hang()
    assert records.get("b").name == "b"


def test_a_backup_goes_from_sqlite_to_postgresql_and_back_but_not_under_who_leads(
    server: Postgres, tmp_path: Path
) -> None:
    small, large = tiny_site(), tiny_site(store=server.store())
    first = open_store(tmp_path / "a")
    records = SqlRecords(first)
    for name in ("a", "b", "c"):
        records.submit(record(job(name)), idempotency_key=name)
    records.save([record(job("c"), State.FAILED)], [])
    records.delete("c")
    records.report("a", Report(done=1.0, checkpoint_uri="file:///x", checkpoint_bytes=2**40))
    backups.back_up(small, tmp_path / "a", tmp_path / "a.tar")
    assert "2 workloads" in backups.restore(large, tmp_path / "b", tmp_path / "a.tar", force=False)
    second = open_store(tmp_path / "b", large.store)
    after = SqlRecords(second)
    assert [each.name for each in after.list()] == ["b", "a"]
    assert after.progress("a") == records.progress("a")
    after.submit(record(job("d"), at=1.0))
    assert after.list()[0].name == "d", "numbers go on after those that were restored"
    backups.back_up(large, tmp_path / "b", tmp_path / "b.tar")
    backups.restore(small, tmp_path / "c", tmp_path / "b.tar", force=False)
    third = open_store(tmp_path / "c")
    assert {each.name for each in SqlRecords(third).list()} == {"a", "b", "d"}
    leader = Lease(second, "leader", address="http://leader")
    assert leader.take()
    with pytest.raises(Conflict, match="a control leads"):
        backups.restore(large, tmp_path / "b", tmp_path / "b.tar", force=True)
    for engine in (first, second, third):
        engine.dispose()
