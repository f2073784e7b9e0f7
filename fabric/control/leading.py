"""Which of several controls on one database leads: it alone acts, the others answer questions and wait.

Knows nothing of SQL, or of what acting is.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from fabric.core.errors import FabricError
from fabric.scheduler.ports import Backend, ClusterView, Sight, WantedCluster
from fabric.scheduler.snapshot import Node

_log = logging.getLogger(__name__)

EXIT_FOLLOWS = 4
"""Exit code of a control that led and does no more; whoever keeps it running starts it again, and it follows."""

LOOKS = 8
"""How often within one lease it is renewed, or looked at by those who wait: several may fail, little time is lost."""


class Lease(Protocol):
    """What one of several may hold."""

    def take(self) -> bool:
        """Lead from now on if nobody does; whether that worked."""
        ...

    def renew(self) -> bool:
        """Lead on; False if somebody else does."""
        ...

    def release(self) -> None:
        """Let another one lead at once."""
        ...

    def check(self) -> None:
        """Go on only if nobody else can lead.

        Raises:
            LostLead: If somebody may.
        """
        ...


def leave_at_once() -> None:
    """End this process without finishing anything: others do by now what it would finish."""
    logging.shutdown()
    os._exit(EXIT_FOLLOWS)


class Candidate(threading.Thread):
    """Waits for the lead, begins to act when it has it, and keeps it."""

    def __init__(
        self,
        lease: Lease,
        begin: Callable[[], None],
        *,
        lease_s: float,
        lost: Callable[[], None] = leave_at_once,
    ) -> None:
        """Asks for nothing before it is started.

        Args:
            lease: What is to be held.
            begin: Begins to act; may take its time.
            lease_s: How long a lease lasts, in seconds.
            lost: Called when somebody else leads, or acting could not begin.
        """
        super().__init__(name="lease", daemon=True)
        self._lease, self._begin, self._lost = lease, begin, lost
        self._pause_s = lease_s / LOOKS
        self._over = threading.Event()
        self._acting: threading.Thread | None = None
        self._said = ""

    @property
    def leads(self) -> bool:
        """Whether this process acts, or begins to."""
        return self._acting is not None

    def run(self) -> None:
        """Look, until told to end; a database that is away is no reason to give up."""
        while not self._over.is_set():
            try:
                self.turn()
                self._said = ""
            except FabricError as error:
                if self._said != (said := error.message):
                    _log.warning("the lease cannot be looked at: %s", said)
                self._said = said
            self._over.wait(self._pause_s)

    def turn(self) -> None:
        """Take the lead where nobody has it, or keep it.

        Raises:
            FabricError: If the database does not answer.
        """
        if self._acting is None:
            if self._lease.take():
                _log.info("this control leads from now on")
                # Beside us, because the lease must be renewed while everything is looked at for the first time.
                self._acting = threading.Thread(target=self._act, name="begin", daemon=True)
                self._acting.start()
        elif not self._lease.renew():
            _log.error("another control leads; this one ends at once")
            self._lost()

    def _act(self) -> None:
        try:
            self._begin()
        except Exception:  # whatever it is, another one may do better
            _log.exception("this control cannot lead")
            self._lease.release()
            self._lost()

    def end(self) -> None:
        """Let another one lead; called once nothing is done any more."""
        self._over.set()
        self.join(timeout=10.0)
        if self._acting is not None:
            try:
                self._lease.release()
            except FabricError as error:
                _log.warning("the lease runs out by itself: %s", error.message)


class FencedBackend:
    """Implements `fabric.scheduler.ports.Backend`: eyes as they are, hands only while nobody else can lead.

    A process that was stopped goes on in the middle of what it did, before it can learn that another one leads: so each
    act asks the clock first. What one call had begun already when it was stopped is not undone; clusters that nobody
    wants any more are taken away by whoever leads.
    """

    def __init__(self, backend: Backend, lease: Lease) -> None:
        self._backend, self._lease = backend, lease

    def nodes(self) -> tuple[Node, ...]:
        """As the backend sees them."""
        return self._backend.nodes()

    def changes(self, since: int) -> Sight:
        """As the backend sees them."""
        return self._backend.changes(since)

    def observe(self) -> Mapping[str, ClusterView]:
        """As the backend sees them."""
        return self._backend.observe()

    def realise(self, wanted: WantedCluster) -> None:
        """Bring about a cluster.

        Raises:
            LostLead: If somebody else may lead.
        """
        self._lease.check()
        self._backend.realise(wanted)

    def stop(self, cluster: str, grace_s: float) -> None:
        """Ask an entrypoint to end.

        Raises:
            LostLead: If somebody else may lead.
        """
        self._lease.check()
        self._backend.stop(cluster, grace_s)

    def remove(self, cluster: str) -> None:
        """Take a cluster away.

        Raises:
            LostLead: If somebody else may lead.
        """
        self._lease.check()
        self._backend.remove(cluster)
