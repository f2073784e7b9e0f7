"""The command `usage`: what was used, as a table or as a file.

Knows nothing of how it is added up.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fabric.cli import completing, show
from fabric.cli.jobs import Json
from fabric.cli.people import seconds_of
from fabric.cli.session import session
from fabric.core.errors import BadInput

if TYPE_CHECKING:
    from fabric.api.usage import UsageRow, UsageView

KINDS = (".csv", ".parquet")
"""Endings of the files that usage is exported to."""


def usage(
    ctx: typer.Context,
    by: Annotated[
        str, typer.Option(metavar="WORD,...", help="Of hour, day, project, user, model, tier, workload.")
    ] = "project",
    last: Annotated[str, typer.Option(metavar="7d", help="How far back, such as 12h or 30d.")] = "1d",
    project: Annotated[str | None, typer.Option(help="Only of this project.")] = None,
    workload: Annotated[
        str | None,
        typer.Option(help="Only of this job or service.", autocompletion=completing.workloads),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Export to FILE.csv or FILE.parquet.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Show or export what was used: accelerators, cores and memory, times hours.

    Raises:
        BadInput: If the file's ending is not known.
    """
    import time

    if out is not None and out.suffix not in KINDS:
        raise BadInput(f"--out: {out} ends with none of {', '.join(KINDS)}")
    since = time.time() - seconds_of(last, "--last")
    with session(ctx).client() as client:
        wanted = [word for word in by.split(",") if word]
        found = client.people.usage(wanted, since=since, project=project, workload=workload)
    if out is not None:
        _export(found, out)
        show.note(f"{len(found.rows)} rows written to {out}")
    elif json:
        show.as_json(found)
    elif found.rows:
        show.console().print(_table(found))
    else:
        show.note("nothing was used in this time")


def _table(found: UsageView) -> Any:
    columns = _columns(found)
    return show.table(
        [column.upper().replace("_", " ") for column in columns], (_cells(r, columns) for r in found.rows)
    )


def _columns(found: UsageView) -> list[str]:
    """Those in which something stands."""
    from fabric.api.usage import COLUMNS

    return [column for column in COLUMNS if any(getattr(row, column) is not None for row in found.rows)]


def _cells(row: UsageRow, columns: Iterable[str]) -> list[str]:
    return [_cell(column, getattr(row, column)) for column in columns]


def _cell(column: str, value: Any) -> str:
    if column == "begins":
        return _instant(value)
    return f"{value:.3f}" if isinstance(value, float) else str(value) or "-"


def _instant(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _export(found: UsageView, out: Path) -> None:
    """Write every row; hours and days as text in UTC in CSV, as instants in Parquet.

    Raises:
        BadInput: If what writes Parquet is not installed.
    """
    columns = _columns(found) or ["cpu_hours", "gpu_hours", "memory_gib_hours"]
    if out.suffix == ".csv":
        with out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for row in found.rows:
                values = (getattr(row, column) for column in columns)
                writer.writerow(_instant(v) if c == "begins" else v for c, v in zip(columns, values, strict=True))
        return
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise BadInput('writing Parquet needs pyarrow. Run: pip install "compute-fabric[train]"') from None
    data = {column: [_value(column, getattr(row, column)) for row in found.rows] for column in columns}
    parquet.write_table(pyarrow.table(data), out)


def _value(column: str, value: Any) -> Any:
    return datetime.fromtimestamp(value, UTC) if column == "begins" else value
