"""What should be: workloads, their grants and their history, in SQL.

Knows nothing of schedulers or HTTP; safe to call from any thread.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, delete, func, insert, select, true, update

from fabric.core.errors import Conflict, NotFound
from fabric.scheduler.ports import News
from fabric.scheduler.snapshot import Told
from fabric.store.alias_moves import SqlAliasMoves
from fabric.store.database import reading, writing
from fabric.store.drains import SqlDrains
from fabric.store.history import SqlHistory
from fabric.store.intake import SqlIntake
from fabric.store.keys import SqlKeys
from fabric.store.ledger import SqlLedger, write_changes
from fabric.store.occupancy import SqlOccupancy
from fabric.store.outbox import SqlOutbox
from fabric.store.people import SqlPeople
from fabric.store.points import SqlPoints
from fabric.store.reloads import SqlReloads
from fabric.store.reports import SqlReports, told_of
from fabric.store.rows import event_of, event_row, loop_columns, record_of, storable
from fabric.store.schema import API_KEYS, EVENTS, PROGRESS, WORKLOADS
from fabric.store.site_events import SqlSiteEvents, forget_work, note_moves, note_warning
from fabric.store.uses import SqlUses
from fabric.workloads.record import Event, Record
from fabric.workloads.states import FINAL, State

MOST_LISTED = 1000
"""Workloads in one list, and events in one history, unless told otherwise."""

_IS_FINAL = WORKLOADS.c.state.in_([state.value for state in FINAL])
_RUNS = WORKLOADS.c.state.in_([State.STARTING.value, State.RUNNING.value, State.RESIZING.value, State.DRAINING.value])
_IS_LIVE = WORKLOADS.c.state.in_([state.value for state in State if not state.final])
# Put together once, as that takes longer than running it.
_BY_NAME = select(WORKLOADS).where(WORKLOADS.c.name == bindparam("called"))
_HOW_MANY_LIVE = select(func.count()).select_from(WORKLOADS).where(_IS_LIVE)
_LIVE_SERVICES = select(WORKLOADS).where(_IS_LIVE, WORKLOADS.c.kind == "service").order_by(WORKLOADS.c.id)


class SqlRecords(
    SqlIntake, SqlReports, SqlPoints, SqlKeys, SqlPeople, SqlHistory, SqlLedger, SqlDrains, SqlOutbox, SqlReloads,
    SqlAliasMoves, SqlOccupancy, SqlSiteEvents, SqlUses,
):  # fmt: skip
    """The port `fabric.scheduler.ports.Records`, and everything that the interfaces to people need beside it.

    What a method has returned from is on the disk. Columns are owned: `save` writes those of the loop, `request_stop`
    and `scale` those of people, so neither undoes the other however they interleave.
    """

    def active(self) -> Mapping[str, Record]:
        """Every workload that is not final, and the final ones that one of them comes after, by name."""
        with reading(self._engine) as connection:
            return _active(connection)

    def num_active(self) -> int:
        """How many workloads are not final."""
        with reading(self._engine) as connection:
            return int(connection.execute(_HOW_MANY_LIVE).scalar_one())

    def services(self) -> tuple[Record, ...]:
        """Every service that is not final, oldest first."""
        with reading(self._engine) as connection:
            return tuple(record_of(row) for row in connection.execute(_LIVE_SERVICES).mappings())

    def news(self, since: int) -> News:
        """Workloads that are not final and came after number `since`, or that somebody asked to end or to resize.

        The final ones that they come after are told with them, and what those that run tell of themselves.
        """
        asked = (WORKLOADS.c.id > since) | WORKLOADS.c.stop_requested | WORKLOADS.c.wants.is_not(None)
        with reading(self._engine) as connection:
            newest = connection.execute(select(func.max(WORKLOADS.c.id))).scalar() or 0
            return News(_with_those_before(connection, asked), max(since, newest), _told(connection))

    def save(self, changes: Sequence[Record], events: Sequence[Event]) -> None:
        """Write the loop's columns of all `changes` and append `events`, or nothing.

        What was deleted in the meantime stays deleted, even if another workload took its name.
        """
        with writing(self._engine) as connection:
            kept = _rows(connection, {record.name for record in changes} | {event.workload for event in events})
            born = {record.name: record.at.submitted for record in changes}
            kept = {name: row for name, row in kept.items() if born.get(name, row["submitted"]) == row["submitted"]}
            alive = {name: row["id"] for name, row in kept.items()}
            rows = [{"key": alive[r.name], **loop_columns(r)} for r in changes if r.name in alive]
            if rows:
                now = max((event.at for event in events), default=self._now())
                write_changes(connection, kept, [record for record in changes if record.name in alive], now)
                connection.execute(update(WORKLOADS).where(WORKLOADS.c.id == bindparam("key")), rows)
            lines = [event_row(event, alive[event.workload]) for event in events if event.workload in alive]
            if lines:
                connection.execute(insert(EVENTS), lines)
                note_moves(connection, kept, events)

    def get(self, name: str) -> Record:
        """One workload.

        Raises:
            NotFound: If there is none of that name.
        """
        with reading(self._engine) as connection:
            return record_of(_existing(connection, name))

    def list(
        self,
        project: str | None = None,
        states: Collection[State] | None = None,
        limit: int = MOST_LISTED,
        kind: str | None = None,
    ) -> tuple[Record, ...]:
        """Workloads, newest first, of one project, of some states or of one kind."""
        matching = _matching(project, states)
        if kind is not None:
            matching.append(WORKLOADS.c.kind == kind)
        with reading(self._engine) as connection:
            return _newest(connection, matching, 0, limit)

    def search(
        self,
        text: str,
        project: str | None = None,
        states: Collection[State] | None = None,
        *,
        offset: int = 0,
        limit: int = MOST_LISTED,
    ) -> tuple[tuple[Record, ...], int]:
        """Workloads whose names contain `text`, newest first, without the first `offset`; and how many match in all."""
        matching = _matching(project, states)
        if text:
            # Every database has `replace` and takes letters as they are; they differ in how they find a text.
            matching.append(func.replace(WORKLOADS.c.name, text, "") != WORKLOADS.c.name)
        with reading(self._engine) as connection:
            number = connection.execute(select(func.count()).select_from(WORKLOADS).where(*matching)).scalar_one()
            return _newest(connection, matching, offset, limit), number

    def starts(self, project: str | None = None, limit: int = MOST_LISTED) -> tuple[tuple[float, float], ...]:
        """First promised and actual start of present or last attempts that have both, newest workload first.

        Args:
            project: Only of this one.
            limit: The most to look at.

        Returns:
            Pairs of instants in seconds since the epoch.
        """
        promised, granted = WORKLOADS.c.promised_start, WORKLOADS.c.granted
        query = select(promised, granted).where(promised.is_not(None), granted.is_not(None))
        if project is not None:
            query = query.where(WORKLOADS.c.project == project)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(WORKLOADS.c.id.desc()).limit(limit))
            return tuple((row[0], row[1]) for row in rows)

    def request_stop(self, name: str, reason: str) -> Record:
        """Remember that somebody wants a workload ended; the first reason stays, and one that has ended is left alone.

        Raises:
            NotFound: If there is none of that name.
        """
        wanted = update(WORKLOADS).where(WORKLOADS.c.name == name, ~_IS_FINAL, ~WORKLOADS.c.stop_requested)
        with writing(self._engine) as connection:
            connection.execute(wanted.values(stop_requested=True, stop_request_reason=storable(reason)))
            return record_of(_existing(connection, name))

    def request_stops(self, names: Sequence[str], reason: str) -> None:
        """The same for several workloads; those that are gone by now are left out."""
        wanted = update(WORKLOADS).where(WORKLOADS.c.name.in_(names), ~_IS_FINAL, ~WORKLOADS.c.stop_requested)
        with writing(self._engine) as connection:
            connection.execute(wanted.values(stop_requested=True, stop_request_reason=storable(reason)))

    def scale(self, name: str, workers: int) -> Record:
        """Remember how many workers of its elastic group somebody wants; one that has ended is left alone.

        Raises:
            NotFound: If there is none of that name.
        """
        with writing(self._engine) as connection:
            mine = update(WORKLOADS).where(WORKLOADS.c.name == name, ~_IS_FINAL)
            connection.execute(mine.values(wants=workers))
            return record_of(_existing(connection, name))

    def delete(self, name: str) -> None:
        """Forget a workload that has ended, with its history, secrets and keys; its name is free again.

        Raises:
            NotFound: If there is none of that name.
            Conflict: If it has not ended, or another one waits for its success.
        """
        self.delete_all((name,))

    def delete_all(self, names: Sequence[str]) -> None:
        """The same for several workloads, or for none of them.

        Raises:
            NotFound: If there is none of a name.
            Conflict: If one has not ended, or another one waits for its success.
        """
        with writing(self._engine) as connection:
            rows = [_existing(connection, name) for name in names]
            alive = next((row for row in rows if not State(row["state"]).final), None)
            if alive is not None:
                name = alive["name"]
                raise Conflict(f"{name} is {alive['state']}. Stop it first, then delete it.", name=name)
            waiting = [record for record in _active(connection).values() if not record.state.final]
            for name in sorted({first for record in waiting for first in record.spec.after} & set(names)):
                after = sorted(record.name for record in waiting if name in record.spec.after)
                raise Conflict(f"{', '.join(after)} comes after {name}. Delete it when that has ended.", name=name)
            connection.execute(delete(API_KEYS).where(API_KEYS.c.workload.in_(names)))
            forget_work(connection, names)
            connection.execute(delete(WORKLOADS).where(WORKLOADS.c.id.in_([row["id"] for row in rows])))

    def events(self, name: str, limit: int = MOST_LISTED) -> tuple[Event, ...]:
        """The newest `limit` lines of a workload's history, oldest first.

        Raises:
            NotFound: If there is none of that name.
        """
        newest = EVENTS.c.id.desc()
        with reading(self._engine) as connection:
            mine = EVENTS.c.workload_id == _existing(connection, name)["id"]
            rows = connection.execute(select(EVENTS).where(mine).order_by(newest).limit(limit)).mappings().all()
        return tuple(event_of(row, name) for row in reversed(rows))

    def add_event(self, event: Event) -> None:
        """Append one line to a workload's history.

        Raises:
            NotFound: If there is no such workload.
        """
        with writing(self._engine) as connection:
            row = _existing(connection, event.workload)
            connection.execute(insert(EVENTS), event_row(event, row["id"]))
            note_warning(connection, row["project"], event)


def _matching(project: str | None, states: Collection[State] | None) -> list[ColumnElement[bool]]:
    mine = [] if project is None else [WORKLOADS.c.project == project]
    return mine if states is None else [*mine, WORKLOADS.c.state.in_([state.value for state in states])]


def _newest(
    connection: Connection, matching: Sequence[ColumnElement[bool]], offset: int, limit: int
) -> tuple[Record, ...]:
    newest = select(WORKLOADS).order_by(WORKLOADS.c.submitted.desc(), WORKLOADS.c.id.desc())
    rows = connection.execute(newest.where(*matching).offset(offset).limit(limit)).mappings()
    return tuple(record_of(row) for row in rows)


def _row(connection: Connection, name: str) -> RowMapping | None:
    return connection.execute(_BY_NAME, {"called": name}).mappings().one_or_none()


def _existing(connection: Connection, name: str) -> RowMapping:
    row = _row(connection, name)
    if row is None:
        raise NotFound(f"there is no workload {name}", name=name)
    return row


def _rows(connection: Connection, names: Collection[str]) -> dict[str, RowMapping]:
    """What must be known of workloads before they are written anew, by name."""
    table = WORKLOADS.c
    columns = select(
        table.name, table.id, table.project, table.kind, table.submitted, table.state, table.attempt, table.grant
    )  # fmt: skip
    rows = connection.execute(columns.where(WORKLOADS.c.name.in_(names))).mappings()
    return {row["name"]: row for row in rows}


def _active(connection: Connection) -> dict[str, Record]:
    return _with_those_before(connection, true())


def _with_those_before(connection: Connection, told: ColumnElement[bool]) -> dict[str, Record]:
    """The active workloads that `told` says, and those that they come after."""
    rows = connection.execute(select(WORKLOADS).where(_IS_LIVE, told).order_by(WORKLOADS.c.id)).mappings()
    records = {row["name"]: record_of(row) for row in rows}
    before = {name for record in records.values() for name in record.spec.after} - records.keys()
    if before:
        rows = connection.execute(select(WORKLOADS).where(WORKLOADS.c.name.in_(before))).mappings()
        records |= {row["name"]: record_of(row) for row in rows}
    return records


def _told(connection: Connection) -> dict[str, Told]:
    """What those that run have told in their present attempt, by name."""
    present = (PROGRESS.c.workload_id == WORKLOADS.c.id) & (PROGRESS.c.attempt == WORKLOADS.c.attempt)
    rows = connection.execute(select(WORKLOADS.c.name, PROGRESS).join(PROGRESS, present).where(_RUNS)).mappings()
    return {row["name"]: told_of(row) for row in rows}
