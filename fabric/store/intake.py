"""Workloads that are taken in: many at the same time in one transaction, each once.

Knows nothing of who asks; safe to call from any thread.
"""

import time
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Engine, bindparam, insert, select

from fabric.core.errors import Conflict, FabricError
from fabric.store.database import SqlTables, writing
from fabric.store.group_commit import GroupCommit
from fabric.store.rows import event_row, new_row, record_of
from fabric.store.schema import EVENTS, WORKLOADS
from fabric.workloads.record import Event, Record
from fabric.workloads.spec import WorkloadSpec

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
    first = Event(record.name, record.at.submitted, record.state, record.message or "submitted", record.attempt)
    connection.execute(_FIRST_EVENT, event_row(first, int(number[0])))
    return record


def _same(asked: Record, earlier: Record, key: str) -> Record:
    # A name may be made up anew for each request, so it does not count.
    if _nameless(asked.spec) != _nameless(earlier.spec):
        raise Conflict(
            f"the idempotency key {key!r} was used for {earlier.name}, which asks for something else. Use a new key.",
            name=earlier.name,
        )
    return earlier


def _nameless(spec: WorkloadSpec) -> WorkloadSpec:
    return spec.model_copy(update={"name": None})
