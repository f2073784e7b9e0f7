"""Where foreign errors end: SQLAlchemy, Alembic and the file system in, errors of the fabric out.

Knows nothing of what is stored.
"""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from alembic.util import CommandError
from sqlalchemy import exc

from fabric.core.errors import BadInput, Conflict, Corrupt, FabricError, NotFound, StorageFull, Unavailable

SQL_ERRORS: Mapping[type[Exception], type[FabricError]] = {
    exc.IntegrityError: Conflict,
    exc.DataError: BadInput,
    exc.DBAPIError: Unavailable,
    exc.StatementError: BadInput,
    exc.TimeoutError: Unavailable,
    exc.DisconnectionError: Unavailable,
    CommandError: Unavailable,
    exc.SQLAlchemyError: FabricError,
}
"""Foreign class to ours; the nearest base decides. What only a mistake of the fabric can cause is its root."""

SQLITE_ERRORS: Mapping[str, type[FabricError]] = {
    "SQLITE_FULL": StorageFull,
    "SQLITE_IOERR_SHMSIZE": StorageFull,
    "SQLITE_CORRUPT": Corrupt,
    "SQLITE_NOTADB": Corrupt,
}
"""SQLite's own names of errors that say more than their class; a longer name falls back to its beginning."""

POSTGRES_ERRORS: Mapping[str, type[FabricError]] = {
    "53100": StorageFull,
    "XX001": Corrupt,
    "XX002": Corrupt,
    # What another writer or a restart of the server undoes can be asked again; their classes say less.
    "40": Unavailable,
    "55P03": Unavailable,
    "57": Unavailable,
    "25P03": Unavailable,
}
"""PostgreSQL's own codes of errors that say more than their class (its manual, appendix A); the longest wins."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Numbers of the operating system for no room left on a disk, in a quota or in a file."""

_REMEDIES: Mapping[type[FabricError], str] = {
    StorageFull: "Free some space there and try again; what was written before is intact.",
    Corrupt: "Move the file away and restore it from a copy.",
    Unavailable: "Try again; if it stays, look at the disk, at who else has the file open, or at the server.",
    Conflict: "Another write came first; read again and decide anew.",
    BadInput: "A value cannot be stored as it is.",
    FabricError: "This is a mistake of the fabric, not of the caller.",
}


def sql_error(error: Exception, place: str) -> FabricError:
    """The fabric's error for one of SQLAlchemy or Alembic.

    Args:
        error: What was raised.
        place: Name of the database, for people.
    """
    kind = (
        _by_sqlite_name(error)
        or _by_postgres_code(error)
        or next(SQL_ERRORS[base] for base in type(error).__mro__ if base in SQL_ERRORS)
    )
    said = str(getattr(error, "orig", None) or error).splitlines()[0]
    return kind(f"{place}: {said}. {_REMEDIES[kind]}", place=place)


def _by_sqlite_name(error: Exception) -> type[FabricError] | None:
    name = getattr(getattr(error, "orig", None), "sqlite_errorname", "")
    return next((kind for known, kind in SQLITE_ERRORS.items() if name == known or name.startswith(f"{known}_")), None)


def _by_postgres_code(error: Exception) -> type[FabricError] | None:
    code = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return next((POSTGRES_ERRORS[code[:n]] for n in range(len(code), 0, -1) if code[:n] in POSTGRES_ERRORS), None)


def file_error(error: OSError, path: Path) -> FabricError:
    """The fabric's error for one of the file system at `path`."""
    if error.errno in FULL:
        return StorageFull(f"{path}: {error.strerror}. {_REMEDIES[StorageFull]}", path=str(path))
    if isinstance(error, FileNotFoundError):
        return NotFound(f"{path}: no such file or folder", path=str(path))
    return Unavailable(f"{path}: {error.strerror or error}. {_REMEDIES[Unavailable]}", path=str(path))


@contextmanager
def sql_errors(place: str) -> Iterator[None]:
    """Raise the fabric's errors for what SQLAlchemy or Alembic raise inside.

    Raises:
        FabricError: Of the kind in `SQL_ERRORS`.
    """
    try:
        yield
    except (exc.SQLAlchemyError, CommandError) as error:
        mapped = sql_error(error, place)
        raise mapped from error


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Raise the fabric's errors for what the file system raises inside.

    Raises:
        FabricError: `StorageFull`, `NotFound` or `Unavailable`, naming `path`.
    """
    try:
        yield
    except OSError as error:
        mapped = file_error(error, path)
        raise mapped from error
