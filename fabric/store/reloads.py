"""When the site file was read again: by whom, and what came of it.

Knows nothing of what is in the file.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select

from fabric.store.database import SqlTables, reading, writing
from fabric.store.rows import storable
from fabric.store.schema import RELOADS
from fabric.store.site_events import SiteEvent, note


@dataclass(frozen=True, slots=True)
class Reload:
    """One reading."""

    at: float
    """Seconds since the epoch."""
    by: str
    """Who asked for it."""
    changed: tuple[str, ...] = ()
    """Settings that hold from then on."""
    waiting: tuple[str, ...] = ()
    """Settings that hold once control is started again."""
    refused: str = ""
    """Why it changed nothing; empty if it was not refused."""


class SqlReloads(SqlTables):
    """Readings of the site file; safe to call from any thread."""

    def add_reload(self, reload: Reload) -> None:
        """Append one."""
        row = {
            "at": reload.at, "by": storable(reload.by), "changed": json.dumps(reload.changed),
            "waiting": json.dumps(reload.waiting), "refused": storable(reload.refused),
        }  # fmt: skip
        kind = "reload_refused" if reload.refused else "reloaded"
        with writing(self._engine) as connection:
            connection.execute(insert(RELOADS), row)
            note(connection, [SiteEvent(reload.at, kind, "", _said(reload), by=reload.by)])

    def reloads(self, limit: int = 100) -> Sequence[Reload]:
        """The newest `limit`, newest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(RELOADS).order_by(RELOADS.c.id.desc()).limit(limit)).mappings()
            return tuple(
                Reload(
                    row["at"], row["by"], tuple(json.loads(row["changed"])), tuple(json.loads(row["waiting"])),
                    row["refused"],
                )
                for row in rows
            )  # fmt: skip


def _said(reload: Reload) -> str:
    """What came of a reading, in one line."""
    if reload.refused:
        return reload.refused
    changed = f"changed {', '.join(reload.changed)}" if reload.changed else "nothing changed"
    return changed + (f"; after a restart: {', '.join(reload.waiting)}" if reload.waiting else "")
