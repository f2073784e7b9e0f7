"""What workloads tell of themselves: stages, progress and checkpoints.

Knows nothing of what the words and numbers mean.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from fabric.api.admin import ProgressView, Report
from fabric.core.errors import Conflict, NotFound
from fabric.scheduler.snapshot import Told
from fabric.store.database import SqlTables, reading, writing
from fabric.store.points import keep_point
from fabric.store.schema import PROGRESS, STAGES, WORKLOADS
from fabric.workloads.states import State

_SHORTEST_S = 1e-3
"""Two reports are taken to be at least so far apart, in seconds."""
_FRESH: Mapping[str, Any] = {
    "stage": "", "done": 0.0, "total": 0.0, "unit": "", "metrics": "{}",
    "workers": None, "first_done": None, "first_at": None,
}  # fmt: skip
"""Of an attempt that has told nothing yet; the newest checkpoint outlives its attempt."""

# Asked with every answer about workloads: putting a statement together takes longer than running it.
_OF_NAMES = (
    select(WORKLOADS.c.id, WORKLOADS.c.name, WORKLOADS.c.attempt.label("present"), PROGRESS)
    .select_from(WORKLOADS.outerjoin(PROGRESS))
    .where(WORKLOADS.c.name.in_(bindparam("names", expanding=True)))
)
_STAGES_OF = (
    select(STAGES.c.workload_id, STAGES.c.stage, STAGES.c.at)
    .join(WORKLOADS, (WORKLOADS.c.id == STAGES.c.workload_id) & (WORKLOADS.c.attempt == STAGES.c.attempt))
    .where(STAGES.c.workload_id.in_(bindparam("keys", expanding=True)))
    .order_by(STAGES.c.at, STAGES.c.stage)
)


class SqlReports(SqlTables):
    """Progress by workload; stages by attempt."""

    def report(self, name: str, report: Report, attempt: int | None = None) -> None:
        """Remember what a workload tells; fields left out stay as they are, metrics are added to those known.

        Args:
            name: The workload.
            report: What it tells.
            attempt: The attempt that tells it, where known.

        Raises:
            NotFound: If there is no such workload.
            Conflict: If that attempt is over.
        """
        told = report.model_dump(exclude_none=True)
        with writing(self._engine) as connection:
            key, present = _attempt(connection, name)
            if attempt is not None and attempt != present:
                raise Conflict(f"attempt {attempt} of {name} is over; attempt {present} is running", name=name)
            before = _progress(connection, key)
            metrics = {
                **json.loads(before["metrics"] if before["attempt"] == present else "{}"),
                **told.pop("metrics", {}),
            }
            told |= {"metrics": json.dumps(metrics), "attempt": present, "at": self._now()}
            fresh = {} if before["attempt"] == present else _FRESH
            if report.checkpoint_uri is not None:
                told["checkpoint_at"] = told["at"]
            told |= _counted_from({**before, **fresh}, told)
            connection.execute(update(PROGRESS).where(PROGRESS.c.workload_id == key), {**fresh, **told})
            if metrics:
                done = {**before, **fresh, **told}["done"]
                keep_point(connection, key, present, at=told["at"], done=done, metrics=metrics)
            if report.stage:
                _began(connection, key, present, stage=report.stage, now=told["at"])

    def progress(self, name: str) -> ProgressView:
        """What a workload last told in its present attempt, and its newest checkpoint.

        Raises:
            NotFound: If there is no such workload.
        """
        found = self.progresses([name]).get(name)
        if found is None:
            raise NotFound(f"there is no workload {name}", name=name)
        return found

    def progresses(self, names: Collection[str]) -> Mapping[str, ProgressView]:
        """The same of many workloads by name; names that nobody has are left out."""
        with reading(self._engine) as connection:
            rows = connection.execute(_OF_NAMES, {"names": list(names)}).mappings().all()
            told = [row["id"] for row in rows if row["workload_id"] is not None]
            stages = _stages_of_present(connection, told) if told else {}
        return {row["name"]: _view(row, stages.get(row["id"], {})) for row in rows}

    def reported_at(self) -> Mapping[str, float]:
        """When those that run last told anything in their present attempt, by name, in seconds since the epoch."""
        present = (PROGRESS.c.workload_id == WORKLOADS.c.id) & (PROGRESS.c.attempt == WORKLOADS.c.attempt)
        told = select(WORKLOADS.c.name, PROGRESS.c.at).join(PROGRESS, present)
        with reading(self._engine) as connection:
            rows = connection.execute(told.where(WORKLOADS.c.state == State.RUNNING.value))
            return {name: at for name, at in rows}

    def stages(self, name: str, attempt: int) -> Mapping[str, float]:
        """When each stage of an attempt first began, in order of time, in seconds since the epoch.

        Raises:
            NotFound: If there is no such workload.
        """
        with reading(self._engine) as connection:
            return _stages(connection, _attempt(connection, name)[0], attempt)


def _view(row: RowMapping, stages: Mapping[str, float]) -> ProgressView:
    if row["workload_id"] is None:
        return ProgressView()
    told = {**row, **({} if row["attempt"] == row["present"] else _FRESH)}
    return ProgressView(
        stage=told["stage"],
        done=told["done"],
        total=told["total"],
        unit=told["unit"],
        metrics=json.loads(told["metrics"]),
        checkpoint_uri=told["checkpoint_uri"],
        checkpoint_step=told["checkpoint_step"],
        workers=told["workers"],
        stages=dict(stages),
    )


def told_of(row: RowMapping) -> Told:
    """What the scheduler hears of a row of `progress`."""
    return Told(
        attempt=row["attempt"],
        saved=row["checkpoint_at"],
        save_s=row["checkpoint_seconds"],
        left_s=_left_s(row),
        workers=row["workers"],
    )


def _left_s(row: RowMapping) -> float | None:
    """Seconds of work left at the mean rate of all reports since the attempt, or its present size, began."""
    if row["first_at"] is None or not row["total"] or row["done"] <= row["first_done"]:
        return None
    rate = (row["done"] - row["first_done"]) / max(row["at"] - row["first_at"], _SHORTEST_S)
    return float(max(0.0, row["total"] - row["done"]) / rate)


def _counted_from(before: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Where the rate of progress is measured from; another size, unit or total begins anew."""
    if "done" not in told:
        return {"first_done": None, "first_at": None} if _resized(before, told) else {}
    kept = before["first_at"] is not None and told["done"] >= before["first_done"] and not _resized(before, told)
    same = all(told.get(key, before[key]) == before[key] for key in ("total", "unit"))
    return {} if kept and same else {"first_done": told["done"], "first_at": told["at"]}


