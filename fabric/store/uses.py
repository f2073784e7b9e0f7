"""What workloads use of their grants: what was read last, and over time as many points however long they run.

Knows nothing of how it is measured.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select

from fabric.api.use import SliceUse, UsePoint, UseView, total
from fabric.core.resources import Resources
from fabric.scheduler.metering import Measured, Reading, last_worked, measured_since
from fabric.store.database import SqlTables, reading, writing
from fabric.store.points import SHARE, SHORTEST_S
from fabric.store.schema import POINTS, USES, WORKLOADS

SOURCE = "use"
"""Of points that were measured; those of others are what workloads told."""

# Asked with every answer about workloads: putting a statement together takes longer than running it.
_LATEST = (
    select(WORKLOADS.c.name, USES.c.latest)
    .join(USES, (USES.c.workload_id == WORKLOADS.c.id) & (USES.c.attempt == WORKLOADS.c.attempt))
    .where(WORKLOADS.c.name.in_(bindparam("names", expanding=True)))
)
_KNOWN = (
    select(WORKLOADS.c.id, WORKLOADS.c.name, WORKLOADS.c.submitted, WORKLOADS.c.attempt.label("present"), USES)
    .select_from(WORKLOADS.outerjoin(USES))
    .where(WORKLOADS.c.name.in_(bindparam("names", expanding=True)))
)


class SqlUses(SqlTables):
    """Use by workload; safe to call from any thread."""

    def keep_uses(self, measured: Collection[Measured]) -> None:
        """Keep what was measured, all of it at once; what is of an attempt that is over, or of nobody, is left out."""
        if not measured:
            return
        with writing(self._engine) as connection:
            rows = connection.execute(_KNOWN, {"names": [each.workload for each in measured]}).mappings()
            known = {row["name"]: row for row in rows}
            mine = [each for each in measured if _is_of(each, known.get(each.workload))]
            kept = [_after(each, known[each.workload]) for each in mine]
            if kept:
                gone = USES.c.workload_id.in_([row["workload_id"] for row, _ in kept])
                connection.execute(delete(USES).where(gone))
                connection.execute(insert(USES), [row for row, _ in kept])
            _add_points(connection, [point for _, point in kept if point is not None])

    def uses(self, names: Collection[str]) -> Mapping[str, UseView]:
        """What was read last of the present attempts of some workloads, by name; the others are left out."""
        with reading(self._engine) as connection:
            rows = connection.execute(_LATEST, {"names": list(names)}).all()
        return {name: UseView.model_validate_json(latest) for name, latest in rows}

    def use_points(self, name: str) -> Sequence[UsePoint]:
        """What a workload used over all its attempts, oldest first; nothing if there is none of that name."""
        query = (
            select(POINTS.c.attempt, POINTS.c.at, POINTS.c.metrics)
            .join(WORKLOADS, WORKLOADS.c.id == POINTS.c.workload_id)
            .where(WORKLOADS.c.name == name, POINTS.c.source == SOURCE)
            .order_by(POINTS.c.id)
        )
        with reading(self._engine) as connection:
            return tuple(UsePoint(attempt=row[0], at=row[1], **json.loads(row[2])) for row in connection.execute(query))


def _is_of(each: Measured, row: RowMapping | None) -> bool:
    return row is not None and (row["submitted"], row["present"]) == (each.born, each.attempt)


def _add_points(connection: Connection, points: Sequence[Mapping[str, Any]]) -> None:
    if points:
        connection.execute(insert(POINTS), list(points))


def _after(each: Measured, row: RowMapping) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What is kept of a workload after a measurement, and the point of its curves that this completes, if it does."""
    before = UseView.model_validate_json(row["latest"]) if row["attempt"] == each.attempt else None
    now = use_of(each, before)
    since = _added(json.loads(row["since"]) if before else {}, now)
    first_at, kept_at = (row["first_at"], row["kept_at"]) if before else (now.at, None)
    point = None
    if since and (kept_at is None or now.at - kept_at >= max(SHORTEST_S, (now.at - first_at) / SHARE)):
        point = {
            "workload_id": row["id"], "attempt": each.attempt, "at": now.at, "done": 0.0, "source": SOURCE,
            "metrics": json.dumps(_mean(since, now)),
        }  # fmt: skip
        since, kept_at = {}, now.at
    kept = {
        "workload_id": row["id"], "attempt": each.attempt, "latest": now.model_dump_json(exclude_defaults=True),
        "first_at": first_at, "kept_at": kept_at, "since": json.dumps(since),
    }  # fmt: skip
    return kept, point


def use_of(each: Measured, before: UseView | None) -> UseView:
    """What was measured as people see it.

    Args:
        each: The measurement.
        before: What was seen before of the same attempt.
    """
    known = {part.slice: part for part in before.slices} if before else {}
    parts = []
    for name, found in sorted(each.readings.slices.items()):
        if (granted := each.granted.get(name)) is not None:
            old = known.get(name)
            worked = last_worked(found, granted, old.worked_at if old else ())
            since = measured_since(found, old.since if old else None, before.at if before else None)
            parts.append(SliceUse(slice=name, since=since, worked_at=worked, **_amounts(found, granted)))
    over_s = max((found.over_s for found in each.readings.slices.values()), default=0.0)
    unmeasured = each.readings.unmeasured
    return UseView(at=each.at, over_s=over_s, unmeasured=unmeasured, slices=tuple(parts), **total(parts))


def _amounts(found: Reading, granted: Resources) -> dict[str, Any]:
    return {
        "cpus": None if found.cpus is None else found.cpus.whole(),
        "of_cpus": granted.cpus.whole(),
        "memory_bytes": None if found.memory is None else found.memory.count,
        "of_memory_bytes": granted.memory.count,
        "gpus": None if found.gpus is None else sum(share.whole() for share in found.gpus),
        "of_gpus": granted.gpus.whole(),
    }


def _added(since: Mapping[str, float], now: UseView) -> dict[str, float]:
    """What was used since the last point, with what was used now."""
    if not now.slices:
        return dict(since)
    added = {"s": since.get("s", 0.0) + now.over_s, "memory": max(since.get("memory", 0), now.memory_bytes or 0)}
    for name, amount in (("cpus", now.cpus), ("gpus", now.gpus)):
        # A resource that was not counted all the while has no mean.
        if amount is not None and (not since or name in since):
            added[name] = since.get(name, 0.0) + amount * now.over_s
    return added


def _mean(since: Mapping[str, float], now: UseView) -> dict[str, float]:
    """The amounts of a point: busy cores and accelerators in the mean, of memory the most, beside the present grant."""
    means = {name: round(since[name] / since["s"], 4) for name in ("cpus", "gpus") if name in since}
    granted = {"of_cpus": now.of_cpus, "of_gpus": now.of_gpus, "of_memory_bytes": now.of_memory_bytes}
    return {**means, "memory_bytes": since["memory"], **granted}
