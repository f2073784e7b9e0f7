"""What a job tells of itself: to control inside the fabric, to a file in its output folder under plain Ray.

Knows nothing of training; neither way of telling ever raises or blocks the work.
"""

from __future__ import annotations

import atexit
import json
import logging
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fabric.config import env
from fabric.core.errors import ClusterLost, FabricError
from fabric.sdk.later import Later
from fabric.sdk.post import Post
from fabric.workloads.states import RUN_AGAIN

if TYPE_CHECKING:
    from fabric.api import admin
    from fabric.api.admin import SizeView
else:
    admin = Later("fabric.api.admin")

PROGRESS_EVERY_S = 1.0
"""Shortest pause between two reports of progress, in seconds; of those in between the latest wins."""

SIZE_EVERY_S = 2.0
"""Shortest pause between two questions for the size, in seconds."""

FIRST_PAUSE_S = 0.5
"""Pause after the first failure to reach control, in seconds; it doubles each time."""

LONGEST_PAUSE_S = 5.0
"""Longest pause between two tries, in seconds."""

MOST_WAITING = 256
"""Reports kept while control is away; the oldest go first."""

FLUSH_S = 2.0
"""Longest that the end of the process waits for the last reports, in seconds."""

FILE_NAME = "report.jsonl"
"""File in the output folder that reports go to under plain Ray, one JSON object a line."""

_logger = logging.getLogger(__name__)

Fields = dict[str, Any]
"""Fields of a `fabric.api.admin.Report`."""


class Reporter(ABC):
    """Tells what the work does; every method returns at once and never raises."""

    def stage(self, name: str) -> None:
        """Say what is done from now on, such as `imports` or `train`."""
        self._tell({"stage": str(name)}, at_once=True)

    def progress(self, done: float, total: float, unit: str, **metrics: float) -> None:
        """Say how far it is; called as often as one likes, told at most once a second.

        Args:
            done: Units done.
            total: Units in all; 0 if unknown.
            unit: What is counted, such as `tokens`.
            **metrics: Numbers by name, such as `loss`; those that are not finite are left out.
        """
        numbers = {name: number for name, value in metrics.items() if (number := _number(value)) is not None}
        self._tell(
            {"done": max(0.0, _number(done) or 0.0), "total": max(0.0, _number(total) or 0.0), "unit": str(unit)}
            | ({"metrics": numbers} if numbers else {})
        )

    def checkpointed(self, uri: str, step: int, num_bytes: int, seconds: float) -> None:
        """Say that a checkpoint is complete.

        Args:
            uri: Where it is.
            step: Its step.
            num_bytes: Its size.
            seconds: How long writing it took.
        """
        fields = {"checkpoint_step": step, "checkpoint_bytes": num_bytes, "checkpoint_seconds": seconds}
        numbers = {key: max(0.0, number) for key, value in fields.items() if (number := _number(value)) is not None}
        whole = {key: number if key.endswith("seconds") else int(number) for key, number in numbers.items()}
        self._tell({"checkpoint_uri": str(uri), **whole}, at_once=True)

    def resized(self, workers: int) -> None:
        """Say that it works at another size from now on, and that nothing of it runs on what it has beyond that.

        Args:
            workers: Of its elastic group.
        """
        self._tell({"workers": int(workers)}, at_once=True)

    def size(self) -> SizeView | None:
        """The size at which it should work now, asked for at most every two seconds; may wait for control.

        Returns:
            None where the size never changes, as under plain Ray; without `workers` while it is not known.
        """
        return None

    @abstractmethod
    def close(self) -> None:
        """Send what waits, for at most two seconds; also called when the process ends."""

    @abstractmethod
    def _tell(self, fields: Fields, *, at_once: bool = False) -> None: ...


def reporter(output_folder: Path) -> Reporter:
    """The way to tell that fits where this process runs.

    Args:
        output_folder: Where `report.jsonl` goes if no fabric listens.
    """
    address, workload = env.get(env.ADDRESS), env.get(env.WORKLOAD)
    if address and workload:
        return ControlReporter(Post(address, env.get(env.TOKEN), workload, attempt=env.get(env.ATTEMPT)))
    return FileReporter(output_folder)


