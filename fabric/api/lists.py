"""Long lists of workloads in pages, as JSON.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from fabric.api.admin import WorkloadView
from fabric.config.settings import Settings

QUEUE = "/api/fabric/queue"
"""GET: who waits, in the order of the queue; `offset`, `limit`."""
SEARCH = "/api/fabric/search"
"""GET: every workload, newest first; `text` of the name, `state` (several times), `offset`, `limit`."""
LONGEST_PAGE = 500
"""Workloads in one page at most."""


class WorkloadPage(Settings):
    """A part of a long list."""

    total: int
    """Workloads in the whole list."""
    offset: int
    """How many of it come before these."""
    workloads: tuple[WorkloadView, ...]
    """In the order of the list; without what they tell of themselves."""
