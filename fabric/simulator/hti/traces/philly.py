"""The Philly log of GPU training jobs.

Knows nothing of how jobs are chosen from it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fabric.core.errors import BadInput
from fabric.simulator.hti.traces.lines import Row, csv_rows


@dataclass(frozen=True, slots=True, order=True)
class TrainingRow:
    """One training job of the log."""

    submit_s: float
    """Seconds since midnight of the log's first day, so that the time of day is kept."""
    run_s: float
    """Duration on the GPUs it asked for."""
    gpus: int
    cluster: str
    """Virtual cluster: the tenant."""


def read_philly(path: Path) -> tuple[TrainingRow, ...]:
    """Jobs in the order of submission.

    Args:
        path: CSV (or .gz) with `timestamp,duration,num_gpus,cluster`; the file itself is not in order.

    Raises:
        BadInput: If a line has no time, no duration of at least a second, no GPU or no cluster.
    """
    rows = [(_instant(row), row) for row in csv_rows(path, ("timestamp", "duration", "num_gpus", "cluster"))]
    if not rows:
        raise BadInput(f"{path}: has no jobs", path=str(path))
    midnight = min(at for at, _ in rows).replace(hour=0, minute=0, second=0, microsecond=0)
    return tuple(sorted(_job(row, at - midnight) for at, row in rows))


def _instant(row: Row) -> datetime:
    try:
        return datetime.fromisoformat(row.cells["timestamp"]).replace(tzinfo=UTC)
    except ValueError:
        raise row.wrong("timestamp", "a time like 2017-10-09 07:01:55") from None


def _job(row: Row, after: timedelta) -> TrainingRow:
    if not row.cells["cluster"]:
        raise row.wrong("cluster", "the name of a virtual cluster")
    run_s, gpus = row.number("duration", least=1), row.whole("num_gpus", least=1)
    return TrainingRow(after.total_seconds(), run_s, gpus, row.cells["cluster"])
