"""Find and end processes that a run has left behind, however they hid. Linux only.

Knows nothing of what they are. A process counts if its environment holds the run's marker, or if it descends from us:
we adopt orphans, because a process may overwrite the memory its environment is read from (Ray's workers do).
"""

import ctypes
import os
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
END_S = 5.0


@dataclass(frozen=True, slots=True)
class Leftover:
    """A process that should be gone."""

    pid: int
    command: str


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, instead of process 1."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap() -> dict[int, int]:
    """Wait for children that have ended; wait statuses by process id."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def _parent_and_state(pid: int) -> tuple[int, str]:
    # The command, in brackets, may itself contain brackets and spaces.
    state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    return int(parent), state


def _descends_from(pid: int, ancestor: int) -> bool:
    while pid > 1:
        pid = _parent_and_state(pid)[0]
        if pid == ancestor:
            return True
    return False


def _leftover(pid: int, marker: bytes) -> Leftover | None:
    try:
        marked = marker in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if _parent_and_state(pid)[1] == "Z" or not (marked or _descends_from(pid, os.getpid())):
            return None
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return Leftover(pid, words.decode(errors="replace").strip()[:200])


def find(name: str, value: str, settle_s: float, spared: Callable[[], Collection[int]] = tuple) -> list[Leftover]:
    """Processes of the run that are still there after `settle_s`; returns as soon as there are none.

    Args:
        name: Of the marker.
        value: Of the marker.
        settle_s: How long they may take to leave.
        spared: Says which process ids are somebody's that stays; asked anew at every look.
    """
    marker = f"{name}={value}".encode()
    deadline = time.monotonic() + settle_s
    while True:
        reap()
        pids = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
        found = [left for pid in pids - {os.getpid(), *spared()} if (left := _leftover(pid, marker))]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def end(processes: list[Leftover]) -> None:
    """Ask each to end, and kill what does not within some seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            try:
                os.kill(process.pid, number)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + END_S
        while any(Path(f"/proc/{p.pid}").exists() for p in processes) and time.monotonic() < deadline:
            reap()
            time.sleep(0.05)
