"""Aliases of models that people moved by hand: from where to where, by whom and why.

Knows nothing of the registry, which has the aliases themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from fabric.store.database import SqlTables, reading, writing
from fabric.store.rows import storable
from fabric.store.schema import ALIAS_MOVES as _TABLE


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One move."""

    project: str
    model: str
    alias: str
    version: int
    """Where the alias points since."""
    before: int | None
    """Where it pointed before; None where it was new."""
    by: str
    reason: str
    at: float
    """Seconds since the epoch."""


class SqlAliasMoves(SqlTables):
    """Moves by hand; safe to call from any thread."""

    def add_alias_move(self, move: AliasMove) -> int:
        """Append one; its number."""
        row = {
            "project": move.project, "model": move.model, "alias": move.alias, "version": move.version,
            "before": move.before, "by": storable(move.by), "reason": storable(move.reason), "at": move.at,
        }  # fmt: skip
        with writing(self._engine) as connection:
            made = connection.execute(insert(_TABLE).returning(_TABLE.c.id), row)
            return int(made.scalar_one())

    def drop_alias_move(self, number: int) -> None:
        """Forget one that came to nothing."""
        with writing(self._engine) as connection:
            connection.execute(delete(_TABLE).where(_TABLE.c.id == number))

    def alias_moves(self, project: str, model: str, limit: int = 100) -> Sequence[AliasMove]:
        """The newest `limit` of a model, newest first."""
        fields = [_TABLE.c[name] for name in AliasMove.__dataclass_fields__]
        mine = (_TABLE.c.project == project) & (_TABLE.c.model == model)
        query = select(*fields).where(mine).order_by(_TABLE.c.id.desc()).limit(limit)
        with reading(self._engine) as connection:
            return tuple(AliasMove(**row) for row in connection.execute(query).mappings())
