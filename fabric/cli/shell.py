"""The command `shell`: an interactive grant, and this terminal connected with one inside it.

Knows nothing of where it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import time
import tty
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fabric.cli import show
from fabric.cli.people import seconds_of
from fabric.cli.session import Session, session
from fabric.core.errors import BadInput, Conflict, FabricError, Unavailable
from fabric.workloads.states import FINAL, State

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from fabric.sdk import AsyncClient

LOOK_EVERY_S = 0.5
"""Pause between two looks at a workload that waits, in seconds."""
COMES_S = 60.0
"""How long a workload that runs may take to serve its terminal, in seconds."""
MODULE = "fabric.sdk.terminal"
"""What runs in the workload."""
_TYPED_BYTES = 4096

Cpus = Annotated[float, typer.Option(min=0.0, help="CPU cores.")]
Gpus = Annotated[float, typer.Option(min=0.0, help="Accelerators.")]
Memory = Annotated[str, typer.Option(help="Memory, with unit.")]
Tier = Annotated[str | None, typer.Option(help="Tier to run on; the scheduler's choice if left out.")]
Project = Annotated[str | None, typer.Option(help="Who pays; that of the key if left out.")]
Called = Annotated[str | None, typer.Option(help="Name of the workload; made up if there is none.")]


def shell(
    ctx: typer.Context,
    cpus: Cpus = 1.0,
    gpus: Gpus = 0.0,
    memory: Memory = "2 GiB",
    tier: Tier = None,
    project: Project = None,
    idle: Annotated[str, typer.Option(metavar="30m", help="End it once nothing was typed for so long.")] = "30m",
    name: Called = None,
    attach: Annotated[
        str | None, typer.Option(metavar="NAME", help="Instead: go on with a shell that was left.", show_default=False)
    ] = None,
) -> None:
    """Get a slice of the fabric at once, or as soon as there is one, and type in it.

    The slice is held until the shell ends, or until nothing was typed for a while. A connection that breaks ends
    neither: `--attach NAME` goes on.

    Raises:
        BadInput: If there is no terminal here.
    """
    if not _here():
        raise BadInput("shell: needs a terminal; `fabric submit` runs commands without one")
    group = {"cpus": cpus, "gpus": gpus, "memory": memory, "tier": tier}
    spec = interactive(MODULE, seconds_of(idle, "--idle"), group, name=name, project=project)
    asyncio.run(_shell(session(ctx), spec, attach))


def interactive(
    module: str, idle_s: float, group: dict[str, Any], *, name: str | None, project: str | None
) -> dict[str, Any]:
    """What is asked for so that a module of ours serves somebody in one slice.

    Args:
        module: Runs in the workload.
        idle_s: Ends it after so long without use, in seconds.
        group: The slice.
        name: Of the workload; made up if there is none.
        project: Who pays; that of the key if there is none.
    """
    return {
        "entrypoint": f"python -m {module} --idle {idle_s:g}", "priority": "interactive", "groups": [group],
        "max_failures": 0, **({"name": name} if name else {}), **({"project": project} if project else {}),
    }  # fmt: skip


def _here() -> bool:
    """Whether a person types here."""
    return sys.stdin.isatty() and sys.stdout.isatty()


async def _shell(to: Session, spec: dict[str, Any], attach: str | None) -> None:
    """Everything, from asking to the end of the shell or of the connection.

    Raises:
        KeyboardInterrupt: If somebody pressed Ctrl-C while it waited; then nothing is left of what this began.
        CancelledError: The same.
    """
    async with to.async_client() as client:
        name = attach or (await client.submit(spec)).name
        try:
            await until_running(client, name)
            async with _opened(client, name) as socket:
                why = await _type(socket)
        except (KeyboardInterrupt, asyncio.CancelledError):
            if not attach:
                await stop_quietly(client, name)
            raise
        show.note(why or f"the connection broke; `fabric shell --attach {name}` goes on, `fabric stop {name}` ends it")


async def stop_quietly(client: AsyncClient, name: str) -> None:
    """End what was only waited for."""
    with contextlib.suppress(FabricError):
        await client.stop(name)


async def until_running(client: AsyncClient, name: str) -> None:
    """Say what it waits for until it runs.

    Raises:
        Conflict: If it ended instead.
    """
    said = ""
    while (view := await client.get(name)).state != State.RUNNING:
        if view.state in FINAL:
            raise Conflict(f"{name} is {view.state}: {view.message}")
        if (now := f"{name} is {view.state}: {view.message}") != said:
            show.note(said := now)
        await asyncio.sleep(LOOK_EVERY_S)


@contextlib.asynccontextmanager
async def _opened(client: AsyncClient, name: str) -> AsyncIterator[ClientConnection]:
    """The terminal, once it is there.

    Raises:
        Unavailable: If it does not come.
    """
    from fabric.sdk.terminals import terminal_of

    ends = time.monotonic() + COMES_S
    while True:
        try:
            async with terminal_of(client, name) as socket:
                yield socket
                return
        except Unavailable:
            if time.monotonic() > ends:
                raise
        await asyncio.sleep(LOOK_EVERY_S)


async def _type(socket: ClientConnection) -> str:
    """Pass on what is typed and shown; returns how the shell ended, or nothing if the connection did."""
    with _raw(sys.stdin.fileno()):
        shown, typed = asyncio.create_task(_show(socket)), asyncio.create_task(_pass_on(socket))
        try:
            done, _ = await asyncio.wait({shown, typed}, return_when=asyncio.FIRST_COMPLETED)
            return await shown if shown in done else await typed
        finally:
            for task in (shown, typed):
                task.cancel()
            await asyncio.gather(shown, typed, return_exceptions=True)


async def _show(socket: ClientConnection) -> str:
    """Show what comes; returns how the shell ended, or nothing if the connection did."""
    from websockets.exceptions import ConnectionClosed

    from fabric.api.terminal import REFUSED, Told

    with contextlib.suppress(ConnectionClosed):
        async for message in socket:
            if isinstance(message, bytes):
                os.write(sys.stdout.fileno(), message)
            elif (told := Told.model_validate_json(message)).exit_code is not None:
                return told.reason or f"the shell ended with code {told.exit_code}"
    return f"control closed the terminal: {socket.close_reason}" if socket.close_code == REFUSED else ""


async def _pass_on(socket: ClientConnection) -> str:
    """Send what is typed, and the window's size whenever it changes, until the connection ends; returns nothing."""
    from websockets.exceptions import ConnectionClosed

    from fabric.api.terminal import Told

    loop, typed = asyncio.get_running_loop(), asyncio.Queue[bytes | None]()
    source = sys.stdin.fileno()
    loop.add_reader(source, lambda: typed.put_nowait(os.read(source, _TYPED_BYTES)))
    loop.add_signal_handler(signal.SIGWINCH, typed.put_nowait, None)
    typed.put_nowait(None)
    try:
        while True:
            keys = await typed.get()
            if keys is None:
                columns, rows = os.get_terminal_size(sys.stdout.fileno())
                await socket.send(Told(rows=max(1, rows), columns=max(1, columns)).model_dump_json())
            else:
                await socket.send(keys)
    except ConnectionClosed:
        return ""
    finally:
        loop.remove_reader(source)
        loop.remove_signal_handler(signal.SIGWINCH)


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Let every key reach the other side, also Ctrl-C."""
    before = termios.tcgetattr(descriptor)
    # What was typed while it waited is typed there.
    tty.setraw(descriptor, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
