"""What drivers of workloads wrote, read by who may see the workload.

Knows nothing of HTTP, or of where logs are.
"""

from collections.abc import Callable

from fabric.control.callers import Caller
from fabric.control.ports import LogMark, LogPart, Logs
from fabric.core.clock import Clock
from fabric.workloads.record import Record

LAST_BYTES_S = 15.0
"""How long after a workload's end its log may still grow where nothing says that it is complete, in seconds."""


class DriverLogs:
    """The logs of all workloads."""

    def __init__(self, logs: Logs, clock: Clock, get: Callable[[str, Caller], Record]) -> None:
        """Remember where they are.

        Args:
            logs: Where they are.
            clock: The present.
            get: A workload, if it is within the caller's reach.
        """
        self._logs, self._clock, self._get = logs, clock, get

    def mark(self, name: str) -> LogMark:
        """What changes whenever the log of a workload does; much cheaper than reading."""
        return self._logs.mark(name)

    def read(self, name: str, caller: Caller, offset: int = 0, max_bytes: int = 2**20) -> LogPart:
        """What the workload's driver wrote from byte `offset` on, over all attempts.

        Raises:
            Denied: If it is out of the caller's reach.
            NotFound: If there is none of that name.
        """
        # Looked at before reading, so that what is written meanwhile is not taken for the end.
        ended = self._has_ended(self._get(name, caller))
        content, following = self._logs.read(name, offset, max_bytes)
        return LogPart(content, following, ended and not content)

    def _has_ended(self, record: Record) -> bool:
        if not record.state.final:
            return False
        never_ran = record.at.granted is None and record.attempt == 1
        if never_ran or self._logs.is_complete(record.name, record.attempt):
            return True
        return self._clock.now() > (record.at.ended or 0.0) + LAST_BYTES_S
