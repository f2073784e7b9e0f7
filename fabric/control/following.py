"""One reader of one log: it looks at the log itself, and asks who may read it only when there is something to read.

Knows nothing of HTTP. Hundreds may follow logs in which nothing happens, so that must cost next to nothing.
"""

from typing import Protocol

from fabric.control.callers import Caller
from fabric.control.ports import LogMark, LogPart

ASKS_EVERY = 5
"""Looks at a log where nothing happens between two at its workload, which may have ended without writing."""


class Readable(Protocol):
    """Who knows logs, and who may read them."""

    def mark(self, name: str) -> LogMark:
        """What changes whenever a log does."""
        ...

    def read(self, name: str, caller: Caller, offset: int, max_bytes: int) -> LogPart:
        """A piece of a log."""
        ...


class Following:
    """What one reader has read so far."""

    def __init__(self, logs: Readable, name: str, caller: Caller, *, max_bytes: int, offset: int = 0) -> None:
        """Nothing has been read yet.

        Args:
            logs: Who knows the log.
            name: The workload.
            caller: Who reads.
            max_bytes: Most bytes of one piece.
            offset: Byte to begin with.
        """
        self._logs, self._name, self._caller, self._max_bytes = logs, name, caller, max_bytes
        self._part = LogPart(b"", offset, False)
        self._mark: LogMark | None = None
        self._idle = 0

    def look(self) -> LogPart:
        """What follows what was read; empty where nothing does at this moment.

        Raises:
            NotFound: If the workload was deleted.
            Denied: If its name is somebody else's by now.
        """
        mark = self._logs.mark(self._name)
        # A log that is complete ends as soon as its workload's record says so, too.
        changed = mark != self._mark or bool(self._part.content) or mark.complete
        self._idle = 0 if changed else self._idle + 1
        if self._idle % ASKS_EVERY == 0:
            # Looked at before reading, so that what is written meanwhile is seen as a change.
            self._mark = mark
            self._part = self._logs.read(self._name, self._caller, self._part.next_offset, self._max_bytes)
        return self._part
