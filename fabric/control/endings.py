"""How the fabric ends when asked: every workload leaves first.

Knows nothing of signals or HTTP.
"""

import logging
import threading
from collections.abc import Collection, Sequence
from typing import Protocol

from fabric.control.process import LoopThread
from fabric.core.errors import Conflict, NotFound
from fabric.scheduler.ports import Backend
from fabric.workloads.record import Record
from fabric.workloads.states import FINAL, State

_log = logging.getLogger(__name__)

_LIVE = frozenset(State) - FINAL
_LOOK_EVERY_S, _AFTER_ERROR_S = 0.2, 1.0


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
        said = ""
        while not self.over.is_set():
            pause_s = _LOOK_EVERY_S
            try:
                if self._gone(kill):
                    self.over.set()
            except Exception as error:  # a full disk or a store that is away now is not so for ever, and somebody waits
                if said != (said := f"{type(error).__name__}: {error}"):
                    _log.exception("taking the fabric down goes on in spite of an error")
                pause_s = _AFTER_ERROR_S
            self.over.wait(pause_s)

    def _gone(self, kill: bool) -> bool:
        """Ask everything that is still there to leave; whether nothing is."""
        live = self._records.list(states=_LIVE)
        clusters = self._backend.observe()
        if kill:
            for name in clusters:
                self._backend.remove(name)
        for record in live:
            self._ask(record)
        self._loop.wake()
        return not live and not clusters

    def _ask(self, record: Record) -> None:
        if record.stop_requested:
            return
        try:
            self._records.request_stop(record.name, "the fabric was taken down")
        except (Conflict, NotFound):
            return  # it ended by itself meanwhile
