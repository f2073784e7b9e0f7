"""The ledger of use: a row where a slice is granted, another where it is given back, and none is ever changed.

Knows nothing of prices or budgets. Rows are written in the transaction that records the grant they are about, so a kill
at any instant leaves both or neither, and what was held is the integral of what was granted. It grows for ever, so it
is read backwards from what is held now: only the rows of the time asked for, and of what came after it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, case, func, insert, select

from fabric.store.database import SqlTables, reading, writing
from fabric.store.rows import grant_of, record_of, storable
from fabric.store.schema import LEDGER, WORKLOADS
from fabric.workloads.record import Record, Slice
from fabric.workloads.states import State

GRANTED, GIVEN_BACK = 1, -1

HELD_NOW = and_(
    WORKLOADS.c.state.in_([state.value for state in State if state.holds_grant]), WORKLOADS.c.grant.is_not(None)
)
"""That a workload holds something, as the records say; the ledger says the same, as both are written together."""

RECONCILED_S = 62 * 86400.0
"""How far back a start looks at what work that does not live any more was granted, in seconds: twice the longest time
that budgets and occupancy are reckoned back over."""

_AT_ONCE = 500
"""Rows that are in memory at the same time."""
_LIVE = select(WORKLOADS.c.name).where(WORKLOADS.c.state.in_([state.value for state in State if not state.final]))
_WHAT = (
    LEDGER.c.workload, LEDGER.c.submitted, LEDGER.c.attempt, LEDGER.c.project, LEDGER.c.user, LEDGER.c.model,
    LEDGER.c.slice, LEDGER.c.node, LEDGER.c.tier, LEDGER.c.milli_cpus, LEDGER.c.milli_gpus, LEDGER.c.memory_bytes,
)  # fmt: skip
"""All that says what a row is about."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A slice of somebody's."""

    workload: str
    submitted: float
    """When the workload was handed in, which tells it from a later one of its name; seconds since the epoch."""
    attempt: int
    project: str
    user: str
    """Who handed it in."""
    model: str
    """What a service serves; empty for a job."""
    slice: str
    node: str
    tier: str
    milli_cpus: int
    milli_gpus: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Spell:
    """A slice that was held for a while."""

    holding: Holding
    began: float
    """Seconds since the epoch, like the next."""
    ended: float


@dataclass(frozen=True, slots=True)
class Correction:
    """What the ledger said otherwise than the records."""

    holding: Holding
    sign: int
    """`GRANTED` if it was missing, `GIVEN_BACK` if it was too much."""


def holdings(record: Record) -> frozenset[Holding]:
    """What a workload holds now."""
    if record.grant is None or not record.state.holds_grant:
        return frozenset()
    model = record.spec.service.model if record.spec.service else ""
    about = (
        record.name,
        record.at.submitted,
        record.attempt,
        record.spec.project,
        storable(record.submitted_by),
        model,
    )
    return frozenset(Holding(*about, *_of_slice(part)) for part in record.grant.slices)


def write_changes(
    connection: Connection, before: Mapping[str, RowMapping], after: Iterable[Record], now: float
) -> None:
    """Write what workloads were granted and gave back.

    Args:
        connection: In the transaction that writes the records.
        before: Their rows as they are kept until now, by name: state, attempt, grant.
        after: As they will be.
        now: When, in seconds since the epoch; a clock that goes back is taken to stand still.
    """
    changed = [(before[each.name], each) for each in after if _may_differ(before[each.name], each)]
    rows: list[tuple[int, Holding]] = []
    for row, record in changed:
        old, new = holdings(_as_kept(record, row)), holdings(record)
        rows += [(GIVEN_BACK, each) for each in sorted(old - new, key=_order)]
        rows += [(GRANTED, each) for each in sorted(new - old, key=_order)]
    _write(connection, rows, now)


