"""What slices keep in a node's memory, line by line, as JSON.

Knows nothing of HTTP frameworks; the constant names the route for server and SDK alike.
"""

from collections.abc import Callable

from fabric.config.settings import Settings

BILL = "bill"
"""Below a workload's own path, GET: the RAM bills of its slices."""


class BillLine(Settings):
    """One item."""

    what: str
    """Such as `application memory` or `object store`."""
    num_bytes: int
    """Size."""
    charged: bool
    """Whether it is in RAM; otherwise it is only a limit, as of files on a disk."""
    why: str
    """Where the number comes from."""


class BillView(Settings):
    """What each of some equal slices costs."""

    group: str
    """Group of the workload, or `head`."""
    tier: str
    """Where it is charged so."""
    workers: int
    """Workers in one slice; 0 for a Ray head alone."""
    slices: int
    """How many such slices it holds; 0 where it holds none and may run there."""
    diskless: bool
    """Whether files of that tier are RAM."""
    lines: tuple[BillLine, ...]
    """In an order that never changes."""
    total_bytes: int
    """What one slice takes of an otherwise empty node."""

    @property
    def whose(self) -> str:
        """The workers of a slice in words, such as `2 × trainers`."""
        return f"{self.workers} × {self.group}" if self.workers else self.group

    def rows(self, size: Callable[[float], str]) -> list[tuple[str, str, str]]:
        """The lines as people read them: what, its size in brackets where it costs no memory, and why.

        Args:
            size: Says bytes in words.
        """
        return [
            (line.what, size(line.num_bytes) if line.charged else f"({size(line.num_bytes)})", line.why)
            for line in self.lines
        ]


class BillList(Settings):
    """The bills of a workload."""

    bills: tuple[BillView, ...]
    """By group and tier."""
