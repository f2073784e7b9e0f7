"""What a run tells others while it works.

Knows nothing of who listens: the fabric, a file or a person.
"""

from collections.abc import Callable
from typing import Protocol

from fabric.api.admin import SizeView

Say = Callable[[str], None]
"""Takes one line for a person."""


class Reporter(Protocol):
    """Told of stages, progress and checkpoints; implemented by the SDK."""

    def stage(self, name: str) -> None:
        """A new part of the work begins."""
        ...

    def progress(self, done: float, total: float, unit: str, **metrics: float) -> None:
        """So much of the part is done."""
        ...

    def checkpointed(self, uri: str, step: int, num_bytes: int, seconds: float) -> None:
        """State up to `step` is safe at `uri`; a kill costs only what comes after."""
        ...

    def size(self) -> SizeView | None:
        """The size at which the run should work now; None where it never changes, without workers if unknown."""
        ...

    def resized(self, workers: int) -> None:
        """It works at another size from now on, and nothing of it runs on what it has beyond that."""
        ...


class Silent:
    """A reporter that tells nobody."""

    def stage(self, name: str) -> None:
        """Tell nobody."""

    def progress(self, done: float, total: float, unit: str, **metrics: float) -> None:
        """Tell nobody."""

    def checkpointed(self, uri: str, step: int, num_bytes: int, seconds: float) -> None:
        """Tell nobody."""

    def size(self) -> SizeView | None:
        """It never changes."""
        return None

    def resized(self, workers: int) -> None:
        """Tell nobody."""


def duration(seconds: float) -> str:
    """A length of time as a person reads it, such as 42s, 3m20s or 1h05m."""
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"  # noqa: PLR2004
