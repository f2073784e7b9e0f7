"""The schema grows by migrations, and what was accepted is never lost."""

import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from fabric.core.errors import Conflict, Corrupt, StorageFull, Unavailable
from fabric.store.database import DATABASE, migrations, open_store, writing
from fabric.store.records import SqlRecords
from fabric.store.schema import METADATA
from tests.architecture.tree import ROOT
from tests.builders import job, record

WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from fabric.store.database import open_store
from fabric.store.records import SqlRecords
from fabric.workloads.record import Event
from fabric.workloads.states import State
from tests.builders import job, record

records = SqlRecords(open_store(Path(sys.argv[1])))
batch = [records.submit(record(job(f"w{number}"))) for number in range(20)]
print("ready", flush=True)
for turn in range(1, 10**9):
    batch = [replace(each, generation=turn) for each in batch]
    records.save(batch, [Event("w0", float(turn), State.QUEUED, "turn")])
    print(turn, flush=True)
"""


def test_the_migrated_schema_is_that_of_the_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_revision() == ScriptDirectory.from_config(migrations()).get_current_head()


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    SqlRecords(open_store(tmp_path)).submit(record(job("a")))
    assert SqlRecords(open_store(tmp_path)).get("a") == record(job("a"))


def test_every_commit_is_flushed_and_others_may_read_meanwhile(engine: Engine) -> None:
    with engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {n}").scalar() for n in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]


def test_nobody_else_can_read_the_secrets(tmp_path: Path, engine: Engine) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


@pytest.mark.slow
def test_a_newer_schema_is_refused_with_the_remedy(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match=r"newer fabric \(schema 9999, .* Start the newer fabric, or choose another"):
        open_store(tmp_path)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_text("something else, and long enough to have a header " * 50)
    with pytest.raises(Corrupt, match=rf"{DATABASE}: file is not a database"):
        open_store(tmp_path)


def test_a_state_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=re.escape(str(tmp_path / "file"))):
        open_store(tmp_path / "file" / "state")


def test_a_full_database_refuses_new_work_and_keeps_the_old(engine: Engine) -> None:
    records = SqlRecords(engine)
    records.submit(record(job("a")))
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
    with pytest.raises(StorageFull, match=r"fabric\.db: database or disk is full"):
        records.submit(record(job("b", "x" * 10**6)))
    assert [each.name for each in records.list()] == ["a"]


def test_a_full_disk_refuses_new_work_and_keeps_the_old(small_disk: Path) -> None:
    records = SqlRecords(open_store(small_disk / "state"))
    taken: list[str] = []

    def submit_many() -> None:
        for number in range(100):
            taken.append(records.submit(record(job(f"w{number}", "x" * 10**5), at=float(number))).name)

    with pytest.raises(StorageFull):
        submit_many()
    assert taken
    assert sorted(each.name for each in SqlRecords(open_store(small_disk / "state")).list()) == sorted(taken)


@pytest.mark.slow
def test_what_a_killed_writer_was_told_is_saved_is_there_and_no_batch_is_halved(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        for _ in range(3):
            told = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        told = max([told, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    records = SqlRecords(open_store(tmp_path))
    turns = {each.generation for each in records.list()}
    assert len(turns) == 1, "a batch is written whole or not at all"
    assert turns.pop() in {told, told + 1}
    assert len(records.events("w0")) - 1 == records.get("w0").generation
