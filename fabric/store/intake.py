"""Workloads that are taken in: many at the same time in one transaction, each once.

Knows nothing of who asks; safe to call from any thread.
"""

import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from sqlalchemy import Connection, Engine, bindparam, insert, select

from fabric.core.errors import Conflict, FabricError
from fabric.core.ids import element_key, element_name
from fabric.store.database import SqlTables, reading, writing
from fabric.store.group_commit import GroupCommit
from fabric.store.rows import event_row, new_row, record_of
from fabric.store.schema import EVENTS, WORKLOADS
from fabric.store.site_events import note_deployed
from fabric.workloads.record import Event, Record

# Made once: putting a statement together takes longer than running it.
_OF_KEY = select(WORKLOADS).where(
    WORKLOADS.c.project == bindparam("by"), WORKLOADS.c.idempotency_key == bindparam("key")
)
_OF_NAME = select(WORKLOADS.c.id).where(WORKLOADS.c.name == bindparam("called"))
_NEW, _FIRST_EVENT = insert(WORKLOADS), insert(EVENTS)


class SqlIntake(SqlTables):
    """Takes in workloads."""

    def __init__(self, engine: Engine, now: Callable[[], float] = time.time) -> None:
        """Use the tables of `engine`; `now` gives the present instant in seconds since the epoch."""
        super().__init__(engine, now)
        self._group = GroupCommit(self._take_in)

    def submit(self, record: Record, idempotency_key: str | None = None) -> Record:
        """Take in a new workload, with the first line of its history.

        Args:
            record: As it should be; queued.
            idempotency_key: Word that the caller repeats with a repeated request; unique in the project.

        Returns:
            `record`, or the workload that the same key and spec made before (whatever became of it since).

        Raises:
            Conflict: If the name is taken, or the key was used with another spec.
            BadInput: If the spec cannot be stored.
        """
        return self._group.put((record, idempotency_key, new_row(record, idempotency_key)))

    def submit_array(self, records: Sequence[Record], idempotency_key: str | None = None) -> tuple[Record, ...]:
        """Take in the elements of an array, each with the first line of its history, or none of them.

        Args:
            records: As they should be, by number; queued.
            idempotency_key: Word that the caller repeats with a repeated request; unique in the project.

        Returns:
            `records`, or those of them that the same key made before and that are still there.

        Raises:
            Conflict: If a name is taken, or the key was used with another spec.
            BadInput: If a spec cannot be stored.
        """
        keys = [element_key(idempotency_key, index) if idempotency_key else None for index in range(len(records))]
        rows = [new_row(record, key) for record, key in zip(records, keys, strict=True)]
        asked, names = dict(zip(keys, records, strict=True)), [record.name for record in records]
        with writing(self._engine) as connection:
            mine = (WORKLOADS.c.project == records[0].spec.project) & WORKLOADS.c.idempotency_key.in_(keys)
            if idempotency_key is not None:
                earlier = connection.execute(select(WORKLOADS).where(mine).order_by(WORKLOADS.c.id)).mappings().all()
                if earlier:
                    # Those of an array whose size was another one may not all be among them.
                    made = [(row["idempotency_key"], record_of(row)) for row in earlier]
                    return tuple(_same(asked[key], record, idempotency_key) for key, record in made)
            taken = connection.execute(select(WORKLOADS.c.name).where(WORKLOADS.c.name.in_(names))).scalars().all()
            if taken or (of_array := elements_of(connection, array_of(records[0]))):
                _refuse_array(records[0], min(taken, default="") or of_array[0].name)
            connection.execute(_NEW, rows)
            numbers = connection.execute(select(WORKLOADS.c.name, WORKLOADS.c.id).where(WORKLOADS.c.name.in_(names)))
            ids = {name: number for name, number in numbers}
            connection.execute(_FIRST_EVENT, [event_row(_first_event(record), ids[record.name]) for record in records])
        return tuple(records)

    def of_key(self, project: str, idempotency_key: str) -> Record | None:
        """What a project submitted with a key; None if nothing, or it was deleted."""
        with reading(self._engine) as connection:
            row = connection.execute(_OF_KEY, {"by": project, "key": idempotency_key}).mappings().one_or_none()
            return None if row is None else record_of(row)

    def elements(self, array: str) -> tuple[Record, ...]:
        """The elements of an array, by number; none if there is no such array."""
        with reading(self._engine) as connection:
            return elements_of(connection, array)

    def _take_in(self, asked: Sequence[tuple[Record, str | None, dict[str, object]]]) -> list[Record | FabricError]:
        answers: list[Record | FabricError] = []
        with writing(self._engine) as connection:
            for record, key, row in asked:
                try:
                    answers.append(_taken_in(connection, record, key, row))
                except Conflict as error:  # told before anything of it was written
                    answers.append(error)
        return answers


def _taken_in(connection: Connection, record: Record, key: str | None, row: dict[str, object]) -> Record:
    """Write a workload, unless it is there.

    Raises:
        Conflict: If the name is taken, or the key was used with another spec.
    """
    if key is not None:
        earlier = connection.execute(_OF_KEY, {"by": record.spec.project, "key": key}).mappings().one_or_none()
        if earlier is not None:
            return _same(record, record_of(earlier), key)
    if connection.execute(_OF_NAME, {"called": record.name}).first() is not None:
        raise Conflict(
            f"there is a workload {record.name} already. Choose another name, or delete it once it has ended.",
            name=record.name,
        )
    number = connection.execute(_NEW, row).inserted_primary_key
    assert number is not None  # noqa: S101 - a table with a primary key always has one
    connection.execute(_FIRST_EVENT, event_row(_first_event(record), int(number[0])))
    note_deployed(connection, record)
    return record


def _first_event(record: Record) -> Event:
    return Event(record.name, record.at.submitted, record.state, record.message or "submitted", record.attempt)


def _refuse_array(first: Record, name: str) -> NoReturn:
    """Say that an array cannot be taken in.

    Raises:
        Conflict: Always.
    """
    raise Conflict(
        f"there is a workload {name} already, so no array can be called {array_of(first)}. Choose another name, or "
        "delete it once it has ended.",
        name=name,
    )


def array_of(element: Record) -> str:
    """Name of the array that a workload is an element of; empty of others."""
    return element.spec.array.name if element.spec.array else ""


def elements_of(connection: Connection, array: str) -> tuple[Record, ...]:
    """The elements of an array, by number; those of other arrays or with similar names are none."""
    like = WORKLOADS.c.name.startswith(element_name(array, 0).removesuffix("0"), autoescape=True)
    found = (record_of(row) for row in connection.execute(select(WORKLOADS).where(like)).mappings())
    return tuple(sorted((one for one in found if array_of(one) == array), key=_number_of))


def _number_of(element: Record) -> int:
    return element.spec.array.index or 0 if element.spec.array else 0


def _same(asked: Record, earlier: Record, key: str) -> Record:
    # A name may be made up anew for each request, so it does not count.
    if asked.spec.nameless != earlier.spec.nameless:
        raise Conflict(
            f"the idempotency key {key!r} was used for {earlier.name}, which asks for something else. Use a new key.",
            name=earlier.name,
        )
    return earlier