def say(line: str) -> None:
    """Show a person one line at once, also where output goes to a file or a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def failed(app: str, error: FabricError) -> int:
    """Say on standard error what went wrong, in one line.

    Args:
        app: Name of the entrypoint.
        error: Why it cannot go on.

    Returns:
        Exit code: 75 if a part of the cluster was lost, so that the fabric starts another attempt, otherwise 1.
    """
    sys.stderr.write(f"{app}: {error.message}\n")
    return RUN_AGAIN if isinstance(error, ClusterLost) else 1


class FileReporter(Reporter):
    """Appends reports to a file."""

    def __init__(self, output_folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = output_folder / FILE_NAME, clock
        self._start()

    def _start(self) -> None:
        self._waiting: Fields | None = None
        self._written_at = 0.0
        atexit.register(self.close)

    def __getstate__(self) -> tuple[Path, Callable[[], float]]:
        return self._file, self._clock

    def __setstate__(self, state: tuple[Path, Callable[[], float]]) -> None:
        self._file, self._clock = state
        self._start()

    def _tell(self, fields: Fields, *, at_once: bool = False) -> None:
        now = self._clock()
        if not at_once:
            self._waiting = {"at": now, **fields}
            if now - self._written_at < PROGRESS_EVERY_S:
                return
            self._written_at = now
        self._write_waiting()
        if at_once:
            self._append({"at": now, **fields})

    def _write_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._append(waiting)

    def _append(self, fields: Fields) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(fields) + "\n")
        except OSError as error:
            _logger.warning("%s: a report was not written: %s", self._file, error)

    def close(self) -> None:
        """Write what waits."""
        self._write_waiting()


class ControlReporter(Reporter):
    """Posts reports to control from a thread; keeps them while control is away."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._start()

    def _start(self) -> None:
        self._reports: deque[Fields] = deque(maxlen=MOST_WAITING)
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._ask_at, self._fixed = 0.0, False
        self._size: SizeView | None = None

    def __getstate__(self) -> Post:
        return self._post

    def __setstate__(self, post: Post) -> None:
        self._post = post
        self._start()

    def _tell(self, fields: Fields, *, at_once: bool = False) -> None:
        with self._changed:
            if not at_once and self._reports and "done" in self._reports[-1]:
                older = self._reports.pop()
                fields = {**older, **fields, "metrics": {**older.get("metrics", {}), **fields.get("metrics", {})}}
            self._reports.append(fields)
            # A forked child has the object and not the thread.
            if self._thread is None or not self._thread.is_alive():
                self._begin()
            self._changed.notify_all()

    def size(self) -> SizeView | None:
        """The size at which it should work now; the last answer while control is away."""
        if self._fixed:
            return None
        now = time.monotonic()
        if now >= self._ask_at:
            self._ask_at = now + SIZE_EVERY_S
            answer = self._post.size()
            if answer is not None:
                self._fixed, self._size = not answer.group, answer
        return None if self._fixed else self._size or admin.SizeView()

    def _begin(self) -> None:
        self._closing = False
        self._thread = threading.Thread(target=self._send_all, name="fabric-report", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _send_all(self) -> None:
        pause_s, progress_at = FIRST_PAUSE_S, 0.0
        while (fields := self._next(progress_at)) is not None:
            if "done" in fields:
                progress_at = time.monotonic()
            sent = self._post.send(fields)
            with self._changed:
                if not sent:
                    self._put_back(fields)
                    if self._closing:
                        break
                    self._changed.wait_for(lambda: self._closing, pause_s)
                self._changed.notify_all()
            pause_s = FIRST_PAUSE_S if sent else min(2 * pause_s, LONGEST_PAUSE_S)
        self._post.close()

    def _next(self, progress_at: float) -> Fields | None:
        """The next report once it is due; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._reports or self._closing)
            if self._only_progress():
                due_in_s = progress_at + PROGRESS_EVERY_S - time.monotonic()
                self._changed.wait_for(lambda: self._closing or not self._only_progress(), max(0.0, due_in_s))
            if not self._reports:
                return None
            return self._reports.popleft()

    def _only_progress(self) -> bool:
        return len(self._reports) == 1 and "done" in self._reports[0]

    def _put_back(self, fields: Fields) -> None:
        """Keep what was not sent, unless newer progress or too many newer reports make it useless."""
        newer = self._reports and "done" in fields and "done" in self._reports[0]
        if not newer and len(self._reports) < MOST_WAITING:
            self._reports.appendleft(fields)

    def close(self) -> None:
        """Send what waits, for at most two seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(FLUSH_S)
        atexit.unregister(self.close)


def _number(value: object) -> float | None:
    """`value` as a finite float, whatever kind of number it is; None if it is none."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isfinite(number) else None
