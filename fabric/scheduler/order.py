"""Who is looked at first.

Knows nothing of resources.
"""

from collections.abc import Iterable

from fabric.scheduler.snapshot import Waiting


def in_order(waiting: Iterable[Waiting]) -> list[Waiting]:
    """Most urgent class first, first come first served inside it, ties by name."""
    return sorted(waiting, key=lambda work: (work.rank, work.submitted, work.name))
