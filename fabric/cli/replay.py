"""The command `replay`.

Knows nothing of what a decision looks at.
"""

from __future__ import annotations

import difflib
import json as text_of
from pathlib import Path
from typing import Annotated

import typer

from fabric.cli import exits, show
from fabric.cli.jobs import Json
from fabric.cli.session import session
from fabric.core.errors import BadInput


def replay(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A recorded decision.", show_default=False)
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Take the last decision of the fabric that runs.")] = False,
    record: Annotated[
        Path | None, typer.Option(metavar="OUT.json", help="Write the live decision to a file.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Decide a recorded decision again, and compare the plans.

    Raises:
        BadInput: If it is not clear which decision is meant, or a file cannot be read or written.
    """
    from fabric.scheduler.replay import replay as decide_again

    if (file is None) != live or (record and not live):
        raise BadInput("which decision? Give a FILE, or --live (and --record OUT.json to keep it).")
    text = _live(ctx, record) if file is None else _text(file)
    found = decide_again(text, str(file or "the last decision"))
    if json:
        show.plain_json({"same": found.same, "recorded": found.recorded, "again": found.again})
    elif found.same:
        starts, waits = len(found.again["placed"]), len(found.again["waits"])
        typer.echo(f"the same plan: {starts} start, {waits} wait")
    else:
        before, after = (text_of.dumps(side, indent=1).splitlines() for side in (found.recorded, found.again))
        typer.echo("\n".join(difflib.unified_diff(before, after, "recorded", "again", lineterm="")))
    exits.fail_if(not found.same)


def _live(ctx: typer.Context, record: Path | None) -> str:
    """The last decision of the fabric that runs, kept in a file on wish.

    Raises:
        BadInput: If it cannot be written.
    """
    with session(ctx).client() as client:
        text = client.decision()
    if record is not None:
        try:
            record.write_text(text, encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{record}: cannot be written: {error}") from None
    return text


def _text(file: Path) -> str:
    """What is in a file.

    Raises:
        BadInput: If it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{file}: cannot be read: {error}. Give a file written by `fabric simulate run --record`, or by "
            "`fabric replay --live --record`."
        ) from None
