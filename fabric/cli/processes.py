"""Processes and the files that name them: locks, who holds a process number, children that end with their parent.

Knows nothing of what the processes do.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PR_SET_PDEATHSIG = 1
"""Linux: the signal that a process gets when its parent dies; from `linux/prctl.h`."""


class Lock:
    """A file that at most one process holds; the kernel lets go when the holder ends, so none is ever stale."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Hold it if nobody else does, and say whether that worked."""
        descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let go; the file stays, because removing it would let two hold it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@dataclass(frozen=True, slots=True)
class Running:
    """A process told apart from any later one with the same number."""

    pid: int
    """Process number."""
    started: str
    """When it started, as the system writes it."""

    @classmethod
    def now(cls, pid: int) -> Self | None:
        """The process that has the number now; None if there is none, or it only waits to be collected."""
        started = _started(pid)
        return cls(pid, started) if started else None

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """The process that `file` names, if it still runs."""
        try:
            number, _, started = file.read_text(encoding="utf-8").strip().partition("\n")
            named = cls(int(number), started)
        except (OSError, ValueError):
            return None
        return named if named.alive else None

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return _started(self.pid) == self.started

    def write(self, file: Path) -> None:
        """Name it in `file`."""
        write_whole(file, f"{self.pid}\n{self.started}\n")


def _started(pid: int) -> str | None:
    if sys.platform != "linux":
        told = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return told.stdout.strip() or None
    try:
        # The name in brackets may hold anything, so fields are counted from behind it.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    state, start_tick = fields[0], fields[19]
    return None if state == "Z" else start_tick


def write_whole(file: Path, text: str) -> None:
    """Write `file` so that nobody sees half of it."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)


def dies_with_parent() -> Callable[[], None] | None:
    """What a child runs before its program so that it gets SIGTERM when this process dies, however it dies."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def before_the_program() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return before_the_program
