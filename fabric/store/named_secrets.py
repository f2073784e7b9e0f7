"""Secrets of projects by name: what one holds, sealed; who said so and when.

Knows nothing of which workloads are told. A value is bound to its project and name, so that no row can stand in for
another one.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, and_, delete, insert, select, update

from fabric.store.database import SqlTables, is_postgres, place_of, reading, writing
from fabric.store.errors import sql_errors
from fabric.store.keyring import Keyring, Sealed
from fabric.store.rows import storable
from fabric.store.schema import NAMED_SECRETS as _TABLE


@dataclass(frozen=True, slots=True)
class NamedSecret:
    """One secret, without what it holds."""

    project: str
    name: str
    by: str
    """Who said last what it holds."""
    at: float
    """When, in seconds since the epoch."""


class SqlNamedSecrets(SqlTables):
    """Secrets of projects; safe to call from any thread.

    Args:
        engine: The open database.
        keyring: Seals and opens what they hold.
    """

    def __init__(self, engine: Engine, keyring: Keyring) -> None:
        super().__init__(engine)
        self._keyring = keyring

    def put_named_secret(self, secret: NamedSecret, value: str) -> None:
        """Remember what it holds, in place of what was held under its name before.

        Raises:
            FabricError: If there is no key to seal it with.
        """
        with writing(self._engine) as connection:
            # Here, so that a new key that has sealed everything again finds nothing sealed with the old one afterwards.
            sealed = self._keyring.seal(value, _place(secret.project, secret.name))
            row = {
                "project": secret.project, "name": secret.name, "by": storable(secret.by), "at": secret.at,
                **_columns(sealed),
            }  # fmt: skip
            connection.execute(delete(_TABLE).where(_is(secret.project, secret.name)))
            connection.execute(insert(_TABLE), row)

    def drop_named_secret(self, project: str, name: str) -> bool:
        """Forget it; whether there was one."""
        with writing(self._engine) as connection:
            return connection.execute(delete(_TABLE).where(_is(project, name))).rowcount > 0

    def named_secrets(self, project: str) -> Sequence[NamedSecret]:
        """All of a project, by name."""
        columns = (_TABLE.c.project, _TABLE.c.name, _TABLE.c.by, _TABLE.c.at)
        with reading(self._engine) as connection:
            rows = connection.execute(select(*columns).where(_TABLE.c.project == project).order_by(_TABLE.c.name))
            return tuple(NamedSecret(**row) for row in rows.mappings())

    def named_secret(self, project: str, name: str) -> str | None:
        """What one holds; None if there is none of that name.

        Raises:
            Unavailable: If its key is lost; with the remedy.
        """
        with reading(self._engine) as connection:
            row = connection.execute(select(_TABLE).where(_is(project, name))).mappings().one_or_none()
        return None if row is None else self._opened(row)

    def seal_plain(self) -> int:
        """Seal what an earlier fabric kept as plain text; how many.

        Raises:
            FabricError: If there is no key to seal it with.
        """
        return self._sealed_again(_TABLE.c.sealed_with.is_(None))

    def seal_again(self) -> int:
        """Seal with the first key whatever is sealed with another one, all of it or nothing; how many.

        Raises:
            FabricError: If a key is lost; name and remedy are said.
        """
        first = self._keyring.ids()[:1]
        return self._sealed_again(_TABLE.c.sealed_with.is_distinct_from(first[0] if first else None))

    def lost(self) -> Mapping[str, Sequence[str]]:
        """`PROJECT/NAME` of secrets that no key opens, by the id of the key that would."""
        return lost_of(self._engine, self._keyring)

    def _sealed_again(self, which: ColumnElement[bool]) -> int:
        """Seal rows with the first key.

        Raises:
            FabricError: If one cannot be opened or sealed.
        """
        with writing(self._engine) as connection:
            rows = connection.execute(select(_TABLE).where(which)).mappings().all()
            if rows:
                _overwrite_what_goes(connection)
            for row in rows:
                place = _place(row["project"], row["name"])
                change = _columns(self._keyring.seal(self._opened(row), place))
                connection.execute(update(_TABLE).where(_is(row["project"], row["name"])).values(**change))
        if rows and not is_postgres(self._engine):
            _empty_log(self._engine)
        return len(rows)

    def _opened(self, row: RowMapping) -> str:
        """What a row holds.

        Raises:
            Unavailable: If nobody can tell.
        """
        if row["sealed_with"] is None:
            return str(row["value"])
        project, name = row["project"], row["name"]
        sealed = Sealed(row["sealed_with"], row["value"])
        return self._keyring.open(sealed, _place(project, name), f"secret {name} of project {project}")


def lost_of(engine: Engine, keyring: Keyring) -> Mapping[str, Sequence[str]]:
    """`PROJECT/NAME` of secrets that no key opens, by the id of the key that would.

    Args:
        engine: The database.
        keyring: The keys there are.
    """
    known = keyring.ids()
    query = select(_TABLE.c.sealed_with, _TABLE.c.project, _TABLE.c.name).order_by(_TABLE.c.project, _TABLE.c.name)
    found: dict[str, list[str]] = {}
    with reading(engine) as connection:
        for key, project, name in connection.execute(query):
            if key is not None and key not in known:
                found.setdefault(key, []).append(f"{project}/{name}")
    return found


def _overwrite_what_goes(connection: Connection) -> None:
    """Let SQLite write zeros over rows that change, instead of leaving them in free parts of the file."""
    if not is_postgres(connection.engine):
        connection.exec_driver_sql("PRAGMA secure_delete=ON")


def _empty_log(engine: Engine) -> None:
    """Let SQLite bring what it wrote ahead into its file now: the old rows stay in there until it is used again."""
    with sql_errors(place_of(engine)), closing(engine.raw_connection()) as connection:
        # Not within a transaction, with which connections of the engine begin.
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _columns(sealed: Sealed) -> dict[str, str]:
    return {"value": sealed.text, "sealed_with": sealed.key}


def _place(project: str, name: str) -> str:
    return f"named_secrets/{project}/{name}"


def _is(project: str, name: str) -> ColumnElement[bool]:
    return and_(_TABLE.c.project == project, _TABLE.c.name == name)
