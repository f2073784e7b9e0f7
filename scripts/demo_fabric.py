"""A fabric of one's own for a demo or a bench: earlier remains ended and removed, and down again however it ends.

Knows nothing of what runs on it.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from fabric.backends.local import processes
from fabric.cli.local import LocalFabric
from fabric.cli.processes import Lock
from fabric.config import env
from fabric.core.errors import Conflict, FabricError
from fabric.sdk import Client
from scripts.demo_site import Home
from scripts.rigging.layout import ROOT

FABRIC = Path(sys.executable).with_name("fabric")
CONTROL, GATEWAY = 8270, 8271
PREDECESSOR_S = 20.0
"""Longest wait for the programs of a fabric that was killed to be gone, in seconds."""


def end_in_order() -> None:
    """Let SIGTERM and a closed terminal end this program as an exception does: what was begun is taken down."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    # Once is enough: what is taken down now must not be interrupted by the same wish again.
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def command(verb: str, home: Home, *words: str) -> None:
    """Run `fabric VERB` on a home's state folder.

    Raises:
        FabricError: With the command's own last words, if it fails.
    """
    line = [str(FABRIC), verb, "--state", str(home.state), *words]
    seen = {**os.environ, **home.variables, env.STATE: str(home.state)}
    done = subprocess.run(line, cwd=ROOT, env=seen, stderr=subprocess.PIPE, text=True)
    said = done.stderr.strip()
    if done.returncode:
        words_of_it = said.splitlines()[-1].removeprefix("error: ") if said else "it said nothing"
        raise FabricError(f"`fabric {verb}` ended with {done.returncode}: {words_of_it}", exit_code=done.returncode)
    if said:
        print(said, file=sys.stderr)


def forget(home: Home) -> None:
    """Remove the records and outputs of an earlier run, after ending whatever of it still lives.

    Raises:
        Conflict: If the folder holds something else, or somebody stays in it.
        FabricError: If the fabric that lives there cannot be ended.
    """
    state = home.state
    if not state.exists() or not any(state.iterdir()):
        return
    local = LocalFabric(state)
    if not local.lock.file.exists():
        raise Conflict(f"{state} is not empty and holds no fabric's records. Give another --state.")
    if local.running():
        command("down", home, "--now")
    with _held(local.lock), _held(local.control_lock):
        for folder in state.glob("clusters/*"):
            processes.end_all((f"{env.STATE}={state}", f"{env.CLUSTER}={folder.name}"), 5.0)
        for path in state.iterdir():
            if path not in {local.lock.file, local.control_lock.file}:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextmanager
def _held(lock: Lock) -> Iterator[None]:
    ends = time.monotonic() + PREDECESSOR_S
    while not lock.take():
        if time.monotonic() > ends:
            raise Conflict(f"a process still holds {lock.file}. End it, or give another --state.")
        time.sleep(0.1)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def fabric_up(home: Home, console: Console, *, keep: bool) -> Iterator[Client]:
    """A fabric with its records in its home; taken down at the end, also of a start that failed.

    Raises:
        FabricError: If it does not start, or does not end.
    """
    home.state.mkdir(parents=True, exist_ok=True)
    try:
        command("up", home, "--site", str(home.site), "--detach")
        with Client(home.url(CONTROL), env.admin_key(home.state), state=home.state) as client:
            yield client
    finally:
        if not keep:
            console.print("taking the fabric down")
            command("down", home)
