"""Components as processes: started apart from their starter, known by id and start time, ended by nobody else's hand.

Knows nothing of what they are. A record on disk says which process is which component, so that another run finds it.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.rigging.errors import RigError

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Component:
    """What is started under a name."""

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Process:
    """A process as the kernel knows it; an id alone may have been given to another since."""

    pid: int
    started: int
    """Clock ticks after the machine's start at which it began."""

    def is_alive(self) -> bool:
        """Whether it still runs; a child of ours that has ended is reaped."""
        try:
            os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            pass
        return _started(self.pid) == self.started

    def signal(self, number: int) -> None:
        """Send a signal, unless it is gone."""
        if self.is_alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def _started(pid: int) -> int | None:
    """When the process began; None if there is none, or only its remains."""
    try:
        # The command, in brackets, may itself contain brackets and spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def process(pid: int) -> Process | None:
    """The process that has this id now."""
    started = _started(pid)
    return None if started is None else Process(pid, started)


class Processes:
    """The components of a rig.

    Args:
        records: Folder of the records, one file for each component.
        logs: Folder of what they print.
    """

    def __init__(self, records: Path, logs: Path) -> None:
        self._records, self._logs = records, logs

    def names(self) -> list[str]:
        """Every component that was started, whether or not it still runs."""
        return sorted(file.stem for file in self._records.glob("*.json"))

    def find(self, name: str) -> Process | None:
        """The process of a component; None if it does not run."""
        try:
            record = json.loads((self._records / f"{name}.json").read_text())
        except FileNotFoundError:
            return None
        found = Process(record["pid"], record["started"])
        return found if found.is_alive() else None

    def start(self, component: Component) -> bool:
        """Start a component unless it runs; whether it was started.

        Raises:
            RigError: If its program is missing.
        """
        if self.find(component.name):
            return False
        self._records.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log(component.name).open("ab") as log:
            try:
                child = subprocess.Popen(
                    component.command, env=dict(component.variables), cwd="/", stdin=subprocess.DEVNULL, stdout=log,
                    stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            except FileNotFoundError as error:
                raise RigError(
                    f"{component.name} needs {error.filename}, which is missing: scripts/rig build"
                ) from error
        # The record is all that lives longer than this object; whoever asks reaps.
        child.returncode = 0
        record = {"pid": child.pid, "started": _started(child.pid) or 0, "command": component.command}
        (self._records / f"{component.name}.json").write_text(json.dumps(record))
        return True

    def end(self, names: Sequence[str], number: int = signal.SIGTERM, patience_s: float = 10.0) -> list[str]:
        """End components together, killing who does not leave; the names of those that ran."""
        found = {name: running for name in names if (running := self.find(name))}
        end_all(list(found.values()), number, patience_s)
        return list(found)

    def forget(self, name: str) -> None:
        """Remove a component's record."""
        (self._records / f"{name}.json").unlink(missing_ok=True)

    def log(self, name: str) -> Path:
        """The file of what a component prints."""
        return self._logs / f"{name}.log"

    def last_words(self, name: str, lines: int = 5) -> str:
        """The end of what a component printed."""
        try:
            text = self.log(name).read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def end_all(processes: Sequence[Process], number: int = signal.SIGTERM, patience_s: float = 10.0) -> None:
    """Signal every process, wait for all, and kill those that are still there after `patience_s`."""
    for sent in (number, signal.SIGKILL):
        for one in processes:
            one.signal(sent)
        deadline = time.monotonic() + patience_s
        while any(one.is_alive() for one in processes):
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_S)
        else:
            return
