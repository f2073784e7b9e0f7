"""One file with what must survive: records, uploaded packages, MLflow's database and the administrator's key.

Knows nothing of who asks. The records are read in one transaction, so that they are as they were at one instant while
everything goes on; in the file they are always SQLite, so that a backup of one database restores into the other. What
is not in the file: logs and artifacts, which are plain files that only grow, for the copies of the file system; and the
keys that open secrets of projects, which are in there as they are kept, sealed.
"""

import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Table, delete, func, insert, select

from fabric.core.errors import Conflict, Corrupt, Unavailable
from fabric.store.database import DATABASE, is_postgres, migrations, open_store, place_of, reading, writing
from fabric.store.errors import file_errors
from fabric.store.files import flush_folder
from fabric.store.mlflow_server import DATABASE as MLFLOW_DATABASE
from fabric.store.packages import TEMPORARY
from fabric.store.schema import LEASES, METADATA, WORKLOADS

ABOUT = "backup.json"
"""Name of the member that says what a backup is; the first one."""
PACKAGES, MLFLOW, KEY = "packages", "mlflow", "admin.key"
"""Names in a backup and in the state folder."""
BATCH_ROWS = 500
"""Rows that are copied at once."""

_WHOLE = "whole"
_COPIED = tuple(table for table in METADATA.sorted_tables if table is not LEASES)


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds."""

    schema: str
    """Of its records."""
    at: float
    """When it was made, in seconds since the epoch."""
    workloads: int
    """Records of workloads."""
    packages: int
    """Uploaded packages."""


def back_up(engine: Engine, state: Path, file: Path, now: float) -> Backup:
    """Write everything into `file`, which is there whole or not at all and only its owner may read; nothing is stopped.

    Args:
        engine: The records.
        state: State folder.
        file: Where it goes; its folder is made if need be.
        now: Seconds since the epoch.

    Raises:
        Conflict: If there is a file, or the records are of another schema than this code's.
        StorageFull: If the disk is full.
        FabricError: For any error of the database.
    """
    if file.exists():
        raise Conflict(f"{file} is there already; choose another name", path=str(file))
    with _beside(file) as folder:
        with closing_store(open_store(folder)) as copy:
            with reading(engine) as source, writing(copy) as target:
                schema = _schema_of(source, place_of(engine))
                rows = {table.name: _copy(source, target, table) for table in _COPIED}
        _copy_sqlite(state / MLFLOW / MLFLOW_DATABASE, folder / MLFLOW_DATABASE)
        packages = sorted(_packages(state / PACKAGES))
        about = Backup(schema, now, rows[WORKLOADS.name], len(packages))
        with file_errors(file):
            _pack(folder, state, packages, about)
            (folder / _WHOLE).replace(file)
            flush_folder(file.parent)
    return about


def restore(engine: Engine, state: Path, file: Path, *, force: bool = False, change: Engine | None = None) -> Backup:
    """Make the records, packages, MLflow's database and the key those of a backup; nobody else may have them open.

    Records that are there are replaced in one transaction, so that a crash leaves the old ones or the new ones.

    Args:
        engine: The records, of the schema of this code.
        state: State folder.
        file: What `back_up` wrote, by this version or an earlier one.
        force: Also where there are records already.
        change: The same with a fence, where one must hold the lead.

    Raises:
        NotFound: If there is no such file.
        Corrupt: If it is no backup.
        Conflict: If a newer fabric wrote it, or there are records and nothing forces it.
    """
    with _beside(state / PACKAGES) as folder:
        about = _unpack(file, folder)
        with closing_store(open_store(folder)) as copy:  # an earlier schema is brought to this one
            _refuse_to_replace(engine, force)
            with reading(copy) as source, writing(change or engine) as target:
                for table in reversed(_COPIED):
                    target.execute(delete(table))
                for table in _COPIED:
                    _copy(source, target, table)
                _count_on(target)
        with file_errors(state):
            _put_back(folder, state)
    return about


@contextmanager
def closing_store(engine: Engine) -> Iterator[Engine]:
    """An engine that is closed afterwards."""
    try:
        yield engine
    finally:
        engine.dispose()


def _refuse_to_replace(engine: Engine, force: bool) -> None:
    with reading(engine) as connection:
        counts = {t.name: connection.execute(select(func.count()).select_from(t)).scalar_one() for t in _COPIED}
    there = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    if there and not force:
        raise Conflict(
            f"{place_of(engine)} holds records already ({there}). Back them up, then give --force to replace them.",
            rows=sum(counts.values()),
        )


def _schema_of(connection: Connection, place: str) -> str:
    """The schema of what is backed up, which must be that of this code.

    Raises:
        Conflict: If it is another.
    """
    present = MigrationContext.configure(connection).get_current_revision()
    head = ScriptDirectory.from_config(migrations()).get_current_head()
    if present is None or present != head:
        raise Conflict(
            f"{place} has schema {present or 'none'}, and this fabric writes {head}. Use the fabric that wrote it, or "
            "start this one once, which brings it up to date.",
            schema=present,
        )
    return present


def _copy(source: Connection, target: Connection, table: Table) -> int:
    """Copy every row; how many there were."""
    count = 0
    query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=BATCH_ROWS)
    for rows in source.execute(query).mappings().partitions():
        target.execute(insert(table), [dict(row) for row in rows])
        count += len(rows)
    return count


def _count_on(target: Connection) -> None:
    """Let PostgreSQL give out numbers above those that were copied; SQLite does by itself."""
    if not is_postgres(target.engine):
        return
    for table in _COPIED:
        if "id" in table.c:
            highest = select(func.max(table.c.id)).scalar_subquery()
            name = func.pg_get_serial_sequence(f'"{table.name}"', "id")
            target.execute(select(func.setval(name, func.coalesce(highest, 1), highest.is_not(None))))


def _copy_sqlite(source: Path, target: Path) -> None:
    """A copy of a database that others may be writing; nothing where there is none.

    Raises:
        Unavailable: If it cannot be read.
    """
    if not source.exists():
        return
    try:
        with (
            closing(sqlite3.connect(source)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
    except sqlite3.Error as error:
        raise Unavailable(f"{source}: {error}. Try again, or look at the disk.", path=str(source)) from error


def _packages(folder: Path) -> Iterator[Path]:
    """Uploaded packages, those that are still coming in left out."""
    if folder.is_dir():
        yield from (f for f in folder.rglob("*") if f.is_file() and not f.name.startswith(TEMPORARY))


def _pack(folder: Path, state: Path, packages: list[Path], about: Backup) -> None:
    (folder / ABOUT).write_text(json.dumps(asdict(about)))
    with tarfile.open(folder / _WHOLE, "w", format=tarfile.PAX_FORMAT) as whole:
        whole.add(folder / ABOUT, ABOUT)
        whole.add(folder / DATABASE, DATABASE)
        if (folder / MLFLOW_DATABASE).exists():
            whole.add(folder / MLFLOW_DATABASE, f"{MLFLOW}/{MLFLOW_DATABASE}")
        if (state / KEY).exists():
            whole.add(state / KEY, KEY)
        for package in packages:
            try:
                whole.add(package, f"{PACKAGES}/{package.relative_to(state / PACKAGES)}")
            except FileNotFoundError:
                continue  # nobody needed it any more
    (folder / _WHOLE).chmod(0o600)
    with (folder / _WHOLE).open("rb") as written:
        os.fsync(written.fileno())


def _unpack(file: Path, folder: Path) -> Backup:
    """Put the members of a backup into a folder.

    Raises:
        NotFound: If there is no such file.
        Corrupt: If it is none.
        Conflict: If a newer fabric wrote it.
    """
    with file_errors(file):
        try:
            with tarfile.open(file, "r:") as whole:
                first = whole.next()
                stream = whole.extractfile(first) if first is not None and first.name == ABOUT else None
                about = Backup(**json.loads(stream.read())) if stream is not None else None
                if about is not None:
                    _refuse_newer(about.schema, file)
                    whole.extractall(folder, filter="data")
        except (tarfile.TarError, ValueError, TypeError, EOFError) as error:
            raise Corrupt(f"{file} is no backup of a fabric, or not a whole one: {error}", path=str(file)) from error
    if about is None or not (folder / DATABASE).is_file():
        raise Corrupt(f"{file} is no backup of a fabric", path=str(file))
    return about


def _refuse_newer(schema: str, file: Path) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(migrations()).walk_revisions()}
    if schema not in known:
        raise Conflict(
            f"{file} was written by a newer fabric (schema {schema}, this one knows up to {max(known)}). Restore it "
            "with that fabric.",
            schema=schema,
        )


def _put_back(folder: Path, state: Path) -> None:
    """Move everything but the records to its place; packages that are there stay."""
    for package in _packages(folder / PACKAGES):
        place = state / PACKAGES / package.relative_to(folder / PACKAGES)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not place.exists():
            package.replace(place)
    if (folder / MLFLOW / MLFLOW_DATABASE).exists():
        (state / MLFLOW).mkdir(exist_ok=True, mode=0o700)
        for beside in ("-wal", "-shm"):
            (state / MLFLOW / f"{MLFLOW_DATABASE}{beside}").unlink(missing_ok=True)
        (folder / MLFLOW / MLFLOW_DATABASE).replace(state / MLFLOW / MLFLOW_DATABASE)
    if (folder / KEY).exists():
        (folder / KEY).replace(state / KEY)
        (state / KEY).chmod(0o600)


@contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """A folder on the same disk as `file`, gone afterwards."""
    with file_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = Path(tempfile.mkdtemp(prefix=".backup-", dir=file.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
