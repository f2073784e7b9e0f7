"""Commands about files of projects: the group `artifacts`.

Knows nothing of what wrote them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fabric.cli import exits, show
from fabric.cli.jobs import Json
from fabric.cli.session import session

artifacts = typer.Typer(
    name="artifacts",
    help="Files of a project, which its jobs know as FABRIC_ARTIFACTS.",
    epilog=exits.TABLE,
    no_args_is_help=True,
    rich_markup_mode=None,
)
"""The group of commands about artifacts."""

Project = Annotated[
    str | None, typer.Option(metavar="PROJECT", help="Whose; the key's own if left out.", show_default=False)
]
Replace = Annotated[bool, typer.Option("--replace", help="Take the place of files that are there.")]

COLUMNS = ("SIZE", "CHANGED", "PATH")
"""Heads of the list of artifacts."""


@artifacts.command("list", epilog=exits.TABLE)
def list_artifacts(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A folder, or a file.", show_default=False)] = "",
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="List all files below it, at any depth.")
    ] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """List what is in a folder of the project; folders end with a slash."""
    with session(ctx).client() as client:
        found = client.artifacts.list(path, project=project, recursive=recursive)
    if json:
        from fabric.api.artifacts import ArtifactList

        show.as_json(ArtifactList(artifacts=found))
        return
    if not found:
        show.note("nothing is here")
        return
    rows = (
        (
            "-" if one.folder else show.size(one.num_bytes),
            show.clock(one.modified_at),
            f"{one.path}/" if one.folder else one.path,
        )
        for one in found
    )
    show.console().print(show.table(COLUMNS, rows))
    for one in found:
        if one.problem:
            show.note(f"{one.path} cannot be read: {one.problem}")


@artifacts.command("get", epilog=exits.TABLE)
def get_artifacts(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file, or a folder.", show_default=False)],
    to: Annotated[Path, typer.Argument(metavar="TO", help="Where it goes on this machine.")] = Path("."),
    project: Project = None,
    replace: Replace = False,
) -> None:
    """Fetch a file, or everything below a folder; each file whole or not at all."""
    with session(ctx).client() as client:
        for file in client.artifacts.download(path, to, project=project, replace=replace):
            typer.echo(str(file))


@artifacts.command("put", epilog=exits.TABLE)
def put_artifacts(
    ctx: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A file or folder of this machine.", show_default=False)
    ],
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Where it goes; into a folder if it ends with a slash.")
    ] = "/",
    project: Project = None,
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Send a file, or every file of a folder; each arrives whole or not at all, and is compared by its digest."""
    with session(ctx).client() as client:
        sent = client.artifacts.upload(source, path.lstrip("/"), project=project, replace=replace)
    if json:
        from fabric.api.artifacts import ArtifactList

        show.as_json(ArtifactList(artifacts=sent))
        return
    for one in sent:
        typer.echo(f"{one.path}  {show.size(one.num_bytes)}")
