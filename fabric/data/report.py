"""What a run tells others while it works.

Knows nothing of who listens: the fabric, a file or a person.
"""

from collections.abc import Callable
from typing import Protocol

Say = Callable[[str], None]
"""Takes one line for a person."""


class Reporter(Protocol):
    """Told of stages and progress; implemented by the SDK."""

    def stage(self, name: str) -> None:
        """A new part of the work begins."""
        ...

    def progress(self, done: float, total: float, unit: str, **metrics: float) -> None:
        """So much of the part is done."""
        ...
