"""The command `notebook`: an interactive grant with a notebook server in it, for a browser.

Knows nothing of where it runs.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fabric.cli import show
from fabric.cli.people import seconds_of
from fabric.cli.session import Session, session
from fabric.cli.shell import (
    LOOK_EVERY_S,
    Called,
    Cpus,
    Gpus,
    Memory,
    Project,
    Tier,
    interactive,
    stop_quietly,
    until_running,
)
from fabric.core.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from fabric.sdk import AsyncClient

COMES_S = 180.0
"""How long a workload that runs may take to serve its notebooks, in seconds."""
MODULE = "fabric.sdk.notebook"
"""What runs in the workload."""
LAST_WORDS = 2000
"""Letters of its log that are shown where it ended instead."""


def notebook(
    ctx: typer.Context,
    cpus: Cpus = 1.0,
    gpus: Gpus = 0.0,
    memory: Memory = "2 GiB",
    tier: Tier = None,
    project: Project = None,
    idle: Annotated[str, typer.Option(metavar="30m", help="End it once nothing ran for so long.")] = "30m",
    name: Called = None,
    pip: Annotated[
        list[str] | None,
        typer.Option(metavar="PACKAGE", help="Let Ray install it first; `jupyterlab` where there is no Jupyter."),
    ] = None,
    attach: Annotated[
        str | None, typer.Option(metavar="NAME", help="Instead: another address of one that runs.", show_default=False)
    ] = None,
) -> None:
    """Get a slice of the fabric with a Jupyter server in it, and print its address for a browser.

    The address opens once, within a minute; the browser may work for half a day then, as long as the key that asked is
    valid. The slice is held until the server is shut down, or until nothing ran for a while. It needs jupyterlab or
    notebook where the work runs.
    """
    group = {"cpus": cpus, "gpus": gpus, "memory": memory, "tier": tier}
    spec = interactive(MODULE, seconds_of(idle, "--idle"), group, name=name, project=project)
    if pip:
        spec["runtime_env"] = {"pip": pip}
    asyncio.run(_notebook(session(ctx), spec, attach))


async def _notebook(to: Session, spec: dict[str, Any], attach: str | None) -> None:
    """Everything, from asking to the address.

    Raises:
        KeyboardInterrupt: If somebody pressed Ctrl-C while it waited; then nothing is left of it.
        CancelledError: The same.
    """
    async with to.async_client() as client:
        name = attach or (await client.submit(spec)).name
        try:
            address = client.address + await _path(client, name)
        except (KeyboardInterrupt, asyncio.CancelledError):
            if not attach:
                await stop_quietly(client, name)
            raise
    typer.echo(address)
    show.note(f"`fabric notebook --attach {name}` prints another address, `fabric stop {name}` ends it")


async def _path(client: AsyncClient, name: str) -> str:
    """The path of its pages, once they are there.

    Raises:
        Conflict: If it ended instead, with what it said.
        Unavailable: If they do not come.
    """
    try:
        await until_running(client, name)
        ends = time.monotonic() + COMES_S
        while True:
            try:
                return (await client.notebook(name)).path
            except Unavailable:
                if time.monotonic() > ends:
                    raise
            await asyncio.sleep(LOOK_EVERY_S)
    except Conflict as ended:
        raise Conflict(f"{ended.message}: {await _last_words(client, name)}") from None


async def _last_words(client: AsyncClient, name: str) -> str:
    text = "".join([piece async for piece in client.logs(name, follow=False)])
    return text[-LAST_WORDS:].strip() or f"look at `fabric explain {name}`"
