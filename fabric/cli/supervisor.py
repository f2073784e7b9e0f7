"""Keep a few programs running: start them, start again what died, end them.

Knows nothing of what they are.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fabric.cli.processes import dies_with_parent

FIRST_PAUSE_S = 0.5
"""Pause before a program that died is started again, in seconds; it doubles with each death soon after."""

LONGEST_PAUSE_S = 30.0
"""Longest such pause, in seconds."""

STEADY_S = 60.0
"""A program that lived this long, in seconds, begins again with the first pause."""

LARGEST_LOG_BYTES = 10 * 2**20
"""A log that is larger when its program is started becomes `NAME.1`."""

_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Program:
    """Something to keep running."""

    name: str
    """As people call it."""
    command: tuple[str, ...]
    """Words of its command."""
    log: Path
    """Where its output goes."""
    ends_all: bool = False
    """Whether it ends well only when somebody asked for the end of everything."""
    environment: Mapping[str, str] | None = None
    """All variables that it finds; None for ours."""


class _Child:
    """One program's process, or the pause between two."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = self.due_at = 0.0
        self.pause_s = FIRST_PAUSE_S
        self.log_begins = 0

    def start(self, now: float) -> None:
        log = self.program.log
        if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))
        with log.open("ab") as out:
            self.log_begins = out.tell()
            # A session of its own, because Ctrl-C is meant for us: we tell the children.
            self.process = subprocess.Popen(
                self.program.command,
                env=self.program.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=dies_with_parent(),
            )
        self.started_at = now

    def last_words(self) -> str:
        """The last line that the present process wrote."""
        with self.program.log.open("rb") as log:
            log.seek(self.log_begins)
            lines = log.read()[-4096:].decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that ended before it was asked to."""

    program: Program
    """Which."""
    code: int
    """Its exit code; negative if a signal ended it."""
    last_words: str
    """Last line of its log."""

    @property
    def how(self) -> str:
        """In words."""
        return f"was ended by {signal.Signals(-self.code).name}" if self.code < 0 else f"ended with code {self.code}"


class Supervisor:
    """Keeps programs running."""

    def __init__(
        self, programs: Sequence[Program], say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Remember what to keep running; nothing is started.

        Args:
            programs: What to keep running.
            say: Told in a line what happened.
            clock: Seconds that never go back.
        """
        self._children = [_Child(program) for program in programs]
        self._say, self._clock = say, clock

    def start(self) -> None:
        """Start every program."""
        for child in self._children:
            child.start(self._clock())

    @property
    def pids(self) -> dict[str, int]:
        """Process numbers of those that run, by name."""
        return {c.program.name: c.process.pid for c in self._children if c.process and c.process.poll() is None}

    def ended(self) -> Ended | None:
        """A program that runs no more, if there is one."""
        for child in self._children:
            if child.process is not None and (code := child.process.poll()) is not None:
                return Ended(child.program, code, child.last_words())
        return None

    def tend(self) -> bool:
        """Start again what died and whose pause is over.

        Returns:
            False once everything should end: a program with `ends_all` ended well.
        """
        now = self._clock()
        for child in self._children:
            if child.process is None:
                if now >= child.due_at:
                    child.start(now)
                continue
            code = child.process.poll()
            if code == 0 and child.program.ends_all:
                return False
            if code is not None:
                self._plan_restart(child, Ended(child.program, code, child.last_words()), now)
        return True

    def _plan_restart(self, child: _Child, ended: Ended, now: float) -> None:
        lived_s = now - child.started_at
        child.pause_s = FIRST_PAUSE_S if lived_s >= STEADY_S else child.pause_s
        # What a signal ended was not about to explain itself.
        words = f" ({ended.last_words})" if ended.last_words and ended.code > 0 else ""
        self._say(
            f"{child.program.name} {ended.how} after {lived_s:.0f} s{words}; "
            f"starting it again in {child.pause_s:g} s; log: {child.program.log}"
        )
        child.process, child.due_at = None, now + child.pause_s
        child.pause_s = min(2 * child.pause_s, LONGEST_PAUSE_S)

    def stop(self, grace_s: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Ask every program to end, and kill what has not ended after `grace_s`, or once `hurry` says so."""
        for child in self._children:
            if child.process and child.process.poll() is None:
                child.process.terminate()
        ends = self._clock() + grace_s

        def over() -> bool:
            return hurry() or self._clock() >= ends

        for child in self._children:
            if child.process and not _ends_before(over, child.process):
                self._say(f"{child.program.name} did not end in time and is killed")
                os.kill(child.process.pid, signal.SIGKILL)
                child.process.wait()


def _ends_before(over: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    while process.poll() is None:
        if over():
            return False
        time.sleep(_LOOK_EVERY_S)
    return True
