"""How often many look, so that all of them together take no more of this machine than it can give.

Knows nothing of what they look at.
"""

import threading

MOST_PER_S = 100.0
"""Looks of all together in a second. One at a Ray head costs this process one to two milliseconds, so that a few
hundred clusters that start at once take a fifth of a processor and not all of it; a choice."""
LONGEST_S = 2.0
"""Longest pause that is made longer; output may be no further behind (design: what a workload is told and tells)."""


class Pace:
    """Pauses between looks: as each wishes while they are few, longer by one factor for all while they are many."""

    def __init__(self) -> None:
        self._rates: dict[str, float] = {}
        self._lock = threading.Lock()

    def pause_s(self, who: str, wish_s: float) -> float:
        """How long one pauses before the next look, in seconds; at least `wish_s`.

        Args:
            who: Name of who looks.
            wish_s: How long he would pause if he were alone, in seconds; above zero.
        """
        with self._lock:
            self._rates[who] = 1.0 / wish_s
            stretch = sum(self._rates.values()) / MOST_PER_S
        return max(wish_s, min(wish_s * stretch, LONGEST_S))

    def leave(self, who: str) -> None:
        """Count somebody no more; who was not counted is no mistake."""
        with self._lock:
            self._rates.pop(who, None)
