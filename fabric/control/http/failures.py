"""How often somebody may present keys that open nothing.

Knows nothing of keys: it is told who failed and who got in.
"""

import hashlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from fabric.core.errors import Unavailable

WINDOW_S = 60.0
"""Seconds for which a failure counts."""

KNOWN_S = 600.0
"""Seconds for which who got in is let in again from there, whatever others do from the same address."""

MOST_REMEMBERED = 10_000
"""Addresses, and keys that got in, that are remembered; the oldest are forgotten first."""


class TooOften(Unavailable):
    """Too many failures from one address; a little later the same may succeed."""


class FailedLogins:
    """Failures by address; safe to call from several threads at once."""

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic) -> None:
        """Remember nobody.

        Args:
            most: Failures within `WINDOW_S` from one address.
            now: A clock in seconds that never goes back.
        """
        self._most, self._now = most, now
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, address: str, key: str) -> None:
        """Let nobody try more keys from an address from which too many failed.

        Raises:
            TooOften: If so, and this very key did not get in from there lately.
        """
        now = self._now()
        with self._lock:
            failed = self._failures.get(address)
            while failed and failed[0] <= now - WINDOW_S:
                failed.popleft()
            if not failed or len(failed) < self._most or self._known.get((address, _digest(key)), 0.0) > now:
                return
            wait_s = failed[0] + WINDOW_S - now
        raise TooOften(f"too many keys that open nothing came from {address}; try again in {wait_s:.0f} s")

    def failed(self, address: str) -> None:
        """Count a failure."""
        with self._lock:
            self._failures.setdefault(address, deque(maxlen=self._most)).append(self._now())
            self._failures.move_to_end(address)
            _forget_oldest(self._failures)

    def got_in(self, address: str, key: str) -> None:
        """Remember that a key opened something from there."""
        with self._lock:
            known = (address, _digest(key))
            self._known[known] = self._now() + KNOWN_S
            self._known.move_to_end(known)
            _forget_oldest(self._known)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _forget_oldest(kept: "OrderedDict[str, deque[float]] | OrderedDict[tuple[str, str], float]") -> None:
    if len(kept) > MOST_REMEMBERED:
        kept.popitem(last=False)
