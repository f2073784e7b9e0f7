"""What workloads told of themselves over time, thinned: a curve has as many points however long its work runs.

Knows nothing of what the numbers mean.
"""

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, func, insert, select

from fabric.api.past import TellingView
from fabric.store.database import SqlTables, reading
from fabric.store.schema import POINTS, WORKLOADS

SHORTEST_S = 5.0
"""Seconds between two points of work that has just begun."""
TOLD = "told"
"""Source of points that workloads told; others are measured."""
SHARE = 200
"""Points of an attempt whose spacing is even; it grows with the attempt, so that a month has some 2,000."""


class SqlPoints(SqlTables):
    """Curves of workloads; safe to call from any thread."""

    def points(self, name: str) -> Sequence[TellingView]:
        """What a workload told, over all its attempts, oldest first; nothing if there is none of that name."""
        query = (
            select(POINTS.c.attempt, POINTS.c.at, POINTS.c.done, POINTS.c.metrics)
            .join(WORKLOADS, WORKLOADS.c.id == POINTS.c.workload_id)
            .where(WORKLOADS.c.name == name, POINTS.c.source == TOLD)
            .order_by(POINTS.c.id)
        )
        with reading(self._engine) as connection:
            return tuple(
                TellingView(attempt=attempt, at=at, done=done, metrics=json.loads(metrics))
                for attempt, at, done, metrics in connection.execute(query)
            )


def keep_point(
    connection: Connection, workload_id: int, attempt: int, *, at: float, done: float, metrics: Mapping[str, float]
) -> None:
    """Add a point to the curves of an attempt, unless the last one is too young.

    Args:
        connection: A transaction that writes.
        workload_id: Number of the workload.
        attempt: Of the workload.
        at: Seconds since the epoch.
        done: Units done.
        metrics: Numbers by name.
    """
    mine = (POINTS.c.workload_id == workload_id) & (POINTS.c.attempt == attempt) & (POINTS.c.source == TOLD)
    first, last = connection.execute(select(func.min(POINTS.c.at), func.max(POINTS.c.at)).where(mine)).one()
    if last is None or at - last >= max(SHORTEST_S, (at - first) / SHARE):
        row = {"workload_id": workload_id, "attempt": attempt, "at": at, "done": done, "metrics": json.dumps(metrics)}
        connection.execute(insert(POINTS), row)
