"""Every foreign error ends at the border of the store."""

import errno
import inspect
import sqlite3
from pathlib import Path

import pytest
from alembic import util as alembic_util
from sqlalchemy import exc

from fabric.core.errors import BadInput, Conflict, Corrupt, FabricError, NotFound, StorageFull, Unavailable
from fabric.store.errors import file_errors, sql_error, sql_errors

FOREIGN = [
    kind
    for module in (exc, alembic_util.exc)
    for _, kind in sorted(inspect.getmembers(module, inspect.isclass))
    if issubclass(kind, Exception) and not issubclass(kind, Warning)
    # What asynchronous drivers raise; it arrives wrapped into one of the others.
    if not issubclass(kind, exc.EmulatedDBAPIException)
]


def made(kind: type[Exception]) -> Exception:
    """An error of `kind`."""
    if issubclass(kind, exc.DBAPIError):
        return kind("SELECT 1", {}, Exception("said"))
    if issubclass(kind, exc.StatementError):
        return kind("said", "SELECT 1", {}, None)
    # Without its constructor, which differs from kind to kind.
    error = kind.__new__(kind)
    error.args = ("said",)
    return error


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: kind.__name__)
def test_every_foreign_error_is_mapped(kind: type[Exception]) -> None:
    with pytest.raises(FabricError), sql_errors("fabric.db"):
        raise made(kind)


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        (exc.IntegrityError, Conflict),
        (exc.OperationalError, Unavailable),
        (exc.InterfaceError, Unavailable),
        (exc.TimeoutError, Unavailable),
        (exc.DataError, BadInput),
        (exc.ArgumentError, FabricError),
        (exc.NoSuchTableError, FabricError),
        (alembic_util.CommandError, Unavailable),
    ],
)
def test_a_foreign_error_becomes_the_kind_that_says_what_to_do(kind: type[Exception], ours: type[FabricError]) -> None:
    with pytest.raises(FabricError, match=r"fabric\.db: ") as raised, sql_errors("fabric.db"):
        raise made(kind)
    assert type(raised.value) is ours


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("SQLITE_FULL", StorageFull),
        ("SQLITE_IOERR_SHMSIZE", StorageFull),
        ("SQLITE_CORRUPT_INDEX", Corrupt),
        ("SQLITE_NOTADB", Corrupt),
        ("SQLITE_BUSY", Unavailable),
        ("SQLITE_READONLY", Unavailable),
        ("SQLITE_IOERR_WRITE", Unavailable),
    ],
)
def test_sqlites_own_name_says_more_than_its_class(name: str, ours: type[FabricError]) -> None:
    original = sqlite3.OperationalError("said so")
    original.sqlite_errorname = name
    error = sql_error(exc.OperationalError("INSERT", {}, original), "fabric.db")
    assert type(error) is ours
    assert error.message.startswith("fabric.db: said so. ")
    assert "INSERT" not in error.message, "people do not read SQL"


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("53100", StorageFull),
        ("53300", Unavailable),
        ("40001", Unavailable),
        ("55P03", Unavailable),
        ("57P01", Unavailable),
        ("25P03", Unavailable),
        ("XX001", Corrupt),
        ("XX000", Unavailable),
        (None, Unavailable),
    ],
)
def test_postgresqls_code_says_more_than_its_class(code: str | None, ours: type[FabricError]) -> None:
    class Original(Exception):
        sqlstate = code

    assert type(sql_error(exc.InternalError("INSERT", {}, Original("said so")), "fabric")) is ours


@pytest.mark.parametrize(
    ("number", "ours"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.ENOENT, NotFound),
        (errno.EACCES, Unavailable),
        (errno.EIO, Unavailable),
    ],
)
def test_errors_of_the_file_system_name_the_file(number: int, ours: type[FabricError]) -> None:
    with pytest.raises(ours, match=r"^/place: "), file_errors(Path("/place")):
        raise OSError(number, "said so")
