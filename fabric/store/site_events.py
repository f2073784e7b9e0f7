"""What happened at a site that people want to know of, in the order of writing; only the newest are kept.

Knows nothing of who may see what. What is told of work is written in the transaction that changes its record, so a kill
leaves both or neither.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, RowMapping, delete, func, insert, select

from fabric.config.notices import Happening
from fabric.store.database import SqlTables, reading, writing
from fabric.store.rows import storable
from fabric.store.schema import SITE_EVENTS
from fabric.workloads.record import Event, Record
from fabric.workloads.states import State

KEPT = 20_000
"""Events that are kept; the oldest go."""
LONGEST_REASON = 300
"""Letters of a reason that are kept here; the history of the workload has all of it."""
WARNING = "warning: "
"""How a line of a history begins that tells what is suspicious."""
WARNED = "warning"
"""Kind of what such a line tells."""
OF_STATES: Mapping[State, Happening] = {State.FAILED: "failed", State.RECOVERING: "lost", State.DRAINING: "preempted"}
"""Kinds of what it means for work to come into a state."""
OF_WORK = frozenset({*OF_STATES.values(), WARNED, "deployed", "ended"})
"""Kinds that are about a workload."""
OF_NODES = frozenset(
    {"node_up", "node_down", "node_refused", "node_cordoned", "node_gone", "node_drained", "node_returned"}
)
"""Kinds that are about a node."""
_SERVICE_ENDS = frozenset({State.SUCCEEDED, State.CANCELLED})


@dataclass(frozen=True, slots=True)
class SiteEvent:
    """One thing that happened."""

    at: float
    """Seconds since the epoch."""
    kind: str
    about: str
    """Name of the workload or node, or MODEL@ALIAS; empty of several nodes, and of the site file."""
    said: str
    """Why, or what came of it, for people."""
    project: str = ""
    """Whose it is; empty where it is the site's, for everybody who may see that."""
    by: str = ""
    """Who did it, where somebody did."""
    number: int = 0
    """Larger than that of every earlier one; 0 before it is written."""


class SqlSiteEvents(SqlTables):
    """The newest events; safe to call from any thread."""

    def site_events(
        self, project: str | None = None, *, before: int | None = None, limit: int = 50, without: Collection[str] = ()
    ) -> Sequence[SiteEvent]:
        """The newest first.

        Args:
            project: Only those of this project and of the site; None for all.
            before: Only those with smaller numbers.
            limit: The most to tell.
            without: Kinds that are left out.
        """
        table = SITE_EVENTS.c
        query = select(SITE_EVENTS).order_by(table.id.desc()).limit(limit)
        if project is not None:
            query = query.where(table.project.in_(("", project)))
        if before is not None:
            query = query.where(table.id < before)
        if without:
            query = query.where(table.kind.not_in(sorted(without)))
        with reading(self._engine) as connection:
            return tuple(_event_of(row) for row in connection.execute(query).mappings())

    def add_site_events(self, events: Iterable[SiteEvent]) -> None:
        """Append some, in order."""
        found = list(events)
        if found:
            with writing(self._engine) as connection:
                note(connection, found)

    def node_kinds(self) -> Mapping[str, str]:
        """The kind of the newest event about each node since the last one about several."""
        table = SITE_EVENTS.c
        query = select(table.about, table.kind).where(table.kind.in_(sorted(OF_NODES))).order_by(table.id)
        found: dict[str, str] = {}
        with reading(self._engine) as connection:
            for about, kind in connection.execute(query):
                if about:
                    found[about] = kind
                else:  # of which ones is not kept, so what was told of each before may be over
                    found.clear()
        return found


def note(connection: Connection, events: Iterable[SiteEvent]) -> None:
    """Append events in a transaction that writes; the oldest go where there are too many.

    Numbers are those of the lines: the newest one is never removed, so none is used again.
    """
    rows = [
        {**asdict(each), "about": storable(each.about), "said": storable(each.said), "by": storable(each.by)}
        for each in events
    ]
    for row in rows:
        del row["number"]
    if rows:
        connection.execute(insert(SITE_EVENTS), rows)
        newest = select(func.max(SITE_EVENTS.c.id)).scalar_subquery()
        connection.execute(delete(SITE_EVENTS).where(SITE_EVENTS.c.id <= newest - KEPT))


def note_moves(connection: Connection, before: Mapping[str, RowMapping], events: Iterable[Event]) -> None:
    """Append what lines of histories mean for the site: work that fails, is lost or preempted, services that end.

    Args:
        connection: In the transaction that writes the lines.
        before: What is kept of the workloads until now, by name: project, kind, state, attempt.
        events: The lines.
    """
    found = ((before[event.workload], event) for event in events if event.workload in before)
    note(connection, [_moved(row, event, kind) for row, event in found if (kind := _kind_of(row, event))])


def note_warning(connection: Connection, project: str, event: Event) -> None:
    """Append what a line says that is suspicious; nothing where it is another line."""
    if event.reason.startswith(WARNING):
        said = event.reason.removeprefix(WARNING)
        note(connection, [SiteEvent(event.at, WARNED, event.workload, _brief(said), project)])


def note_deployed(connection: Connection, record: Record) -> None:
    """Append that a service was handed in; nothing where it is a job."""
    if record.spec.kind == "service":
        said, project = _serves(record), record.spec.project
        note(connection, [SiteEvent(record.at.submitted, "deployed", record.name, said, project, record.submitted_by)])


def forget_work(connection: Connection, names: Collection[str]) -> None:
    """Remove what is about workloads that are being forgotten."""
    about = SITE_EVENTS.c.about.in_(names)
    connection.execute(delete(SITE_EVENTS).where(about, SITE_EVENTS.c.kind.in_(sorted(OF_WORK))))


def _kind_of(row: RowMapping, event: Event) -> str | None:
    if (row["state"], row["attempt"]) == (event.state.value, event.attempt):
        return None  # it says more of the same
    if row["kind"] == "service" and event.state in _SERVICE_ENDS:
        return "ended"
    return OF_STATES.get(event.state)


def _moved(row: RowMapping, event: Event, kind: str) -> SiteEvent:
    return SiteEvent(event.at, kind, event.workload, _brief(event.reason), row["project"])


def _brief(reason: str) -> str:
    return reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 1]}…"


def _serves(record: Record) -> str:
    spec = record.spec
    if spec.service is not None:
        version = f", version {spec.service.version}" if spec.service.version is not None else ""
        under = f" as {spec.service.deployment}" if spec.service.deployment else ""
        return f"serves {spec.service.model}{version}{under}"
    return f"serves applications as {spec.serve.deployment}" if spec.serve else "serves"


def _event_of(row: RowMapping) -> SiteEvent:
    return SiteEvent(
        at=row["at"], kind=row["kind"], about=row["about"], said=row["said"], project=row["project"], by=row["by"],
        number=row["id"],
    )  # fmt: skip
