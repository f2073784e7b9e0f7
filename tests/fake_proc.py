"""A folder that looks like `/proc`, with processes that do what a test says; nothing runs."""

import os
from collections.abc import Mapping
from pathlib import Path

from fabric.backends.local.processes import TICKS_PER_S
from fabric.config import env

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class FakeProc:
    """Processes of a machine, each a folder of files as the kernel would show them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def runs(
        self, pid: int, *, parent: int = 1, busy_s: float = 0.0, ended_s: float = 0.0, memory_bytes: int = 0,
        command: str = "python train.py", environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """A process that has been busy for so long, and what it waited for; the same number again is the same one."""
        place = self._folder / str(pid)
        place.mkdir(exist_ok=True)
        numbers = ["0"] * 50
        numbers[0], numbers[1], numbers[19] = "S", str(parent), "7"
        numbers[11], numbers[13] = str(round(busy_s * TICKS_PER_S)), str(round(ended_s * TICKS_PER_S))
        (place / "stat").write_text(f"{pid} (a name) of) {' '.join(numbers)}")
        (place / "statm").write_text(f"900 {memory_bytes // PAGE_BYTES + 5} 5 0 0 0 0")
        (place / "cmdline").write_text(command.replace(" ", "\0"))
        if environment is not None or not (place / "environ").exists():
            lines = (f"{name}={value}" for name, value in (environment or {}).items())
            (place / "environ").write_text("\0".join(lines))

    def ends(self, pid: int) -> None:
        """It is gone."""
        for file in (self._folder / str(pid)).iterdir():
            file.unlink()
        (self._folder / str(pid)).rmdir()


def marks(state: Path | str, cluster: str = "w-1", part: str = "workers-c0") -> dict[str, str]:
    """The environment of a process of a slice."""
    return {env.STATE: str(state), env.CLUSTER: cluster, env.SLICE: part}
