"""Commands about secrets of projects: the group `secrets`.

Knows nothing of how work is told. A value is never an argument, as everybody on a machine sees those.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fabric.cli import exits, show
from fabric.cli.jobs import Json
from fabric.cli.session import session
from fabric.core.errors import BadInput

secrets = typer.Typer(
    name="secrets",
    help="What jobs of a project may be told and nobody is shown, such as tokens; a spec names it in `secrets`.",
    epilog=exits.TABLE,
    no_args_is_help=True,
    rich_markup_mode=None,
)
"""The group of commands about secrets."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the secret.", show_default=False)]
Project = Annotated[
    str | None, typer.Option(metavar="PROJECT", help="Whose; the key's own if left out.", show_default=False)
]

COLUMNS = ("SECRET", "PROJECT", "SET BY", "SET")
"""Heads of the list of secrets."""


@secrets.command("list", epilog=exits.TABLE)
def list_secrets(ctx: typer.Context, project: Project = None, json: Json = False) -> None:
    """List the secrets of a project; what they hold is told to nobody."""
    with session(ctx).client() as client:
        found = client.secrets.list(project=project)
    if json:
        from fabric.api.secrets import SecretList

        show.as_json(SecretList(secrets=found))
    elif found:
        rows = ((one.name, one.project, one.set_by, show.clock(one.set_at)) for one in found)
        show.console().print(show.table(COLUMNS, rows))
    else:
        show.note("the project has no secrets; `fabric secrets set NAME` makes one")


@secrets.command("set", epilog=exits.TABLE)
def set_secret(
    ctx: typer.Context,
    name: Name,
    file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Read the value from a file, as it is.", show_default=False),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Let a secret hold a value: what is typed, unseen, or the first line of the input.

    Work that has started goes on with what it was told.
    """
    value = _value(name, file)
    with session(ctx).client() as client:
        view = client.secrets.put(name, value, project=project)
    if json:
        show.as_json(view)
    else:
        typer.echo(f"secret {view.name} of project {view.project} is set; a spec says `secrets: {{VARIABLE: {name}}}`")


@secrets.command("delete", epilog=exits.TABLE)
def delete_secret(ctx: typer.Context, name: Name, project: Project = None, yes: show.Yes = False) -> None:
    """Forget a secret that no work needs any more."""
    show.require_sure(f"Forget secret {name}?", yes=yes)
    with session(ctx).client() as client:
        client.secrets.delete(name, project=project)
    show.note(f"{name} is forgotten")


def _value(name: str, file: Path | None) -> str:
    """What the secret should hold.

    Raises:
        BadInput: If there is nothing, or no text.
    """
    try:
        if file is not None:
            value = file.read_text(encoding="utf-8")
        elif show.at_terminal():
            value = str(typer.prompt(f"Value of {name}", hide_input=True, err=True))
        else:
            value = sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError:
        raise BadInput(f"{file or 'the input'} holds no text") from None
    if not value:
        raise BadInput(f"secret {name} would be empty: type a value, pipe a line, or give --from FILE")
    return value
