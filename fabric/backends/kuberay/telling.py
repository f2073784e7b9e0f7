"""People hear on their own object how its workload stands: an event for each news, and two annotations.

Knows nothing of workloads. What is told changes often and every write costs the API server, so news of the same sort
wait for each other.
"""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from fabric.backends.kuberay import names
from fabric.backends.kuberay.adopted_manifest import about, told_patch
from fabric.backends.kuberay.api import EVENTS, KubeApi
from fabric.backends.kuberay.events import event_of
from fabric.backends.kuberay.foreign import KIND_OF, Foreign
from fabric.core.errors import FabricError, NotFound
from fabric.workloads.states import FINAL

_log = logging.getLogger(__name__)


ENDED = frozenset(state.value for state in FINAL)
"""What an object says whose workload has ended."""


class Sort(StrEnum):
    """Sorts of news; the value is the event's reason."""

    WAITS = "Waiting"
    HOLDS = "Granted"
    OVER = "Ended"
    REFUSED = "Refused"


_FIRST_S = {Sort.WAITS: 3.0, Sort.HOLDS: 30.0, Sort.OVER: 0.0, Sort.REFUSED: 0.0}
"""How long news of another sort than before must have held until they are told: who is granted at once never reads that
he waits, and the grant itself is written with the start."""
_AGAIN_S = 30.0
"""Least time between two news of one sort on one object."""
_PER_S, _AT_ONCE = 1.0, 10.0
"""News of those who wait or hold a grant that are told in a second, and at once after a quiet time, of all objects
together. One costs the API server about 0.06 s (300 RayClusters are made in 16 to 25 s on the rig)."""
_SELDOM = frozenset({Sort.OVER, Sort.REFUSED})


@dataclass(slots=True)
class _Heard:
    """What is known of the news of one object."""

    sort: Sort
    since: float
    due: float


class Teller:
    """Writes on objects, not too often."""

    def __init__(self, api: KubeApi, now: Callable[[], float] = time.monotonic) -> None:
        """Writes nothing yet.

        Args:
            api: The server.
            now: Seconds that only grow.
        """
        self._api, self._now = api, now
        self._heard: dict[str, _Heard] = {}
        self._may, self._counted_at = _AT_ONCE, now()

    def tell(self, foreign: Foreign, sort: Sort, message: str, *, workload: str = "", state: str = "") -> None:
        """Write news on an object if they are new and it is time.

        Args:
            foreign: The object.
            sort: Of the news.
            message: A sentence.
            workload: Name of its workload; empty where it has none.
            state: Of the workload; the sort's own word where it has none.
        """
        now = self._now()
        heard = self._heard.get(foreign.uid)
        if heard is None or heard.sort is not sort:
            heard = self._heard[foreign.uid] = _Heard(sort, now, now + _FIRST_S[sort])
        state = state or sort.value.lower()
        said = foreign.annotations
        if now < heard.due or (said.get(names.STATE), said.get(names.MESSAGE)) == (state, message):
            return
        if sort not in _SELDOM and not self._takes_turn(now):
            return
        heard.due = now + _AGAIN_S
        try:
            self._write(foreign, sort, message, workload=workload, state=state)
        except NotFound:
            return
        except FabricError as error:
            _log.warning("%s is not told that %s: %s", foreign, message, error.message)

    def forget_all_but(self, uids: Collection[str]) -> None:
        """Forget objects that are gone."""
        self._heard = {uid: heard for uid, heard in self._heard.items() if uid in uids}

    def _takes_turn(self, now: float) -> bool:
        """Whether one of the news that come in numbers may be told now."""
        self._may = min(_AT_ONCE, self._may + (now - self._counted_at) * _PER_S)
        self._counted_at = now
        if self._may < 1.0:
            return False
        self._may -= 1.0
        return True

    def _write(self, foreign: Foreign, sort: Sort, message: str, *, workload: str, state: str) -> None:
        self._api.patch(KIND_OF[foreign.kind], foreign.name, told_patch(workload, state, message))
        warns, at = sort is Sort.REFUSED, datetime.now(UTC).timestamp()
        event = event_of(about(foreign), reason=sort.value, message=message, warns=warns, at=at)
        self._api.create(EVENTS, event)
