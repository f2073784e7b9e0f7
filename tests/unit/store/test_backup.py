"""A backup is one file made while everything goes on, and restores into either database."""

import hashlib
import json
import sqlite3
import stat
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from fabric.api.admin import Report
from fabric.core.errors import Conflict, Corrupt, NotFound
from fabric.store import backup
from fabric.store.database import reading
from fabric.store.keys import Key
from fabric.store.ledger import SqlLedger
from fabric.store.packages import TEMPORARY
from fabric.store.records import SqlRecords
from fabric.store.schema import METADATA
from fabric.workloads.record import Event, Grant
from fabric.workloads.states import State
from tests.builders import job, piece, record
from tests.stores import ready_store


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def full(engine: Engine, state: Path) -> SqlRecords:
    """A fabric of which everything has some rows, with a package and an MLflow."""
    records = SqlRecords(engine, now=lambda: 1000.0)
    for name in ("gone", "runs", "waits"):
        records.submit(record(job(name), at=1.0), idempotency_key=name)
    records.save([record(job("gone"), State.FAILED, at=1.0)], [])
    records.delete("gone")
    running = replace(record(job("runs"), State.RUNNING, at=1.0), grant=Grant((piece("c0", head=True),), "so"))
    records.save([running], [Event("runs", 2.0, State.RUNNING, "so")])
    records.report("runs", Report(stage="train", done=1.0, checkpoint_uri="file:///x", checkpoint_bytes=2**40))
    records.secret("runs", "token", lambda: "hidden")
    records.add_key(hashlib.sha256(b"k").hexdigest(), Key("ann", "", "admin"))
    records.add_user("ann")
    records.set_member("ann", "physics", "member")
    records.add_project("physics", "ann")
    (state / "packages" / "projects" / "physics").mkdir(parents=True)
    (state / "packages" / "_ray_pkg_1.zip").write_bytes(b"site's")
    (state / "packages" / "projects" / "physics" / "_ray_pkg_2.zip").write_bytes(b"physics'")
    (state / "packages" / f"{TEMPORARY}x").write_bytes(b"half")
    (state / "admin.key").write_text("fab-key\n")
    (state / "mlflow").mkdir()
    with sqlite3.connect(state / "mlflow" / "mlflow.db") as mlflow:
        mlflow.execute("CREATE TABLE models (name TEXT)")
        mlflow.execute("INSERT INTO models VALUES ('shakespeare')")
    return records