def _resized(before: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    return "workers" in told and told["workers"] != before["workers"]


def _attempt(connection: Connection, name: str) -> tuple[int, int]:
    # Number of the row, and of the present attempt.
    row = connection.execute(select(WORKLOADS.c.id, WORKLOADS.c.attempt).where(WORKLOADS.c.name == name)).one_or_none()
    if row is None:
        raise NotFound(f"there is no workload {name}", name=name)
    return row.id, row.attempt


def _progress(connection: Connection, key: int) -> RowMapping:
    """The row of a workload, made where there is none."""
    query = select(PROGRESS).where(PROGRESS.c.workload_id == key)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        connection.execute(
            insert(PROGRESS), {**_FRESH, "workload_id": key, "attempt": 0, "at": 0.0, "checkpoint_uri": ""}
        )
        row = connection.execute(query).mappings().one()
    return row


def _began(connection: Connection, key: int, attempt: int, *, stage: str, now: float) -> None:
    if stage not in _stages(connection, key, attempt):
        connection.execute(insert(STAGES), {"workload_id": key, "attempt": attempt, "stage": stage, "at": now})


def _stages(connection: Connection, key: int, attempt: int) -> dict[str, float]:
    mine = (STAGES.c.workload_id == key) & (STAGES.c.attempt == attempt)
    rows = connection.execute(select(STAGES.c.stage, STAGES.c.at).where(mine).order_by(STAGES.c.at, STAGES.c.stage))
    return {stage: at for stage, at in rows}


def _stages_of_present(connection: Connection, keys: Sequence[int]) -> dict[int, dict[str, float]]:
    """When each stage of the present attempt of some workloads began, by the number of the workload."""
    found: dict[int, dict[str, float]] = {}
    for key, stage, at in connection.execute(_STAGES_OF, {"keys": keys}):
        found.setdefault(key, {})[stage] = at
    return found
