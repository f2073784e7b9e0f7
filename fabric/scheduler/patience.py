"""How long to leave work alone: for which something failed, or for which the same was asked just now.

Knows nothing of what was tried or asked.
"""

from dataclasses import dataclass

from fabric.scheduler.ports import ClusterView
from fabric.workloads.record import Record
from fabric.workloads.states import State

FIRST_S, LONGEST_S = 2.0, 60.0
"""The first pause and the longest, in seconds; each failure doubles it. Both are choices."""
ASK_AGAIN_S, ASK_SELDOM_S = 1.0, 8.0
"""The first pause and the longest, in seconds, before the same is asked again of a backend that shows no news of it;
each doubles the next. Both are choices. What a backend waits for, such as a model or an earlier cluster that leaves,
need not show in what is seen of the cluster that is asked for."""


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


@dataclass(frozen=True, slots=True)
class _Question:
    record: Record
    view: ClusterView
    at: float
    pause_s: float


class Asked:
    """What was asked for each workload last: a hundred that start at once must not all be asked for in every step."""

    def __init__(self) -> None:
        self._last: dict[str, _Question] = {}

    def is_due(self, record: Record, view: ClusterView, now: float) -> bool:
        """Whether something must be asked at `now`, in seconds since the epoch; then it counts as asked.

        Args:
            record: As it is now.
            view: What is seen of its cluster.
            now: The present instant.
        """
        last, pause_s = self._last.get(record.name), ASK_AGAIN_S
        if last is not None and last.record is record and last.view == view:
            if last.at <= now < last.at + last.pause_s:
                return False
            pause_s = min(2 * last.pause_s, ASK_SELDOM_S)
        self._last[record.name] = _Question(record, view, now, pause_s)
        return True

    def forget(self, name: str) -> None:
        """Let whatever comes next for a workload be asked at once, because something of it has changed."""
        self._last.pop(name, None)
