"""Browsers that were let in to what one workload shows, on behalf of a key that they do not hold.

Knows nothing of HTTP. A browser sends no key when a person follows a link, so who holds one asks for a ticket, which
opens once; what the browser keeps then is a word for one workload. Keys are in memory alone and are looked at with each
request: whoever loses his rights loses them here too, and a control that is started again knows no visits.
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from fabric.core.errors import NotFound

TICKET_S = 60.0
"""How long a ticket opens, in seconds: enough to follow a link."""

VISIT_S = 12 * 3600.0
"""How long a visit lasts at most, in seconds: a working day."""

MOST_VISITS = 10_000
"""Tickets, and visits, that are remembered; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True)
class Visit:
    """On whose behalf somebody looks at which workload."""

    workload: str
    key: str = field(repr=False)
    """Shown by who asked for the ticket."""
    project: str | None = None
    """In which he acts, where he said so."""


class Visits:
    """Everybody who was let in; safe to call from several threads at once."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Let nobody in yet.

        Args:
            now: Seconds that never go back.
        """
        self._now = now
        self._tickets: OrderedDict[str, tuple[float, Visit]] = OrderedDict()
        self._visits: OrderedDict[str, tuple[float, Visit]] = OrderedDict()
        self._lock = threading.Lock()

    def ticket(self, visit: Visit) -> str:
        """What lets one browser in, once."""
        return self._remember(self._tickets, visit, TICKET_S)

    def enter(self, ticket: str) -> tuple[str, Visit]:
        """The word that the browser keeps, and what it is for.

        Raises:
            NotFound: If the ticket was used, is too old, or is none.
        """
        with self._lock:
            until, visit = self._tickets.pop(ticket, (0.0, None))
        if visit is None or until <= self._now():
            raise NotFound("this address opens once, within a minute of being made; ask for another one")
        return self._remember(self._visits, visit, VISIT_S), visit

    def find(self, word: str, workload: str) -> Visit | None:
        """Whose word it is; None if nobody's, or if it is for another workload."""
        with self._lock:
            until, visit = self._visits.get(word, (0.0, None))
        return visit if visit is not None and visit.workload == workload and until > self._now() else None

    def _remember(self, kept: OrderedDict[str, tuple[float, Visit]], visit: Visit, for_s: float) -> str:
        word = secrets.token_urlsafe(32)
        with self._lock:
            kept[word] = (self._now() + for_s, visit)
            if len(kept) > MOST_VISITS:
                kept.popitem(last=False)
        return word
