"""When calls that were refused are tried again: soon at first, then after longer and longer pauses.

Knows nothing of the calls.
"""

import time
from collections.abc import Callable

_FIRST_S, _LONGEST_S = 0.2, 10.0
"""Pause after the second refusal in a row, and the longest; each is twice the one before. After the first there is none
but that of who asks: most refusals are over by then. Choices."""


class Backoff:
    """The pause of one who asks for the same until he gets it."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Was refused nothing yet.

        Args:
            now: Seconds that only grow.
        """
        self._now = now
        self._pause_s: float | None = None
        self._not_before = float("-inf")

    @property
    def over(self) -> bool:
        """Whether it is time to ask."""
        return self._now() >= self._not_before

    def refused(self) -> None:
        """Ask again only after a pause."""
        self._pause_s = 0.0 if self._pause_s is None else min(max(2 * self._pause_s, _FIRST_S), _LONGEST_S)
        self._not_before = self._now() + self._pause_s

    def taken(self) -> None:
        """Whatever is refused next is something else."""
        self._pause_s = None
