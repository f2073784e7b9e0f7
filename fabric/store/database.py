"""Open the database: connections that lose nothing accepted, and the schema brought up to date.

Knows nothing of what the tables are for. SQLite in the state folder is the default; sites may name a PostgreSQL.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Pool, create_engine, event, make_url

from fabric.config.store import Store
from fabric.core.errors import Conflict, Unavailable
from fabric.store import postgres
from fabric.store.errors import file_errors, sql_errors
from fabric.store.files import make_folder

DATABASE = "fabric.db"
"""Name of SQLite's file in the state folder."""
BUSY_TIMEOUT_MS = 10_000
"""Longest wait in milliseconds for another writer; a batch takes tens of milliseconds, so this is for stalled disks."""

FENCE = "fabric_fence"
"""Option of an engine: what is called in every transaction that writes, before anything is written."""

_WRITES = {"fabric_writes": True}
_SQLITE_POOL = {"pool_size": 16, "max_overflow": 32}
"""Connections that are kept open, and those beside them: as many threads ask at the same time."""
_TURNS: "WeakKeyDictionary[Pool, threading.Lock]" = WeakKeyDictionary()
"""Who writes to which SQLite, within this process: SQLite's own way to wait is to look again after ever longer pauses,
so that who writes rarely, as the loop does, would starve beside those who write all the time."""


class SqlTables:
    """Base of everything that reads and writes the tables.

    Args:
        engine: The open database.
        now: The present instant in seconds since the epoch.
    """

    def __init__(self, engine: Engine, now: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._now = now


def open_store(folder: Path, store: Store | None = None, process: str = "fabric") -> Engine:
    """Open the database in `folder`, or the one that `store` names, made if need be and of the schema of this code.

    Args:
        folder: State folder.
        store: Names a PostgreSQL.
        process: Name of this process, for that server.

    Raises:
        Conflict: If a newer fabric wrote it.
        StorageFull: If the disk is full.
        Unavailable: If it cannot be opened.
        Corrupt: If it is no database.
    """
    engine = engine_of(folder, store, process)
    try:
        migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def engine_of(folder: Path, store: Store | None = None, process: str = "fabric") -> Engine:
    """An engine for the database in `folder`, or for the one that `store` names, as it is.

    Raises:
        StorageFull: If the disk is full.
        Unavailable: If the file cannot be made.
    """
    if store is not None and store.url is not None:
        make_folder(folder)
        return postgres.postgres_engine(store, process)
    path = make_folder(folder) / DATABASE
    with file_errors(path):
        # Made here because SQLite would let everybody read it, and its companions copy its mode.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return engine_at(f"sqlite:///{path}")


def engine_at(url: str) -> Engine:
    """An engine for SQLite at `url`; each commit is flushed, so that neither a kill nor a power cut loses one."""
    # One in memory has a connection for each thread.
    engine = create_engine(url, **(_SQLITE_POOL if make_url(url).database else {}))
    _TURNS[engine.pool] = threading.Lock()
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def is_postgres(engine: Engine) -> bool:
    """Whether it is PostgreSQL; otherwise it is SQLite."""
    return engine.dialect.name == "postgresql"


def _prepare_sqlite(connection: Any, record: object) -> None:
    # Python's driver would begin transactions by itself, and only at the first write: too late to keep what was read.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_TIMEOUT_MS}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("fabric_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent view of everything.

    Raises:
        FabricError: For any error of the database.
    """
    options = postgres.READING if is_postgres(engine) else {}
    with (
        sql_errors(place_of(engine)),
        engine.connect().execution_options(**options) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def writing(engine: Engine, *, alone: bool = True) -> Iterator[Connection]:
    """One transaction that nobody else writes beside: all of it is durable afterwards, or nothing.

    Args:
        engine: The database; with a fence where only one who leads may write.
        alone: False for a change of a single row that must not wait until others have written.

    Raises:
        FabricError: For any error of the database; nothing was written then.
    """
    with (
        _turn_of(engine),
        sql_errors(place_of(engine)),
        engine.connect().execution_options(**_WRITES) as connection,
        connection.begin(),
    ):
        if alone and is_postgres(engine):
            postgres.begin_writing(connection)
        if fence := connection.get_execution_options().get(FENCE):
            fence(connection)
        yield connection


@contextmanager
def _turn_of(engine: Engine) -> Iterator[None]:
    """Wait until no other thread of this process writes to the same SQLite.

    Raises:
        Unavailable: If that takes longer than any batch does.
    """
    turn = _TURNS.get(engine.pool)
    if turn is None:
        yield
        return
    if not turn.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
        raise Unavailable(f"{place_of(engine)}: others have been writing for {BUSY_TIMEOUT_MS} ms. Try again.")
    try:
        yield
    finally:
        turn.release()


def place_of(engine: Engine) -> str:
    """Name of the database, for people."""
    return postgres.place(engine) if is_postgres(engine) else Path(engine.url.database or "").name or str(engine.url)


def migrate(engine: Engine) -> None:
    """Bring the schema to that of this code, in one transaction.

    Raises:
        Conflict: If it is newer than this code.
        FabricError: For any error of the database.
    """
    config = migrations()
    with writing(engine) as connection:
        present, ours = _schema(engine, connection)
        if present == ours:
            return
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def schema_of(engine: Engine) -> tuple[str | None, str | None]:
    """The schema of the records, None where there are none yet, and that of this code; nothing is changed.

    Raises:
        Conflict: If it is newer than this code.
        FabricError: For any error of the database.
    """
    with reading(engine) as connection:
        return _schema(engine, connection)


def _schema(engine: Engine, connection: Connection) -> tuple[str | None, str | None]:
    """The schema of the records and of this code.

    Raises:
        Conflict: If it is newer than this code.
    """
    known = ScriptDirectory.from_config(migrations())
    present, ours = MigrationContext.configure(connection).get_current_revision(), known.get_current_head()
    if present and present != ours and present not in {script.revision for script in known.walk_revisions()}:
        raise Conflict(
            f"{_full_place(engine)}: written by a newer fabric (schema {present}, this one knows up to {ours}). "
            "Start the newer fabric, or choose another state folder.",
            schema=present,
        )
    return present, ours


def _full_place(engine: Engine) -> str:
    return place_of(engine) if is_postgres(engine) else str(engine.url.database)


def migrations() -> Config:
    """Alembic's configuration for the scripts inside this package."""
    config = Config()
    # Alembic reads a percent sign as the beginning of a reference to another option.
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return config