class SqlLedger(SqlTables):
    """Reads the ledger, and compares it with the records; safe to call from any thread."""

    def spells(
        self, since: float, until: float, project: str | None = None, *, workload: str | None = None
    ) -> Iterator[Spell]:
        """What was held between two instants, cut off there; what began last comes first.

        The rows between them are read one after another, and those after `until` are added up by the database, so what
        is in memory at the same time is what was held at the same time. Read it to its end soon: the database keeps
        its view of everything open until then.

        Args:
            since: Seconds since the epoch, like `until`.
            until: What is still held then has not ended.
            project: Only this one.
            workload: Only of this name; others may have had it before.
        """
        inside = select(LEDGER.c.at, LEDGER.c.sign, *_WHAT).where(LEDGER.c.at >= since, LEDGER.c.at < until)
        # By instants, as the indices are; they never go back from one row to the next.
        backwards = _of(inside, project, workload).order_by(LEDGER.c.at.desc(), LEDGER.c.id.desc())
        with reading(self._engine) as connection:
            ended = dict.fromkeys(_held(connection, until, project, workload), until)
            for at, sign, *about in connection.execute(backwards.execution_options(yield_per=_AT_ONCE)):
                holding = Holding(*about)
                if sign == GIVEN_BACK:
                    ended[holding] = at
                elif holding in ended:
                    yield Spell(holding, at, ended.pop(holding))
        yield from (Spell(holding, since, at) for holding, at in ended.items())

    def gpu_seconds(self, since: Mapping[str, float], now: float) -> Mapping[str, float]:
        """What each project has held of accelerators, in accelerator seconds.

        As if what is held now had been held all the time, less what was granted later and more what was given back.

        Args:
            since: From when it counts, by project; seconds since the epoch.
            now: Up to when.
        """
        used = {}
        with reading(self._engine) as connection:
            held = _milli_gpus_held_now(connection, since)
            for project, start in since.items():
                late_s = case((LEDGER.c.at > now, now), else_=LEDGER.c.at) - start
                changed = func.sum(LEDGER.c.sign * LEDGER.c.milli_gpus * late_s)
                mine = select(changed).where(LEDGER.c.project == project, LEDGER.c.at >= start, LEDGER.c.milli_gpus > 0)
                total = held.get(project, 0) * (now - start) - (connection.execute(mine).scalar() or 0.0)
                used[project] = max(0.0, total / 1000)
        return used

    def reconcile(self) -> tuple[Correction, ...]:
        """Bring the ledger to what the records say is held now, by further rows; what was missing or too much.

        There is something only after an upgrade from a version that kept no ledger, or if somebody wrote into the
        database by hand. It looks at all that was written about work that lives, and at what was granted to anybody in
        the last `RECONCILED_S`: what was granted earlier, and ended by hand, is charged to nobody.
        """
        with writing(self._engine) as connection:
            held = set(_held_now(connection))
            lately = LEDGER.c.at >= self._now() - RECONCILED_S
            known = {*_open(connection, LEDGER.c.workload.in_(_LIVE)), *_open(connection, lately)}
            found = [Correction(each, GIVEN_BACK) for each in sorted(known - held, key=_order)]
            found += [Correction(each, GRANTED) for each in sorted(held - known, key=_order)]
            _write(connection, [(each.sign, each.holding) for each in found], self._now())
        return tuple(found)


def _as_kept(record: Record, row: RowMapping) -> Record:
    grant = None if row["grant"] is None else grant_of(row["grant"])
    return replace(record, state=State(row["state"]), attempt=row["attempt"], grant=grant)


def _may_differ(row: RowMapping, record: Record) -> bool:
    """Whether it is worth reading what was granted before: most changes are none of a grant."""
    held = State(row["state"]).holds_grant and row["grant"] is not None
    holds = record.state.holds_grant and record.grant is not None
    if held and holds and row["attempt"] == record.attempt:
        return record.grant is None or grant_of(row["grant"]).slices != record.grant.slices
    return held or holds


def _write(connection: Connection, rows: Iterable[tuple[int, Holding]], now: float) -> None:
    lines = [{"sign": sign, **{name: getattr(each, name) for name in Holding.__slots__}} for sign, each in rows]
    if lines:
        last = connection.execute(select(func.max(LEDGER.c.at))).scalar()
        at = now if last is None else max(now, last)
        connection.execute(insert(LEDGER), [{"at": at, **line} for line in lines])


def _open(connection: Connection, rows: ColumnElement[bool]) -> Iterator[Holding]:
    """What some rows say was granted and not given back."""
    query: Select[Any] = select(*_WHAT).where(rows).group_by(*_WHAT).having(func.sum(LEDGER.c.sign) > 0)
    return (Holding(*row) for row in connection.execute(query))


def _held(connection: Connection, at: float, project: str | None, workload: str | None) -> set[Holding]:
    """What was held at an instant: what is held now, less what was granted since and more what was given back."""
    held = set(_held_now(connection, project, workload))
    change = func.sum(LEDGER.c.sign)
    since = select(change, *_WHAT).where(LEDGER.c.at >= at).group_by(*_WHAT).having(change != 0)
    for sign, *about in connection.execute(_of(since, project, workload)):
        (held.discard if sign > 0 else held.add)(Holding(*about))
    return held


def _held_now(connection: Connection, project: str | None = None, workload: str | None = None) -> Iterator[Holding]:
    """What the records say is held."""
    query = select(WORKLOADS).where(HELD_NOW)
    query = query if project is None else query.where(WORKLOADS.c.project == project)
    query = query if workload is None else query.where(WORKLOADS.c.name == workload)
    return (each for row in connection.execute(query).mappings() for each in holdings(record_of(row)))


def _milli_gpus_held_now(connection: Connection, projects: Iterable[str]) -> Mapping[str, int]:
    """Thousandths of accelerators that the records say are held, by project."""
    query = select(WORKLOADS.c.project, WORKLOADS.c.grant).where(HELD_NOW, WORKLOADS.c.project.in_(list(projects)))
    found: dict[str, int] = {}
    for project, grant in connection.execute(query):
        found[project] = found.get(project, 0) + sum(part.resources.gpus.count for part in grant_of(grant).slices)
    return found


def _of(query: Select[Any], project: str | None, workload: str | None) -> Select[Any]:
    query = query if project is None else query.where(LEDGER.c.project == project)
    return query if workload is None else query.where(LEDGER.c.workload == workload)


def _of_slice(part: Slice) -> tuple[str, str, str, int, int, int]:
    held = part.resources
    return part.name, part.node, part.tier, held.cpus.count, held.gpus.count, held.memory.count


def _order(holding: Holding) -> tuple[str, int, str]:
    return holding.workload, holding.attempt, holding.slice
