"""The lines of all histories in the order of writing, for whoever passes them on.

Knows nothing of who that is; a number says how far he has come.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from fabric.store.database import SqlTables, reading
from fabric.store.rows import event_of
from fabric.store.schema import EVENTS, WORKLOADS
from fabric.workloads.record import Event


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a history."""

    number: int
    """Larger than that of every earlier line that is still there."""
    event: Event
    project: str


class SqlOutbox(SqlTables):
    """Reads the lines of all workloads that are still known."""

    def newest_line(self, before: float | None = None) -> int:
        """The largest number so far, or of what was written before an instant; 0 where nothing was."""
        query = select(func.max(EVENTS.c.id))
        with reading(self._engine) as connection:
            return connection.execute(query if before is None else query.where(EVENTS.c.at < before)).scalar() or 0

    def line_at(self, number: int) -> float | None:
        """When a line was written, in seconds since the epoch; None where it went with its workload.

        SQLite gives the number of a last line that went to the next one, so whoever goes by numbers asks this first.
        """
        with reading(self._engine) as connection:
            return connection.execute(select(EVENTS.c.at).where(EVENTS.c.id == number)).scalar()

    def lines(self, after: int, limit: int) -> Sequence[Line]:
        """The first lines behind a number, oldest first."""
        owned = select(EVENTS, WORKLOADS.c.name, WORKLOADS.c.project).join(
            WORKLOADS, WORKLOADS.c.id == EVENTS.c.workload_id
        )
        with reading(self._engine) as connection:
            rows = connection.execute(owned.where(EVENTS.c.id > after).order_by(EVENTS.c.id).limit(limit)).mappings()
            return tuple(Line(row["id"], event_of(row, row["name"]), row["project"]) for row in rows)
