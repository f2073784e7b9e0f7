"""What is still kept of work that has ended, and forgetting it; the line that tells so is written with it or before it.

Knows nothing of how long anything is kept. Histories and the ledger stay.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, delete, exists, func, insert, or_, select

from fabric.store.database import SqlTables, reading, writing
from fabric.store.rows import event_row
from fabric.store.schema import EVENTS, POINTS, PROGRESS, STAGES, USES, WORKLOADS
from fabric.workloads.record import Event
from fabric.workloads.states import FINAL, State

RETAINED = "retention: "
"""How a line of a history begins that tells what was removed."""

MOST_NAMES = 500
"""Names in one question to the database."""

_IS_FINAL = WORKLOADS.c.state.in_([state.value for state in FINAL])
_ENDED = func.coalesce(WORKLOADS.c.ended, WORKLOADS.c.submitted)
_COLUMNS = (
    WORKLOADS.c.id,
    WORKLOADS.c.name,
    WORKLOADS.c.project,
    WORKLOADS.c.state,
    WORKLOADS.c.attempt,
    _ENDED.label("ended_at"),
)
_HAS_REPORTED = or_(
    *(exists().where(table.c.workload_id == WORKLOADS.c.id) for table in (PROGRESS, STAGES, USES, POINTS))
)


@dataclass(frozen=True, slots=True)
class Ended:
    """A workload that has ended, or has not."""

    name: str
    project: str
    ended: float | None
    """When, in seconds since the epoch; None while it has not."""


class SqlRetention(SqlTables):
    """Safe to call from any thread."""

    def ends(self, names: Collection[str]) -> Mapping[str, Ended]:
        """When workloads ended, by name; names that nobody has are left out."""
        with reading(self._engine) as connection:
            return {row["name"]: _ended(row) for row in _rows(connection, names)}

    def reported(self, before: float, limit: int) -> Sequence[Ended]:
        """Work that ended before an instant and of whose reports something is kept, that of the first end first.

        Args:
            before: Seconds since the epoch.
            limit: The most to tell.
        """
        with reading(self._engine) as connection:
            return [_ended(row) for row in _reported(connection, before, limit)]

    def num_reported(self, before: float) -> int:
        """How many there are of these."""
        query = select(func.count()).select_from(WORKLOADS).where(_IS_FINAL, _ENDED < before, _HAS_REPORTED)
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def forget_reports(self, before: float, limit: int, said: str) -> int:
        """Forget what such work told of itself and what it used, and say so in its history: all of it, or nothing.

        Args:
            before: Seconds since the epoch.
            limit: Of how many workloads at once.
            said: The line, without `RETAINED`.

        Returns:
            Of how many it was.
        """
        with writing(self._engine) as connection:
            rows = _reported(connection, before, limit)
            keys = [row["id"] for row in rows]
            for table in (PROGRESS, STAGES, POINTS, USES):
                connection.execute(delete(table).where(table.c.workload_id.in_(keys)))
            _say(connection, rows, said, self._now())
        return len(rows)

    def say(self, names: Collection[str], said: str) -> frozenset[str]:
        """Write a line into the histories of those that have ended, unless it is there already.

        Args:
            names: Of workloads.
            said: The line, without `RETAINED`.

        Returns:
            The names of those that have ended.
        """
        with writing(self._engine) as connection:
            rows = [row for row in _rows(connection, names) if State(row["state"]).final]
            line = EVENTS.c.reason == RETAINED + said
            told = select(EVENTS.c.workload_id).where(EVENTS.c.workload_id.in_([row["id"] for row in rows]), line)
            known = set(connection.execute(told).scalars())
            _say(connection, [row for row in rows if row["id"] not in known], said, self._now())
        return frozenset(row["name"] for row in rows)


def _rows(connection: Connection, names: Collection[str]) -> Iterator[RowMapping]:
    wanted = sorted(names)
    for first in range(0, len(wanted), MOST_NAMES):
        some = wanted[first : first + MOST_NAMES]
        yield from connection.execute(select(*_COLUMNS).where(WORKLOADS.c.name.in_(some))).mappings()


def _reported(connection: Connection, before: float, limit: int) -> Sequence[RowMapping]:
    query = select(*_COLUMNS).where(_IS_FINAL, _ENDED < before, _HAS_REPORTED)
    return connection.execute(query.order_by(_ENDED, WORKLOADS.c.id).limit(limit)).mappings().all()


def _ended(row: RowMapping) -> Ended:
    return Ended(row["name"], row["project"], row["ended_at"] if State(row["state"]).final else None)


def _say(connection: Connection, rows: Sequence[RowMapping], said: str, now: float) -> None:
    lines = [
        event_row(Event(row["name"], now, State(row["state"]), RETAINED + said, row["attempt"]), row["id"])
        for row in rows
    ]
    if lines:
        connection.execute(insert(EVENTS), lines)
