"""Failed log-ins as several threads count them, on the machine's clock.

Knows nothing of keys.
"""

import threading
import time
from collections.abc import Callable

from fabric.core.failures import FailedLogins


class SharedFailures:
    """Failures by address; safe to call from several threads at once."""

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic) -> None:
        """Remember nobody.

        Args:
            most: Failures that are let pass within a minute from one address.
            now: A clock in seconds that never goes back.
        """
        self._failures, self._now = FailedLogins(most), now
        self._lock = threading.Lock()

    def check(self, address: str, key: str) -> None:
        """Let nobody try more keys from an address from which too many failed.

        Raises:
            TooOften: If so, and this very key did not get in from there lately.
        """
        with self._lock:
            self._failures.check(address, key, self._now())

    def failed(self, address: str) -> None:
        """Count a failure."""
        with self._lock:
            self._failures.failed(address, self._now())

    def got_in(self, address: str, key: str) -> None:
        """Remember that a key opened something from there."""
        with self._lock:
            self._failures.got_in(address, key, self._now())
