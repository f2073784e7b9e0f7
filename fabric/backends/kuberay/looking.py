"""A thread that looks at objects again and again, sooner when it is woken.

Knows nothing of what is looked at, or how often.
"""

import threading

_LAST_LOOK_S = 30.0
"""How long the look that goes on when it is told to end may take, in seconds."""


class Looking(threading.Thread):
    """What such threads share; `run` looks until `_over` is set, and waits on `_nudge` between looks."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._nudge, self._over = threading.Event(), threading.Event()

    def wake(self) -> None:
        """Look soon."""
        self._nudge.set()

    def end(self) -> None:
        """Look no more; returns once the present look is over."""
        self._over.set()
        self._nudge.set()
        if self.is_alive():
            self.join(timeout=_LAST_LOOK_S)
