"""Commands about deployments over time: `deployments`, `rollback`.

Knows nothing of models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fabric.cli import completing, show, watching
from fabric.cli.jobs import Json
from fabric.cli.models import tell_service
from fabric.cli.session import session
from fabric.sdk.progress import Progress

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fabric.api.deployments import DeploymentList, DeploymentView, RevisionView

COLUMNS = ("NAME", "PROJECT", "KIND", "SERVES", "STATE", "AGE", "WORKLOAD")
"""Heads of the list of deployments."""
REVISIONS = ("WORKLOAD", "STATE", "AGE", "BY", "SERVES", "MESSAGE")
"""Heads of the list of one deployment's revisions."""

Project = Annotated[
    str | None,
    typer.Option(metavar="PROJECT", help="Whose, for keys of the whole site; else the key's own.", show_default=False),
]


def deployments(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Show the revisions of this one.",
            show_default=False,
            autocompletion=completing.deployments,
        ),
    ] = None,
    project: Project = None,
    json: Json = False,
    watch: watching.Watch = False,
) -> None:
    """List what is served under a name, or what one of these has served, newest first."""
    from fabric.api.deployments import DeploymentList

    with session(ctx).client() as client:

        def look() -> DeploymentList | DeploymentView:
            if name:
                return client.deployment(name, project=project)
            return DeploymentList(deployments=client.deployments(project))

        if watch:
            watching.go_on(look, _drawn, json=show.as_json if json else None)
        found = look()
    if json:
        show.as_json(found)
    elif isinstance(found, DeploymentList) and not found.deployments:
        show.note("nothing is deployed; see `fabric deploy --deployment NAME`")
    else:
        show.console().print(_drawn(found))


def _drawn(found: DeploymentList | DeploymentView) -> RenderableType:
    from fabric.api.deployments import DeploymentView

    if isinstance(found, DeploymentView):
        return show.table(REVISIONS, map(_revision_row, found.revisions))
    return show.table(COLUMNS, map(_deployment_row, found.deployments))


def _deployment_row(each: DeploymentView) -> tuple[object, ...]:
    newest = each.revisions[0]
    age = show.since(newest.deployed_at)
    return each.name, each.project, each.kind, _serves(newest), _state(newest), age, newest.workload


def rollback(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Name of the deployment.", show_default=False, autocompletion=completing.deployments
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="WORKLOAD",
            help="Which revision; else the newest before that answered and served something else.",
            show_default=False,
        ),
    ] = None,
    project: Project = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it answers.")] = False,
    json: Json = False,
) -> None:
    """Let what a deployment served before run again in the place of what it serves now.

    Of a model it is the very version that was served then, whatever an alias means by now.
    """
    with session(ctx).client() as client:
        view = client.rollback(name, to=to, project=project, wait=False)
        if wait:
            with Progress() as shown:
                view = client.wait(view.name, on_update=shown)
    tell_service(view, json=json)


def _revision_row(one: RevisionView) -> tuple[object, ...]:
    age = show.since(one.deployed_at)
    return one.workload, _state(one), age, one.deployed_by or "-", _serves(one), one.message


def _state(one: RevisionView) -> str:
    return f"{one.state} ({one.condition})" if one.condition else one.state


def _serves(one: RevisionView) -> str:
    return f"{one.serves} = {one.version}" if one.version and one.version != one.serves else one.serves
