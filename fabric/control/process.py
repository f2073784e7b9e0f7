"""The control process: one folder, one loop, one HTTP server, one MLflow.

Knows nothing of how a decision is made or a route is written.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from fabric.core.errors import Conflict, FabricError

_log = logging.getLogger(__name__)

LOCK_FILE = "control.lock"
_RESTLESS_S, _CALM_S = 0.25, 1.0
SHORT_S, MOST_REST_S = 0.05, 0.5
_AFTER_ERROR_S = 2.0


class StateLock:
    """Holds a state folder for one control process; the kernel lets go when the process dies, however it dies."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / LOCK_FILE
        self._held: int | None = None

    def __enter__(self) -> Self:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise Conflict(
                f"another fabric runs on {self._file.parent}. End it with `fabric down`, or give another --state."
            ) from None
        self._held = descriptor
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._held is not None:
            os.close(self._held)


Took = Callable[[float, bool], None]
"""Told how many seconds something took, and whether it failed."""


class LoopThread(threading.Thread):
    """Takes the loop's steps: at once when something changes, otherwise every second."""

    def __init__(
        self, step: Callable[[], bool], changed: threading.Event, *, took: Took = lambda seconds, failed: None
    ) -> None:
        """Take no step yet.

        Args:
            step: Says whether the next one should be soon.
            changed: Set by whoever knows of news.
            took: Told the seconds of each step, and whether it failed.
        """
        super().__init__(name="loop", daemon=True)
        self._step, self._took = step, took
        self._changed = changed
        self._over = threading.Event()
        self._finished_at = time.monotonic()

    def wake(self) -> None:
        """Take the next step now."""
        self._changed.set()

    def age_s(self) -> float:
        """Seconds since the last step was finished; 0 where none is taken yet, as in a control that follows another."""
        return time.monotonic() - self._finished_at if self.begun else 0.0

    @property
    def begun(self) -> bool:
        """Whether it was started."""
        return self.ident is not None

    def end(self) -> None:
        """Finish the present step and stop."""
        self._over.set()
        self._changed.set()
        self.join(timeout=30.0)

    def start(self) -> None:
        """Take the first step."""
        self._finished_at = time.monotonic()
        super().start()

    def run(self) -> None:
        """Step until told to end; an error is logged and the step tried again, as the records are the truth."""
        while not self._over.is_set():
            self._changed.clear()
            began = time.monotonic()
            pause = self._try()
            took_s = time.monotonic() - began
            self._took(took_s, pause == _AFTER_ERROR_S)
            self._over.wait(rest_s(took_s))
            self._changed.wait(pause)

    def _try(self) -> float:
        """Take a step; how long to wait for the next one, in seconds."""
        try:
            pause = _RESTLESS_S if self._step() else _CALM_S
        except FabricError as error:
            _log.error("the loop's step failed: %s", error.message)
            return _AFTER_ERROR_S
        except Exception:
            _log.exception("the loop's step failed")
            return _AFTER_ERROR_S
        self._finished_at = time.monotonic()
        return pause


def rest_s(took_s: float) -> float:
    """How long the loop leaves the processor to those who ask, in seconds, however much has changed meanwhile.

    Args:
        took_s: How long its step took, in seconds; after a short one it need not rest.
    """
    return min(took_s, MOST_REST_S) if took_s > SHORT_S else 0.0