def rows(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """Everything in the tables."""
    with reading(engine) as connection:
        return {
            t.name: [tuple(row) for row in connection.execute(t.select().order_by(*t.primary_key.columns))]
            for t in METADATA.sorted_tables
        }


def made(engine: Engine, state: Path, file: Path) -> backup.Backup:
    return backup.back_up(engine, state, file, now=5.0)


def test_what_was_backed_up_is_there_again_to_the_last_row(
    engine: Engine, full: SqlRecords, state: Path, tmp_path: Path
) -> None:
    file, place = tmp_path / "b.tar", tmp_path / "other"
    about = made(engine, state, file)
    assert (about.workloads, about.packages, about.at) == (2, 2, 5.0)
    again = ready_store(place)
    assert backup.restore(again, place, file) == about
    assert rows(again) == rows(engine)
    records = SqlRecords(again)
    assert records.get("waits") == full.get("waits")
    assert records.progress("runs") == full.progress("runs")
    assert SqlLedger(again).reconcile() == ()
    assert (place / "packages" / "projects" / "physics" / "_ray_pkg_2.zip").read_bytes() == b"physics'"
    assert not (place / "packages" / f"{TEMPORARY}x").exists()
    assert (place / "admin.key").read_text() == "fab-key\n"
    with sqlite3.connect(place / "mlflow" / "mlflow.db") as mlflow:
        assert mlflow.execute("SELECT name FROM models").fetchall() == [("shakespeare",)]
    assert records.submit(record(job("waits"), at=1.0), idempotency_key="waits").name == "waits"
    records.submit(record(job("next"), at=9.0))
    assert records.list()[0].name == "next"
    again.dispose()


def test_only_its_owner_reads_a_backup_and_none_is_written_over(
    engine: Engine, full: SqlRecords, state: Path, tmp_path: Path
) -> None:
    file = tmp_path / "b.tar"
    made(engine, state, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(Conflict, match="is there already; choose another name"):
        made(engine, state, file)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_backup_is_of_one_instant_however_much_is_written_meanwhile(
    engine: Engine, full: SqlRecords, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, copy = rows(engine), backup._copy
    seen: list[str] = []

    def busy(*given: object) -> int:
        name = f"late-{len(seen)}"
        seen.append(name)
        full.submit(record(job(name), at=3.0))
        return copy(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(backup, "_copy", busy)
    made(engine, state, tmp_path / "b.tar")
    monkeypatch.undo()
    again = ready_store(tmp_path / "other")
    backup.restore(again, tmp_path / "other", tmp_path / "b.tar")
    assert seen
    assert rows(again)["workloads"] == before["workloads"]
    again.dispose()


def test_records_that_are_there_are_replaced_only_by_force(
    engine: Engine, full: SqlRecords, state: Path, tmp_path: Path
) -> None:
    file, kept = tmp_path / "b.tar", rows(engine)
    made(engine, state, file)
    full.submit(record(job("later"), at=7.0))
    with pytest.raises(Conflict, match=r"holds records already \(.*3 workloads.*give --force"):
        backup.restore(engine, state, file)
    assert full.get("later").name == "later"
    backup.restore(engine, state, file, force=True)
    assert rows(engine) == kept
    with pytest.raises(NotFound):
        full.get("later")


def test_a_backup_of_a_newer_fabric_is_refused_with_the_remedy(
    engine: Engine, full: SqlRecords, state: Path, tmp_path: Path
) -> None:
    made(engine, state, tmp_path / "b.tar")
    newer = _changed(tmp_path, schema="9999")
    other = ready_store(tmp_path / "other")
    with pytest.raises(Conflict, match=r"newer fabric \(schema 9999, .*Restore it with that fabric"):
        backup.restore(other, tmp_path / "other", newer)
    assert SqlRecords(other).list() == ()
    other.dispose()


@pytest.mark.parametrize("content", [b"", b"nothing of that kind" * 100], ids=["empty", "text"])
def test_what_is_no_backup_is_refused_and_changes_nothing(
    engine: Engine, full: SqlRecords, state: Path, tmp_path: Path, content: bytes
) -> None:
    file, before = tmp_path / "x.tar", rows(engine)
    file.write_bytes(content)
    with pytest.raises(Corrupt, match="is no backup of a fabric"):
        backup.restore(engine, state, file, force=True)
    with pytest.raises(NotFound, match="no such file"):
        backup.restore(engine, state, tmp_path / "absent.tar", force=True)
    assert rows(engine) == before


def test_half_a_backup_is_refused(engine: Engine, full: SqlRecords, state: Path, tmp_path: Path) -> None:
    file, before = tmp_path / "b.tar", rows(engine)
    made(engine, state, file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(Corrupt):
        backup.restore(engine, state, file, force=True)
    assert rows(engine) == before


def test_members_that_would_leave_the_folder_are_refused(
    engine: Engine, full: SqlRecords, state: Path, tmp_path: Path
) -> None:
    made(engine, state, tmp_path / "b.tar")
    (tmp_path / "evil").write_text("x")
    with tarfile.open(tmp_path / "b.tar", "a") as whole:
        whole.add(tmp_path / "evil", "../outside")
    other = ready_store(tmp_path / "other")
    with pytest.raises(Corrupt):
        backup.restore(other, tmp_path / "other", tmp_path / "b.tar")
    assert not (tmp_path / "outside").exists()
    other.dispose()


def test_records_of_an_earlier_schema_are_not_backed_up_by_guessing(
    engine: Engine, full: SqlRecords, state: Path, tmp_path: Path
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0003'")
    with pytest.raises(Conflict, match=r"has schema 0003, .*start this one once"):
        made(engine, state, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()


def _changed(folder: Path, **fields: object) -> Path:
    """A backup that says something else of itself."""
    changed = folder / "changed.tar"
    with tarfile.open(folder / "b.tar") as old:
        old.extractall(folder / "inside", filter="data")
    about = folder / "inside" / backup.ABOUT
    about.write_text(json.dumps({**json.loads(about.read_text()), **fields}))
    with tarfile.open(changed, "w") as new:
        for name in (backup.ABOUT, "fabric.db"):
            new.add(folder / "inside" / name, name)
    return changed
