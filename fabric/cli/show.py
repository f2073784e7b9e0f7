"""What commands print: tables that fit the terminal, JSON, times and sizes in words.

Knows nothing of what is shown.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fabric.core.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fabric.config.settings import Settings

WIDTH_OF_A_PIPE = 160
"""Columns of a table that does not go to a terminal."""


def console() -> Console:
    """Where tables go."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE, highlight=False, markup=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table without lines; the last column gives way where the terminal is narrow."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # Rich takes width first from columns that may wrap: the last one, whose cells then do not.
        drawn.add_column(column, no_wrap=column != columns[-1], overflow="ellipsis")
    for row in rows:
        drawn.add_row(*(Text(str(cell), no_wrap=True, overflow="ellipsis") for cell in row))
    return drawn


def as_json(value: Settings) -> None:
    """Print wire JSON."""
    typer.echo(value.model_dump_json(indent=2))


def plain_json(value: Any) -> None:
    """Print what is no wire type as JSON."""
    typer.echo(json.dumps(value, indent=2))


def note(message: str) -> None:
    """Say something that is not the answer, on stderr."""
    typer.echo(message, err=True)


Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether you are sure.")]
"""Option of commands that take away what cannot be had back."""


def require_sure(question: str, *, yes: bool) -> None:
    """Ask whether somebody is sure, unless he has said so; where nobody answers nothing is done.

    Raises:
        Abort: If he is not.
        BadInput: If nobody answers.
    """
    if yes:
        return
    try:
        sure = typer.confirm(question, err=True)
    except typer.Abort:
        if at_terminal():
            raise
        raise BadInput("nobody is here to answer: give --yes if you are sure") from None
    if not sure:
        raise typer.Abort


def ask_at_terminal(question: str, *, yes: bool) -> None:
    """Ask whether somebody who types is sure; programs are taken at their word.

    Raises:
        Abort: If he is not.
    """
    require_sure(question, yes=yes or not at_terminal())


def draws_on_stderr() -> bool:
    """Whether somebody looks at what we say beside the answer, so that it may be drawn anew."""
    return sys.stderr.isatty()


def at_terminal() -> bool:
    """Whether somebody types what we read."""
    return sys.stdin.isatty()


def duration(seconds: float) -> str:
    """A span of time in at most two units."""
    whole = max(0, round(seconds))
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // part
            return f"{whole // length}{unit}" + (f"{rest}{smaller}" if rest else "")
    return f"{whole}s"


def since(instant: float | None, until: float | None = None) -> str:
    """Time from `instant` to `until` or now; a dash where there is none."""
    return "-" if instant is None else duration((time.time() if until is None else until) - instant)


def clock(instant: float) -> str:
    """An instant as local time of day, with the date if it is another day."""
    then = time.localtime(instant)
    same_day = time.strftime("%Y-%m-%d", then) == time.strftime("%Y-%m-%d")
    return time.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S", then)


def size(num_bytes: float) -> str:
    """Bytes in the largest unit that leaves a number above one."""
    for unit, step in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if num_bytes >= step:
            return f"{num_bytes / step:.3g} {unit}"
    return f"{num_bytes:.0f} B"


def amounts(cpus: float, gpus: float, memory_bytes: float) -> str:
    """Resources in words."""
    parts = [f"{cpus:g} CPUs" if cpus else "", f"{gpus:g} GPUs" if gpus else "", size(memory_bytes)]
    return ", ".join(part for part in parts if part)
