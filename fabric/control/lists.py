"""Long lists of workloads in pages: who waits, and who has any name or state.

Knows nothing of HTTP; what it needs of the world comes through `fabric.control.ports`.
"""

from collections.abc import Collection, Iterable

from fabric.api.lists import WorkloadPage
from fabric.control.callers import Caller
from fabric.control.discretion import Discretion
from fabric.control.overview import brief_view, queue_of
from fabric.control.ports import Workloads
from fabric.workloads.record import Record
from fabric.workloads.states import State

MOST_WAITING = 100_000
"""Waiting workloads that are put in order."""


class Lists:
    """Pages of what is within a caller's reach."""

    def __init__(self, workloads: Workloads, discretion: Discretion) -> None:
        self._workloads = workloads
        self._discretion = discretion

    def queue(self, caller: Caller, offset: int, limit: int) -> WorkloadPage:
        """Who waits: most urgent class first, then first come first served."""
        waiting = self._workloads.list(project=caller.project, states={State.QUEUED}, limit=MOST_WAITING)
        order = queue_of(record for record in waiting if caller.workload in (None, record.name))
        return self._page(order[offset : offset + limit], len(order), offset, caller)

    def search(
        self, caller: Caller, text: str, states: Collection[State] | None, *, offset: int, limit: int
    ) -> WorkloadPage:
        """Workloads whose names contain `text`, newest first; a caller who may only see one workload finds that."""
        if caller.workload is None:
            found, total = self._workloads.search(text, caller.project, states, offset=offset, limit=limit)
            return self._page(found, total, offset, caller)
        own = self._workloads.get(caller.workload)
        fits = text in own.name and (states is None or own.state in states)
        return self._page([own][offset:] if fits else [], int(fits), offset, caller)

    def _page(self, records: Iterable[Record], total: int, offset: int, caller: Caller) -> WorkloadPage:
        read = self._discretion.towards(caller)
        views = tuple(brief_view(record, read=read) for record in records)
        return WorkloadPage(total=total, offset=offset, workloads=views)
