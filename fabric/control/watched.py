"""The loop's records with somebody looking on: whoever listens is told of every change once it is written.

Knows nothing of what listeners make of it; none of them can keep the loop from going on.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fabric.scheduler.ports import News, Records
from fabric.workloads.record import Event, Record

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """A workload before and after one step of the loop."""

    before: Record | None
    """None of one that has come since control began."""
    after: Record
    at: float
    """When, in seconds since the epoch."""

    @property
    def moved(self) -> bool:
        """Whether it is in another state, or in the next attempt."""
        old = self.before
        return old is None or (old.state, old.attempt) != (self.after.state, self.after.attempt)


Save = Callable[[Sequence[Record], Sequence[Event]], None]
"""What writes records with lines of their history."""
Listener = Callable[[Change], None]
"""Who is told; called in the loop's thread, so it returns at once."""


class WatchedRecords:
    """Implements `fabric.scheduler.ports.Records` with those of another, and remembers the active ones."""

    def __init__(
        self, records: Records, listeners: Sequence[Listener], now: Callable[[], float], save: Save | None = None
    ) -> None:
        """Know nothing yet.

        Args:
            records: Where they are kept.
            listeners: Who is told.
            now: The present instant in seconds since the epoch.
            save: How they are written, where that is timed.
        """
        self._records, self._listeners, self._now = records, listeners, now
        self._save = save or records.save
        self._known: dict[str, Record] | None = None

    def active(self) -> Mapping[str, Record]:
        """Everything that is not final, and what it comes after; what is here at the first look has not just come."""
        found = self._records.active()
        self._known = {name: record for name, record in found.items() if not record.state.final}
        return found

    def news(self, since: int) -> News:
        """What people changed; those that came since the last look are told."""
        found = self._records.news(since)
        if self._known is not None:
            for name, record in found.records.items():
                if not record.state.final and not _same(self._known.get(name), record):
                    self._known[name] = record
                    self._tell(Change(None, record, record.at.submitted))
        return found

    def save(self, changes: Sequence[Record], events: Sequence[Event]) -> None:
        """Write all of it, then tell."""
        self._save(changes, events)
        known = self._known if self._known is not None else {}
        at = max((event.at for event in events), default=self._now())
        for record in changes:
            before = known.pop(record.name, None)
            if not record.state.final:
                known[record.name] = record
            self._tell(Change(before if _same(before, record) else None, record, at))

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            try:
                listener(change)
            except Exception:  # whoever looks on must not stop what he looks at
                _log.exception("%s was not taken in", change.after.name)


def _same(known: Record | None, record: Record) -> bool:
    """Whether both are of one workload, and not of two that had one name."""
    return known is not None and known.at.submitted == record.at.submitted
