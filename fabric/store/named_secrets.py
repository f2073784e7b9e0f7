"""Secrets of projects by name: what one holds, who said so and when.

Knows nothing of which workloads are told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, and_, delete, insert, select

from fabric.store.database import SqlTables, reading, writing
from fabric.store.rows import storable
from fabric.store.schema import NAMED_SECRETS as _TABLE


@dataclass(frozen=True, slots=True)
class NamedSecret:
    """One secret."""

    project: str
    name: str
    value: str = field(repr=False)
    by: str
    """Who said last what it holds."""
    at: float
    """When, in seconds since the epoch."""


class SqlNamedSecrets(SqlTables):
    """Secrets of projects; safe to call from any thread."""

    def put_named_secret(self, secret: NamedSecret) -> None:
        """Remember it, in place of what was held under its name before."""
        row = {
            "project": secret.project, "name": secret.name, "value": secret.value, "by": storable(secret.by),
            "at": secret.at,
        }  # fmt: skip
        with writing(self._engine) as connection:
            connection.execute(delete(_TABLE).where(_is(secret.project, secret.name)))
            connection.execute(insert(_TABLE), row)

    def drop_named_secret(self, project: str, name: str) -> bool:
        """Forget it; whether there was one."""
        with writing(self._engine) as connection:
            return connection.execute(delete(_TABLE).where(_is(project, name))).rowcount > 0

    def named_secrets(self, project: str) -> Sequence[NamedSecret]:
        """All of a project, by name."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(_TABLE).where(_TABLE.c.project == project).order_by(_TABLE.c.name))
            return tuple(NamedSecret(**row) for row in rows.mappings())

    def named_secret(self, project: str, name: str) -> str | None:
        """What one holds; None if there is none of that name."""
        with reading(self._engine) as connection:
            return connection.execute(select(_TABLE.c.value).where(_is(project, name))).scalar_one_or_none()


def _is(project: str, name: str) -> ColumnElement[bool]:
    return and_(_TABLE.c.project == project, _TABLE.c.name == name)
