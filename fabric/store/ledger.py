"""The ledger of use: a row where a slice is granted, another where it is given back, and none is ever changed.

Knows nothing of prices or budgets. Rows are written in the transaction that records the grant they are about, so a kill
at any instant leaves both or neither, and what was held is the integral of what was granted.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, case, func, insert, select

from fabric.store.database import SqlTables, reading, writing
from fabric.store.rows import grant_of, record_of, storable
from fabric.store.schema import LEDGER, WORKLOADS
from fabric.workloads.record import Record, Slice
from fabric.workloads.states import FINAL, State

GRANTED, GIVEN_BACK = 1, -1

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
        """What was held between two instants, cut off there; of one project or workload where one is given.

        Args:
            since: Seconds since the epoch, like `until`.
            until: What is still held then has not ended.
            project: Only this one.
            workload: Only of this name; others may have had it before.
        """
        inside = select(LEDGER.c.at, LEDGER.c.sign, *_WHAT).where(LEDGER.c.at >= since, LEDGER.c.at < until)
        with reading(self._engine) as connection:
            began = {each: since for each in _open(connection, before=since, project=project, workload=workload)}
            rows = connection.execute(_of(inside.order_by(LEDGER.c.id), project, workload)).all()
        for at, sign, *about in rows:
            holding = Holding(*about)
            if sign == GRANTED:
                began[holding] = at
            elif holding in began:
                yield Spell(holding, began.pop(holding), at)
        yield from (Spell(holding, at, until) for holding, at in began.items())

    def gpu_seconds(self, since: Mapping[str, float], now: float) -> Mapping[str, float]:
        """What each project has held of accelerators, in accelerator seconds.

        Args:
            since: From when it counts, by project; seconds since the epoch.
            now: Up to when.
        """
        held = {}
        with reading(self._engine) as connection:
            for project, start in since.items():
                counted_s = now - case((LEDGER.c.at > start, LEDGER.c.at), else_=start)
                total = func.sum(LEDGER.c.sign * LEDGER.c.milli_gpus * counted_s)
                mine = select(total).where(LEDGER.c.project == project, LEDGER.c.at < now, LEDGER.c.milli_gpus > 0)
                held[project] = max(0.0, (connection.execute(mine).scalar() or 0.0) / 1000)
        return held

    def reconcile(self) -> tuple[Correction, ...]:
        """Bring the ledger to what the records say is held now, by further rows; what was missing or too much.

        There is something only after an upgrade from a version that kept no ledger, or if somebody wrote into the
        database by hand.
        """
        with writing(self._engine) as connection:
            live = select(WORKLOADS).where(WORKLOADS.c.state.not_in([state.value for state in FINAL]))
            records = map(record_of, connection.execute(live).mappings())
            held = {each for record in records for each in holdings(record)}
            known = set(_open(connection))
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


def _open(
    connection: Connection, before: float | None = None, project: str | None = None, workload: str | None = None
) -> Iterator[Holding]:
    """What the ledger says is held, now or before an instant."""
    query = select(*_WHAT).group_by(*_WHAT).having(func.sum(LEDGER.c.sign) > 0)
    if before is not None:
        query = query.where(LEDGER.c.at < before)
    return (Holding(*row) for row in connection.execute(_of(query, project, workload)).all())


def _of(query: Select[Any], project: str | None, workload: str | None) -> Select[Any]:
    query = query if project is None else query.where(LEDGER.c.project == project)
    return query if workload is None else query.where(LEDGER.c.workload == workload)


def _of_slice(part: Slice) -> tuple[str, str, str, int, int, int]:
    held = part.resources
    return part.name, part.node, part.tier, held.cpus.count, held.gpus.count, held.memory.count


def _order(holding: Holding) -> tuple[str, int, str]:
    return holding.workload, holding.attempt, holding.slice
