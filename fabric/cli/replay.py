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
from fabric.core.errors import BadInput


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recorded decision.", show_default=False)],
    json: Json = False,
) -> None:
    """Decide a recorded decision again, and compare the plans."""
    from fabric.scheduler.replay import replay as decide_again

    text = _text(file)
    found = decide_again(text, str(file))
    if json:
        show.plain_json({"same": found.same, "recorded": found.recorded, "again": found.again})
    elif found.same:
        starts, waits = len(found.again["placed"]), len(found.again["waits"])
        typer.echo(f"the same plan: {starts} start, {waits} wait")
    else:
        before, after = (text_of.dumps(side, indent=1).splitlines() for side in (found.recorded, found.again))
        typer.echo("\n".join(difflib.unified_diff(before, after, "recorded", "again", lineterm="")))
    exits.fail_if(not found.same)


def _text(file: Path) -> str:
    """What is in a file.

    Raises:
        BadInput: If it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{file}: cannot be read: {error}. Give a file written by `fabric simulate run --record`."
        ) from None
