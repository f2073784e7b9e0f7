"""Commands about registered models: the group `models`, and `deploy`.

Knows nothing of training.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fabric.cli import exits, show
from fabric.cli.jobs import Json
from fabric.cli.session import session
from fabric.core.errors import BadInput
from fabric.sdk.progress import Progress
from fabric.workloads.states import FINAL, State

if TYPE_CHECKING:
    from fabric.api.admin import WorkloadView

COLUMNS = ("MODEL", "PROJECT", "VERSION", "ALIASES", "SERVED BY", "AGE", "METRICS", "URI")
"""Heads of the list of model versions."""

MOVES = ("AT", "ALIAS", "FROM", "TO", "BY", "WHY")
"""Heads of the list of moves by hand."""

Engine = Literal["auto", "vllm", "transformers", "echo"]


models = typer.Typer(
    name="models",
    help="Registered models: list them and their versions, move an alias by hand.",
    epilog=exits.TABLE,
    invoke_without_command=True,
    rich_markup_mode=None,
)
"""The group of commands about models; by itself it lists them."""

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.", show_default=False)]
Project = Annotated[
    str | None, typer.Option(metavar="PROJECT", help="Whose model; the key's own if left out.", show_default=False)
]


@models.callback()
def list_models(ctx: typer.Context, json: Json = False) -> None:
    """List the registered models and their versions, unless a command says otherwise.

    Raises:
        BadInput: If `--json` stands before a command.
    """
    if ctx.invoked_subcommand is not None:
        if json:
            raise BadInput("--json goes behind the command, as in `fabric models moves MODEL --json`")
        return
    with session(ctx).client() as client:
        found = client.models()
    if json:
        from fabric.api.admin import ModelList

        show.as_json(ModelList(models=found))
        return
    if not found:
        show.note("no model is registered yet")
        return
    rows = (
        (
            model.name,
            model.project or "-",
            model.version,
            " ".join(model.aliases) or "-",
            " ".join(each.deployment or each.workload for each in model.served_by) or "-",
            show.since(model.created_at),
            " ".join(f"{name}={value:.4g}" for name, value in model.metrics.items()) or "-",
            model.uri,
        )
        for model in found
    )
    show.console().print(show.table(COLUMNS, rows))


@models.command(epilog=exits.TABLE)
def alias(
    ctx: typer.Context,
    model: Model,
    alias: Annotated[
        str, typer.Argument(metavar="ALIAS", help="The alias, such as champion; new or not.", show_default=False)
    ],
    version: Annotated[
        int, typer.Argument(metavar="VERSION", min=1, help="Version to which it should point.", show_default=False)
    ],
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Why; kept with the move.", show_default=False)],
    project: Project = None,
    json: Json = False,
) -> None:
    """Point an alias to a version by hand, whatever the rule of the jobs that register it would say.

    For operators and administrators of the project. What runs goes on with the version that it began with.
    """
    with session(ctx).client() as client:
        moved = client.alias(model, alias, version, reason=why, project=project)
    if json:
        show.as_json(moved)
        return
    had = "new" if moved.before is None else f"was at {moved.before}"
    typer.echo(f"{moved.model}@{moved.alias} points to version {moved.version} ({had})")


@models.command(epilog=exits.TABLE)
def moves(ctx: typer.Context, model: Model, project: Project = None, json: Json = False) -> None:
    """List the aliases of a model that people moved by hand, newest first: who, when and why."""
    with session(ctx).client() as client:
        found = client.alias_moves(model, project=project)
    if json:
        from fabric.api.models import AliasMoveList

        show.as_json(AliasMoveList(moves=found))
        return
    if not found:
        show.note(f"nobody has moved an alias of {model} by hand")
        return
    rows = ((show.clock(each.at), each.alias, each.before or "-", each.version, each.by, each.reason) for each in found)
    show.console().print(show.table(MOVES, rows))


def deploy(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL@ALIAS", help="Model and alias or version, such as shakespeare@champion.", show_default=False
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the workload; made up if left out.")] = None,
    engine: Annotated[Engine, typer.Option(help="Inference engine.")] = "auto",
    replicas: Annotated[
        str, typer.Option(metavar="N|MIN-MAX", help="Replicas; of MIN-MAX it begins with MIN, see `fabric scale`.")
    ] = "1",
    gpus: Annotated[float, typer.Option(help="Accelerators of each.")] = 1.0,
    tier: Annotated[str, typer.Option(help="Tier to run on; empty for any.")] = "gpu",
    cpus: Annotated[float, typer.Option(help="CPU cores of each.")] = 2.0,
    memory: Annotated[str, typer.Option(help="Memory of each, with unit.")] = "3 GiB",
    deployment: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Take the place of what this deployment serves; `fabric rollback` goes back.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it answers.")] = False,
    json: Json = False,
) -> None:
    """Serve a registered model."""
    count = _replicas(replicas)
    with session(ctx).client() as client:
        view = client.deploy(
            model, name=name, engine=engine, replicas=count, gpus=gpus, tier=tier or None, cpus=cpus, memory=memory,
            wait=False, deployment=deployment,
        )  # fmt: skip
        if wait:
            with Progress() as shown:
                view = client.wait(view.name, on_update=shown)
    tell_service(view, json=json)


def tell_service(view: WorkloadView, *, json: bool) -> None:
    """Say how a service that was handed in stands, and fail if it has."""
    if json:
        show.as_json(view)
    elif view.endpoint:
        typer.echo(f"{view.name} answers at {view.endpoint}")
    else:
        typer.echo(f"{view.name} is {view.state}; `fabric explain {view.name}` says why")
    exits.fail_if(view.state in FINAL and view.state != State.SUCCEEDED)


def _replicas(text: str) -> int | tuple[int, int]:
    """A number, or the fewest and the most.

    Raises:
        BadInput: If it is neither.
    """
    match = re.fullmatch(r"([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?", text)
    if match is None:
        raise BadInput(f"--replicas: {text!r} is neither a number such as 2 nor fewest and most such as 1-4")
    fewest, most = match.groups()
    return int(fewest) if most is None else (int(fewest), int(most))
