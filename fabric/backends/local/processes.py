"""Find and end the processes of a cluster by the marks in their environment, or by descent.

Knows nothing of Ray. A mark survives forks, new sessions and the death of whoever started the process, so a fabric that
was killed finds everything again, and nothing that it did not start. What emptied its environment is found by descent:
who adopts orphans stays the ancestor of all that it started.

Whatever looks at processes raises OSError where this one can open nothing more (`exhausted`): nobody is dead for that.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from fabric.backends.keeping.exhaustion import exhausted

L = TypeVar("L")

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
"""Clock ticks in a second of a processor."""

_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MOST_STAT = 4096
"""Bytes of `/proc/PID/stat` and `statm`, whose 52 numbers and one short name are far fewer."""
_SURE_LOOKS = 3
_DEAD = {"Z", "X"}
_PR_SET_CHILD_SUBREAPER = 36
"""From `linux/prctl.h`."""
_SETTLED_S = 20.0
"""Age from which a process is taken to keep its environment and its name, in seconds."""


@dataclass(frozen=True, slots=True)
class Process:
    """A live process; `started` tells it from a later one with the same id."""

    pid: int
    started: int
    """Clock ticks after boot."""


def marked(marks: Iterable[str]) -> list[Process]:
    """Live processes whose environment has every `NAME=value` of `marks`."""
    wanted = [mark.encode() for mark in marks]
    found = []
    for pid in _numbers():
        if pid == os.getpid() or (environment := _read(pid, "environ")) is None:
            continue
        lines, process = environment.split(b"\0"), identify(pid)
        if process and all(mark in lines for mark in wanted):
            found.append(process)
    return found


class Census(Generic[L]):
    """Whose processes live, asked often: what was read of a process is remembered until it ends."""

    def __init__(self, label: Callable[[Process, Mapping[bytes, bytes]], L | None]) -> None:
        """Begin knowing nobody.

        Args:
            label: From a process and its environment to whose it is; None for those that do not count.
        """
        self._label = label
        self._known: dict[Process, L | None] = {}

    def take(self) -> dict[L, list[Process]]:
        """Live processes by label."""
        found: dict[L, list[Process]] = {}
        for process, label in self.of(filter(None, map(identify, _numbers()))).items():
            if label is not None:
                found.setdefault(label, []).append(process)
        return found

    def of(self, present: Iterable[Process]) -> dict[Process, L | None]:
        """The label of each process that lives; `present` are all of them, as those left out are forgotten."""
        settled = (time.clock_gettime(time.CLOCK_BOOTTIME) - _SETTLED_S) * TICKS_PER_S
        found = {each: self._known[each] if each in self._known else self._labelled(each) for each in present}
        # Between fork and exec a process looks like its parent, and it names itself only later.
        self._known = {process: label for process, label in found.items() if process.started < settled}
        return found

    def _labelled(self, process: Process) -> L | None:
        environment = _read(process.pid, "environ")
        if environment is None:
            return None
        return self._label(process, dict(line.split(b"=", 1) for line in environment.split(b"\0") if b"=" in line))


def identify(pid: int) -> Process | None:
    """The process with this id, unless it is dead or a zombie."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in _DEAD else Process(pid, int(fields[19]))


@dataclass(frozen=True, slots=True)
class Sample:
    """What the kernel has counted of a live process."""

    process: Process
    parent: int
    """Number of the process above it."""
    own_ticks: int
    """Processor time of its own, in user and system mode, in clock ticks."""
    ended_ticks: int
    """The same of what it started, and what that started, as far as it has ended and was waited for."""


def samples() -> list[Sample]:
    """Every live process of this machine with its processor time."""
    return [sample for pid in _numbers() if (sample := _sample(pid))]


def _sample(pid: int) -> Sample | None:
    fields = _stat(pid)
    if fields is None or fields[0] in _DEAD:
        return None
    user, system, ended_user, ended_system = map(int, fields[11:15])
    return Sample(Process(pid, int(fields[19])), int(fields[1]), user + system, ended_user + ended_system)


def _numbers() -> Iterator[int]:
    """Numbers of all processes."""
    return (int(name) for name in os.listdir(_PROC) if name.isdigit())


def alive(process: Process) -> bool:
    """Whether it is the same process still."""
    return identify(process.pid) == process


def command(process: Process) -> str:
    """Its command line, words joined by blanks; empty if it is gone."""
    return (_read(process.pid, "cmdline") or b"").replace(b"\0", b" ").decode(errors="replace")


def own_memory_bytes(process: Process) -> int:
    """Resident memory that it shares with nobody, roughly; 0 if it is gone."""
    counted = _read(process.pid, "statm", _MOST_STAT)
    if counted is None:
        return 0
    pages = counted.split()
    return max(0, int(pages[1]) - int(pages[2])) * _PAGE_BYTES


def send(process: Process, signum: int) -> None:
    """Signal a process if it still is the one meant."""
    if alive(process):
        try:
            os.kill(process.pid, signum)
        except ProcessLookupError:
            return


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, instead of process 1. Linux only; else nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans(own: Collection[int]) -> None:
    """Collect adopted children that have ended, so that none stays a zombie; not those of `own`, whose owner does."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            return
        os.waitpid(ended.si_pid, os.WNOHANG)


def descendants() -> list[Process]:
    """Live processes below this one."""
    parents: dict[int, int] = {}
    for pid in _numbers():
        fields = _stat(pid)
        if fields and fields[0] not in _DEAD:
            parents[pid] = int(fields[1])
    below = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return [process for pid in sorted(below - {os.getpid()}) if (process := identify(pid))]


def end_all(marks: Iterable[str], patience_s: float) -> bool:
    """Ask every marked process to end, kill what is left after `patience_s`, and say whether all are gone."""
    marks = tuple(marks)
    return _end(lambda: marked(marks), patience_s)


def end_descendants(patience_s: float) -> bool:
    """Ask every process below this one to end, kill what is left after `patience_s`, and say whether all are gone."""
    return _end(descendants, patience_s)


def _end(find: Callable[[], list[Process]], patience_s: float) -> bool:
    for process in find():
        send(process, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while find() and time.monotonic() < deadline:
        time.sleep(0.05)
    empty_looks = 0
    for _ in range(60):
        left = find()
        # One look may miss a process that is between fork and exec, when its environment cannot be read.
        empty_looks = 0 if left else empty_looks + 1
        if empty_looks == _SURE_LOOKS:
            return True
        for process in left:
            send(process, signal.SIGKILL)
        time.sleep(0.05)
    return False


def _stat(pid: int) -> list[str] | None:
    """State, parent and all that follows in `/proc/PID/stat`; None if there is no such process."""
    told = _read(pid, "stat", _MOST_STAT)
    return None if told is None else told.rpartition(b")")[2].decode("ascii").split()


def _read(pid: int, name: str, most: int = -1) -> bytes | None:
    """What a file in `/proc/PID` says, all of it or `most` bytes; None if the process has ended, or is not ours.

    Raises:
        OSError: If this process can open nothing more.
    """
    try:
        # Read for every process of the machine, again and again: paths and text cost as much as the kernel does.
        with open(f"{_PROC}/{pid}/{name}", "rb", buffering=0) as file:
            return file.read(most)
    except OSError as error:
        if exhausted(error):
            raise
        return None
