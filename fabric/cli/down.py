"""The command `down`: drain the work, then end the fabric of this machine.

Knows nothing of how work is drained.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

from fabric.cli import exits, show, sites, startup
from fabric.cli.local import LocalFabric
from fabric.cli.processes import Running
from fabric.cli.session import Session, session
from fabric.core.errors import FabricError, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from fabric.sdk import Client

ASKED_S = 10.0
"""How long control is asked to let the work leave, in seconds, while it does not answer."""

AWAY_S = startup.START_S
"""How long it may be away then, in seconds, before `fabric up` itself is asked to end: as long as a start may take."""

END_S = 60.0
"""Longest wait for `fabric up` to end once it was asked, in seconds."""

_LOOK_EVERY_S = 0.2


def down(
    ctx: typer.Context,
    now: Annotated[bool, typer.Option("--now", help="Kill the work at once instead of letting it save.")] = False,
    state: sites.StateFolder = None,
    yes: show.Yes = False,
) -> None:
    """Drain the work and end the fabric of this machine."""
    local = LocalFabric(sites.state_folder(state))
    running = local.running()
    if running is None:
        typer.echo(f"nothing is running on {local.folder}")
        return
    if now:
        show.ask_at_terminal("Kill all work of this fabric at once, whatever it has not saved?", yes=yes)
    address = local.control_address()
    drained = address is not None and _drain(session(ctx), local.folder, address, kill=now, running=running)
    end(running)
    if not drained:
        exits.leave(
            "control did not answer: the fabric has ended, and work that was running may go on. "
            "`fabric up` and `fabric down` again drain it.",
            exits.UNREACHABLE,
        )
    typer.echo("the fabric has ended; " + ("its work was killed" if now else "its work has left"))


def _drain(to: Session, folder: Path, address: str, *, kill: bool, running: Running) -> bool:
    """Let the work end and wait for that; whether control has done it."""
    with Session(to.transport, patience_s=ASKED_S).own_client(folder, address) as client:
        if not _ask_to_end(client, kill=kill):
            return False
    with Session(to.transport, patience_s=0.0).own_client(folder, address) as client:
        return _wait_while_it_drains(client, running, kill=kill)


def _ask_to_end(client: Client, *, kill: bool) -> bool:
    """Whether control will end the work."""
    try:
        client.shutdown(kill=kill)
    except Unavailable as error:
        show.note(f"warning: {error.message}")
        return False
    return True


def _wait_while_it_drains(client: Client, running: Running, *, kill: bool) -> bool:
    """Wait until `fabric up` has ended by itself, as it does once all work has left, or control stays away.

    Returns:
        Whether it has ended.
    """
    said, last_seen, away = -1, time.monotonic(), False
    while running.alive and time.monotonic() - last_seen < AWAY_S:
        try:
            active = client.health().active
            if away:  # one that was started again meanwhile knows of no end
                client.shutdown(kill=kill)
        except FabricError:
            away = True
        else:
            if active != said:
                show.note(f"{active} workload{'' if active == 1 else 's'} left")
            said, last_seen, away = active, time.monotonic(), False
        time.sleep(_LOOK_EVERY_S)
    return not running.alive


def end(running: Running, longest_s: float = END_S) -> None:
    """Ask a process to end and wait for that; kill it if it does not, which ends its children too.

    Raises:
        Unavailable: If it cannot be ended.
    """
    for number, ends in (
        (signal.SIGTERM, time.monotonic() + longest_s),
        (signal.SIGKILL, time.monotonic() + longest_s + 5),
    ):
        while running.alive and time.monotonic() < ends:
            os.kill(running.pid, number)
            time.sleep(_LOOK_EVERY_S)
    if running.alive:
        raise Unavailable(f"process {running.pid} (`fabric up`) does not end", pid=running.pid)
