"""How often somebody may present keys that open nothing.

Knows nothing of keys, clocks or threads: it is told who failed, who got in and when, one call at a time.
"""

import hashlib
from collections import OrderedDict, deque

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
    """Failures by address."""

    def __init__(self, most: int) -> None:
        """Remember nobody.

        Args:
            most: Failures within `WINDOW_S` from one address.
        """
        self._most = most
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()

    def check(self, address: str, key: str, now: float) -> None:
        """Let nobody try more keys from an address from which too many failed.

        Args:
            address: From where the key comes.
            key: What is shown.
            now: Seconds of a clock that never goes back, the same one in all calls.

        Raises:
            TooOften: If so, and this very key did not get in from there lately.
        """
        failed = self._failures.get(address)
        while failed and failed[0] <= now - WINDOW_S:
            failed.popleft()
        if not failed or len(failed) < self._most or self._known.get((address, _digest(key)), 0.0) > now:
            return
        wait_s = failed[0] + WINDOW_S - now
        raise TooOften(f"too many keys that open nothing came from {address}; try again in {wait_s:.0f} s")

    def failed(self, address: str, now: float) -> None:
        """Count a failure."""
        self._failures.setdefault(address, deque(maxlen=self._most)).append(now)
        self._failures.move_to_end(address)
        if len(self._failures) > MOST_REMEMBERED:
            self._failures.popitem(last=False)

    def got_in(self, address: str, key: str, now: float) -> None:
        """Remember that a key opened something from there."""
        known = (address, _digest(key))
        self._known[known] = now + KNOWN_S
        self._known.move_to_end(known)
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
