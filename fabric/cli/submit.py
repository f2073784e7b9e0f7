"""The command `submit`: a spec, or an app's config file with a workload section, becomes a workload.

Knows nothing of where it will run.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fabric.cli import exits, show
from fabric.cli.jobs import Json
from fabric.cli.session import Session, session
from fabric.core.errors import BadConfig, BadInput
from fabric.sdk.progress import Progress
from fabric.workloads.states import FINAL, State

if TYPE_CHECKING:
    from fabric.api.admin import WorkloadView
    from fabric.sdk import AsyncClient
    from fabric.workloads.spec import WorkloadSpec

SECTION = "workload"
"""Section of an app's config file that holds the spec."""


def submit(
    ctx: typer.Context,
    spec: Annotated[
        Path | None, typer.Argument(metavar="SPEC.yaml", help="A workload spec.", show_default=False)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="APP.yaml", help="Instead: an app's config file with a `workload:` section."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Override a value; may be given again. With --config, `workload.` paths change the workload and "
            "others are handed on to the entrypoint.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the workload; made up if there is none.")] = None,
    after: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Start only once this job, or array, has succeeded; may be given again."),
    ] = None,
    array: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Hand in so many of this job, each told its number as FABRIC_ARRAY_INDEX.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Submissions with one key are one, however often this is run.", show_default=False
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job has ended or the service answers.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Show its log as it is written, and wait.")] = False,
    json: Json = False,
) -> None:
    """Hand in a job or a service.

    A job's working directory is the current one, unless its runtime environment names another; what Git ignores
    is not sent.
    """
    if follow and json:
        exits.leave("--follow prints the log and --json the workload; give one of them", exits.BAD_INPUT)
    wanted = _completed(_read(spec, config, sets or ()), name, after=after or (), array=array)
    if wanted.array is not None:
        if follow:
            exits.leave("--follow: an array has a log for each element; see `fabric logs NAME.0`", exits.BAD_INPUT)
        _hand_in_array(session(ctx), wanted, key, wait=wait, json=json)
        return
    view = asyncio.run(_submit(session(ctx), wanted, key, wait=wait or follow, follow=follow))
    if json:
        show.as_json(view)
    elif follow:
        show.note(_ending(view))
    else:
        typer.echo(view.name if not (wait or follow) else _ending(view))
    exits.fail_if(view.state in FINAL and view.state != State.SUCCEEDED)


def _read(spec: Path | None, config: Path | None, sets: Sequence[str]) -> WorkloadSpec:
    if spec and not config:
        return read_spec(spec, sets)
    if config and not spec:
        return read_app(config, sets)
    raise BadInput("give either a SPEC.yaml or --config APP.yaml")


def read_spec(file: Path, sets: Sequence[str]) -> WorkloadSpec:
    """Read a workload spec."""
    from fabric.config.load import load
    from fabric.workloads.spec import WorkloadSpec

    return load(WorkloadSpec, file, sets)


def read_app(file: Path, sets: Sequence[str]) -> WorkloadSpec:
    """Read the workload section of an app's config file; what is set elsewhere goes to the entrypoint.

    Raises:
        BadConfig: If there is no such section, or something in it is wrong.
    """
    from fabric.config.load import apply_sets, decode, read_yaml
    from fabric.workloads.spec import WorkloadSpec

    document = apply_sets(read_yaml(file), sets)
    section = document.get(SECTION)
    if not isinstance(section, dict):
        raise BadConfig(
            f"{file}: has no `{SECTION}:` section, which says what the app needs (name, entrypoint, groups). "
            "Add one, or run the app with `ray job submit`.",
            path=str(file),
        )
    spec = decode(WorkloadSpec, section, f"{file}: {SECTION}")
    handed_on = [item for item in sets if not item.startswith(f"{SECTION}.")]
    words = "".join(f" --set {shlex.quote(item)}" for item in handed_on)
    return spec.model_copy(update={"entrypoint": spec.entrypoint + words})


def _completed(spec: WorkloadSpec, name: str | None, *, after: Sequence[str], array: int | None) -> WorkloadSpec:
    """`spec` with what the options say, and with the current directory where it names none.

    Raises:
        BadInput: If an option does not go with it.
    """
    from fabric.core.ids import check_name
    from fabric.workloads.spec import MOST_ELEMENTS, ArraySpec

    changes: dict[str, object] = {"name": check_name(name)} if name else {}
    if after:
        changes["after"] = (*spec.after, *after)
    if array is not None:
        if spec.kind != "job" or array > MOST_ELEMENTS:
            raise BadInput(f"--array: is for jobs, and at most {MOST_ELEMENTS}")
        changes["array"] = ArraySpec(size=array)
    if spec.kind == "job" and "working_dir" not in spec.runtime_env:
        changes["runtime_env"] = {**spec.runtime_env, "working_dir": "."}
    return spec.model_copy(update=changes)


def _hand_in_array(to: Session, spec: WorkloadSpec, key: str | None, *, wait: bool, json: bool) -> None:
    from fabric.cli.arrays import sentence

    with to.client() as client:
        view = client.arrays.submit(spec, idempotency_key=key)
        if wait:
            with Progress() as shown:
                told = shown if show.draws_on_stderr() else lambda now: show.note(sentence(now))
                view = client.arrays.wait(view.name, on_update=told)
    if json:
        show.as_json(view)
    else:
        typer.echo(sentence(view) if wait else view.name)
    exits.fail_if(view.state in FINAL and view.state != State.SUCCEEDED)


async def _submit(to: Session, spec: WorkloadSpec, key: str | None, *, wait: bool, follow: bool) -> WorkloadView:
    async with to.async_client() as client:
        view = await client.submit(spec, idempotency_key=key)
        if not wait:
            return view
        try:
            return await _followed(client, view.name, with_log=follow)
        except asyncio.CancelledError:
            show.note(f"{view.name} goes on; `fabric stop {view.name}` ends it")
            raise


async def _followed(client: AsyncClient, name: str, *, with_log: bool) -> WorkloadView:
    """Say what happens to the workload until it is done."""
    said = ""

    def say(view: WorkloadView) -> None:
        nonlocal said
        line = f"{view.name} {view.state}: {view.message}"
        if line != said:
            show.note(line)
        said = line

    if not with_log and show.draws_on_stderr():
        with Progress() as shown:
            return await client.wait(name, on_update=shown)

    async def log() -> None:
        async for text in client.logs(name):
            typer.echo(text, nl=False)

    # A service's log goes on while it serves, so only a job's is waited for.
    writing = asyncio.create_task(log()) if with_log else None
    try:
        view = await client.wait(name, on_update=say)
        if writing and view.state in FINAL:
            await writing
        return view
    finally:
        if writing:
            writing.cancel()


def _ending(view: WorkloadView) -> str:
    if view.endpoint and view.state == State.RUNNING:
        return f"{view.name} answers at {view.endpoint}"
    took = show.since(view.running_at, view.ended_at) if view.ended_at else ""
    return f"{view.name} {view.state}" + (f" after {took}" if view.running_at and took else "") + f": {view.message}"
