"""PostgreSQL as the store: connections that notice a dead server, and one writer at a time as in SQLite.

Knows nothing of the tables.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text

from fabric.config.store import Store
from fabric.core.errors import BadConfig
from fabric.store.errors import file_errors

LONGEST_WAIT_MS = 10_000
"""Longest wait for another writer in milliseconds, as `BUSY_TIMEOUT_MS` is in SQLite."""

IDLE_MS = 4_000
"""How long a transaction may stand still, in milliseconds, before the server ends it: whoever was stopped or cut off in
the middle of one would keep everybody else from writing. Ours send their next statement within milliseconds."""

LONGEST_NAME = 63
"""Letters of a session's name that PostgreSQL keeps."""

_WRITERS = 0xFAB1
"""Number of the lock that whoever writes holds until the end of the transaction; any constant."""

_CONNECTION = {
    "connect_timeout": 5,
    # A server that went away without a word is noticed within some 10 s.
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": LONGEST_WAIT_MS,
    "options": f"-c lock_timeout={LONGEST_WAIT_MS} -c idle_in_transaction_session_timeout={IDLE_MS} -c timezone=UTC",
}


def postgres_engine(store: Store, process: str = "fabric") -> Engine:
    """An engine for the PostgreSQL of `store`; nothing is connected yet.

    Args:
        store: Which.
        process: Name of this process, by which its sessions are known to the server.

    Raises:
        ValueError: If it names none.
    """
    if store.url is None:
        raise ValueError("the store names no database")
    url = make_url(store.url).set(drivername="postgresql+psycopg")
    # A connection that a restart of the server broke is replaced before it is used.
    told = {**_CONNECTION, "application_name": process[:LONGEST_NAME]}
    engine = create_engine(url, connect_args=told, pool_pre_ping=True, isolation_level="READ COMMITTED")
    if store.password_file is not None:
        _use_password(engine, Path(store.password_file))
    return engine


def begin_writing(connection: Connection) -> None:
    """Wait until nobody else writes; until the end of the transaction nobody will.

    So what was read in it stays true, as in SQLite, and numbers of rows become visible in the order in which they were
    given out: who reads "all after number 7" misses none.
    """
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")


def end_sessions(connection: Connection, process: str) -> None:
    """End what a process has open here, with the locks that it holds.

    The server ends transactions that stand still by itself, but not one whose client was stopped while it sent several
    statements at once: to the server that is not idle.
    """
    mine = "datname = current_database() AND usename = current_user AND application_name = :process"
    query = text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}")  # noqa: S608 - no values in it
    connection.execute(query, {"process": process[:LONGEST_NAME]})


READING: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""Options of a connection that sees everything as it was at one instant."""


def place(engine: Engine) -> str:
    """The database for people, without secrets."""
    url = engine.url
    return f"PostgreSQL database {url.database} on {url.host or url.query.get('host') or 'this machine'}"


def _use_password(engine: Engine, file: Path) -> None:
    @event.listens_for(engine, "do_connect")
    def with_password(dialect: Any, record: object, words: list[Any], options: dict[str, Any]) -> None:
        options["password"] = read_password(file)


def read_password(file: Path) -> str:
    """The first line of a file that only its owner may read.

    Raises:
        BadConfig: If others may read it too, or it is empty.
        NotFound: If there is none.
        Unavailable: If it cannot be read.
    """
    with file_errors(file):
        mode, text = file.stat().st_mode, file.read_text(encoding="utf-8")
    if mode & 0o077:
        raise BadConfig(f"{file}: others than its owner may read this password. Run: chmod 600 {file}", path=str(file))
    secret = text.partition("\n")[0].strip()
    if not secret:
        raise BadConfig(f"{file}: its first line holds no password", path=str(file))
    return secret
