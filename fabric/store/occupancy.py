"""How much of each tier was held over time, added up from the ledger by the database.

Knows nothing of what tiers have. It goes back from what is held now, so only the rows of the time asked for are read,
however long the ledger is.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Float, Integer, case, cast, func, select

from fabric.core.resources import Resources
from fabric.store.database import SqlTables, is_postgres, reading
from fabric.store.ledger import HELD_NOW
from fabric.store.rows import grant_of
from fabric.store.schema import LEDGER, WORKLOADS

_AMOUNTS = (LEDGER.c.milli_cpus, LEDGER.c.milli_gpus, LEDGER.c.memory_bytes)

Mean = tuple[float, float, float]
"""Thousandths of CPUs and of accelerators, bytes."""


@dataclass(frozen=True, slots=True)
class HeldOverTime:
    """Means over equal steps."""

    begins: float
    """Of the first step, in seconds since the epoch."""
    step_s: float
    tiers: Mapping[str, tuple[Mean, ...]]
    """By tier, those on which nothing was held left out; the last step goes on."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What changed on a tier within a step."""

    by: Mean
    weighted: Mean
    """Each change times the seconds from the beginning of the first step until it."""


class SqlOccupancy(SqlTables):
    """Reads the ledger; safe to call from any thread."""

    def held_over_time(self, begins: float, until: float, step_s: float) -> HeldOverTime:
        """How much was held on average in each step between two instants.

        Args:
            begins: Seconds since the epoch, like `until`; later where the ledger begins later, by whole steps.
            until: Now: what is held then is what the records say.
            step_s: Length of a step, in seconds.
        """
        with reading(self._engine) as connection:
            first = connection.execute(select(func.min(LEDGER.c.at))).scalar()
            if first is None or max(first, begins) >= until:
                return HeldOverTime(until, step_s, {})
            begins += max(0, math.floor((first - begins) / step_s)) * step_s
            num_steps = max(1, math.ceil((until - begins) / step_s))
            floors = is_postgres(self._engine)
            changes = _changes(connection, begins, until, step_s, last=num_steps - 1, floors=floors)
            held = _held_now(connection)
        tiers = {tier: held.get(tier, Resources()) for tier in sorted({*held, *changes})}
        ends = [begins + (number + 1) * step_s for number in range(num_steps - 1)] + [until]
        return HeldOverTime(
            begins, step_s, {tier: _means(now, changes.get(tier, {}), begins, ends) for tier, now in tiers.items()}
        )


def _changes(
    connection: Connection, begins: float, until: float, step_s: float, *, last: int, floors: bool
) -> Mapping[str, Mapping[int, _Change]]:
    """What changed, by tier and number of the step."""
    at: ColumnElement[float] = case((LEDGER.c.at > until, until), else_=LEDGER.c.at)
    after = at - begins
    # SQLite cuts off what is behind the point; PostgreSQL rounds, and SQLite need not know `floor`.
    step = cast(func.floor(after / step_s) if floors else after / step_s, Integer)
    number = case((step > last, last), else_=step).label("step")
    sums = [func.sum(LEDGER.c.sign * amount) for amount in _AMOUNTS]
    weighted = [func.sum(cast(LEDGER.c.sign * amount, Float) * after) for amount in _AMOUNTS]
    query = select(LEDGER.c.tier, number, *sums, *weighted).where(LEDGER.c.at >= begins)
    found: dict[str, dict[int, _Change]] = {}
    for tier, of_step, *numbers in connection.execute(query.group_by(LEDGER.c.tier, "step")):
        cpus, gpus, memory, *by_time = map(float, numbers)
        found.setdefault(tier, {})[of_step] = _Change((cpus, gpus, memory), (by_time[0], by_time[1], by_time[2]))
    return found


def _held_now(connection: Connection) -> Mapping[str, Resources]:
    """What the records say is held, by tier."""
    held = select(WORKLOADS.c.grant).where(HELD_NOW)
    found: dict[str, Resources] = {}
    for grant in connection.execute(held).scalars():
        for part in grant_of(grant).slices:
            found[part.tier] = found.get(part.tier, Resources()) + part.resources
    return found


def _means(now: Resources, changes: Mapping[int, _Change], begins: float, ends: list[float]) -> tuple[Mean, ...]:
    """The means of all steps, reckoned back from what is held at the end of the last one."""
    held: Mean = (float(now.cpus.count), float(now.gpus.count), float(now.memory.count))
    means: list[Mean] = []
    for number in reversed(range(len(ends))):
        length_s = max(ends[number] - (ends[number - 1] if number else begins), math.ulp(1.0))
        change = changes.get(number)
        if change is None:
            means.append(held)
            continue
        before, end_s = _minus(held, change.by), ends[number] - begins
        added = (by * end_s - weighted for by, weighted in zip(change.by, change.weighted, strict=True))
        means.append(_mean(was + more / length_s for was, more in zip(before, added, strict=True)))
        held = before
    return tuple(reversed(means))


def _minus(held: Mean, change: Mean) -> Mean:
    return held[0] - change[0], held[1] - change[1], held[2] - change[2]


def _mean(parts: Iterable[float]) -> Mean:
    cpus, gpus, memory = (max(0.0, part) for part in parts)
    return cpus, gpus, memory
