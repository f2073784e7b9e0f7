"""Commands about arrays of jobs: the group `arrays`; `fabric submit --array N` makes one.

Knows nothing of what the elements do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fabric.cli import completing, exits, jobs, show, watching
from fabric.cli.jobs import Json
from fabric.cli.session import session

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fabric.api.arrays import ArrayView

arrays = typer.Typer(
    name="arrays",
    help="Equal jobs that were handed in together (`fabric submit --array N`).",
    epilog=exits.TABLE,
    no_args_is_help=True,
    rich_markup_mode=None,
)
"""The group of commands about arrays."""

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Name of the array.", show_default=False, autocompletion=completing.arrays),
]


@arrays.command("show", epilog=exits.TABLE)
def show_array(ctx: typer.Context, name: Name, json: Json = False, watch: watching.Watch = False) -> None:
    """Show how an array as a whole stands, and each of its elements."""
    with session(ctx).client() as client:
        if watch:
            watching.go_on(lambda: client.arrays.get(name), _drawn, json=show.as_json if json else None)
        view = client.arrays.get(name)
    if json:
        show.as_json(view)
        return
    typer.echo(sentence(view))
    show.console().print(jobs.table(view.elements))


@arrays.command("stop", epilog=exits.TABLE)
def stop_array(
    ctx: typer.Context,
    name: Name,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all have ended.")] = False,
    yes: show.Yes = False,
    json: Json = False,
) -> None:
    """Ask every element that has not ended to save and leave."""
    show.ask_at_terminal(f"Stop all of {name}? Each is asked to save and leave.", yes=yes)
    with session(ctx).client() as client:
        view = client.arrays.stop(name)
        if wait:
            view = client.arrays.wait(name)
    if json:
        show.as_json(view)
    else:
        typer.echo(sentence(view))


@arrays.command("delete", epilog=exits.TABLE)
def delete_array(
    ctx: typer.Context,
    name: Name,
    yes: show.Yes = False,
) -> None:
    """Forget all elements of an array that has ended, with their logs."""
    with session(ctx).client() as client:
        view = client.arrays.get(name, elements=False)
        show.require_sure(f"Forget {sum(view.counts.values())} elements of {name} and their logs?", yes=yes)
        client.arrays.delete(name)
    show.note(f"{name} is forgotten")


def _drawn(view: ArrayView) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    return Group(Text(sentence(view)), jobs.table(view.elements))


def sentence(view: ArrayView) -> str:
    """How an array as a whole stands."""
    counts = ", ".join(f"{count} {state}" for state, count in view.counts.items())
    took = f", {show.duration(view.ended_at - view.submitted_at)} after it was handed in" if view.ended_at else ""
    return f"{view.name} ({view.size} elements) is {view.state}: {counts}{took}"
