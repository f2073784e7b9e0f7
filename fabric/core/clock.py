"""What a clock is; real ones live at the edges.

Knows nothing of the real time.
"""

from typing import Protocol


class Clock(Protocol):
    """Seconds since the epoch, as a port so that the simulator brings its own."""

    def now(self) -> float:
        """The present instant in seconds."""
        ...
