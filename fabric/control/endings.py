"""How the fabric ends when asked: every workload leaves first.

Knows nothing of signals or HTTP.
"""

import threading
from collections.abc import Collection, Sequence
from typing import Protocol

from fabric.control.process import LoopThread
from fabric.core.errors import Conflict, NotFound
from fabric.scheduler.ports import Backend
from fabric.workloads.record import Record
from fabric.workloads.states import FINAL, State

_LIVE = frozenset(State) - FINAL


class Stoppable(Protocol):
    """Records that can be asked to end."""

    def list(self, *, states: Collection[State] | None = None) -> Sequence[Record]:
        """Records in one of `states`."""
        ...

    def request_stop(self, name: str, reason: str) -> Record:
        """Remember that somebody wants it to end."""
        ...


class Endings:
    """Implements `fabric.control.ports.Process`."""

    def __init__(self, records: Stoppable, backend: Backend, loop: LoopThread) -> None:
        self._records = records
        self._backend = backend
        self._loop = loop
        self.over = threading.Event()
        """Set once every workload has left after a shutdown was asked for."""

    def wake(self) -> None:
        """Let the loop take its next step at once."""
        self._loop.wake()

    def loop_age_s(self) -> float:
        """Seconds since the loop last finished a step."""
        return self._loop.age_s()

    def shutdown(self, kill: bool) -> None:
        """Ask every workload to leave, or take its processes at once; returns before they have."""
        threading.Thread(target=self._drain, args=(kill,), name="shutdown", daemon=True).start()

    def _drain(self, kill: bool) -> None:
        while True:
            live = self._records.list(states=_LIVE)
            for record in live:
                self._ask(record)
            clusters = self._backend.observe()
            if kill:
                for name in clusters:
                    self._backend.remove(name)
            if not live and not clusters:
                break
            self._loop.wake()
            self.over.wait(0.2)
        self.over.set()

    def _ask(self, record: Record) -> None:
        if record.stop_requested:
            return
        try:
            self._records.request_stop(record.name, "the fabric was taken down")
        except (Conflict, NotFound):
            return  # it ended by itself meanwhile
