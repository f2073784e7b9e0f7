"""How long to leave work alone for which something failed, so that the records are not read anew for it in every step.

Knows nothing of what was tried.
"""

from dataclasses import dataclass

from fabric.workloads.record import Record
from fabric.workloads.states import State

FIRST_S, LONGEST_S = 2.0, 60.0
"""The first pause and the longest, in seconds; each failure doubles it. Both are choices."""


@dataclass(frozen=True, slots=True)
class _Pause:
    state: State
    until: float
    length_s: float

    def holds(self, record: Record, now: float) -> bool:
        # A clock that was set back to before the failure must not make the pause longer.
        return self.state is record.state and self.until - self.length_s <= now < self.until


class Patience:
    """Workloads that failed lately, and when each may be tried again; one whose state has changed may be at once."""

    def __init__(self) -> None:
        self._pauses: dict[str, _Pause] = {}

    def allows(self, record: Record, now: float) -> bool:
        """Whether something may be tried for a workload at `now`, in seconds since the epoch."""
        pause = self._pauses.get(record.name)
        return pause is None or not pause.holds(record, now)

    def failed(self, record: Record, now: float) -> None:
        """Remember that it failed at `now`."""
        pause = self._pauses.get(record.name)
        again = pause is not None and pause.state is record.state
        length_s = min(2 * pause.length_s, LONGEST_S) if pause and again else FIRST_S
        # Of those that were over long ago nothing is known to fail any more.
        self._pauses = {name: kept for name, kept in self._pauses.items() if kept.until + LONGEST_S > now}
        self._pauses[record.name] = _Pause(record.state, now + length_s, length_s)

    def succeeded(self, record: Record) -> None:
        """Forget its failures."""
        self._pauses.pop(record.name, None)
