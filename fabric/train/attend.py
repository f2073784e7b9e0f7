"""Stand by while ranks work elsewhere: tell a person how far they are, and pass SIGTERM on to them.

Knows nothing of how ranks are started: it reads and writes files of the run's output.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from fabric.train.history import History
from fabric.train.report import Say, duration
from fabric.train.task import StopFile

_PROGRESS_EVERY_S = 3.0
_MEAN_OVER = 20


class Attended(Protocol):
    """A run whose ranks record what they do."""

    @property
    def folder(self) -> Path:
        """Its output."""
        ...

    @property
    def num_steps(self) -> int:
        """Steps in all."""
        ...

    @property
    def losses(self) -> History:
        """A record for each step: `step`, `loss`, `tokens` so far and `tokens_per_s`."""
        ...

    @property
    def readings(self) -> History:
        """A record for each reading of held-out works: `step`, `of` and `bits_per_byte`."""
        ...


@contextmanager
def stops_on_sigterm(task: Attended, grace_s: float | None, say: Say) -> Iterator[threading.Event]:
    """A block in which SIGTERM asks the ranks to save and leave; a second one ends the process as usual.

    It gives an event that is set once SIGTERM came, for those who start ranks anew.

    Args:
        task: The run.
        grace_s: Seconds until whoever sends it kills, if known.
        say: Told that it came.
    """

    def on_signal(number: int, _: Any) -> None:
        signal.signal(number, before)
        asked.set()
        within = f" within {duration(grace_s)}" if grace_s else ""
        say(f"asked to stop: the ranks save their state{within} and leave")
        StopFile(task.folder).ask("it was asked to stop")

    asked = threading.Event()
    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def tells_progress(task: Attended, say: Say) -> Iterator[None]:
    """A block in which a line every few seconds says how far the ranks are.

    Args:
        task: The run.
        say: Gets the lines, from another thread.
    """
    done = threading.Event()
    # What an earlier attempt has recorded was told then.
    told = len(task.losses.records()), len(task.readings.records())
    thread = threading.Thread(target=_follow, args=(task, told, say, done), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _follow(task: Attended, told: tuple[int, int], say: Say, done: threading.Event) -> None:
    num_steps, num_readings = told
    while True:
        ended = done.wait(_PROGRESS_EVERY_S)
        readings, losses = task.readings.records(), task.losses.records()
        for reading in readings[num_readings:]:
            bits = reading["bits_per_byte"]
            say(f"step {reading['step']}: {bits:.3f} bits per byte on held-out works ({reading['of']})")
        if len(losses) > num_steps:
            say(progress_line(losses[num_steps:][-_MEAN_OVER:], task.num_steps))
        num_steps, num_readings = len(losses), len(readings)
        if ended:
            return


def progress_line(records: list[dict[str, Any]], num_steps: int) -> str:
    """Step, loss, speed and time to go.

    Args:
        records: The last steps; loss and speed are means over them.
        num_steps: Steps in all.
    """
    last = records[-1]
    loss = sum(record["loss"] for record in records) / len(records)
    seconds = [1 / record["tokens_per_s"] for record in records if record["tokens_per_s"]]
    rate = len(seconds) / sum(seconds) if seconds else 0.0
    left_s = (num_steps - last["step"]) * (last["tokens"] / last["step"]) / rate if rate else 0.0
    return f"step {last['step']}/{num_steps}  loss {loss:.3f}  {rate:,.0f} tokens/s  {duration(left_s)} to go"
