"""Arrays: equal jobs that are handed in together and told apart by a number, as JSON.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from fabric.api.admin import WorkloadView
from fabric.config.settings import Settings

ARRAYS = "/api/fabric/arrays"
"""POST `SubmitRequest` whose spec has an `array`; `/NAME` GET (`elements`) and DELETE; `/NAME/stop` POST."""


class ArrayView(Settings):
    """An array as a whole."""

    name: str
    """Name; its elements are the workloads NAME.0, NAME.1 and so on."""
    project: str
    """Who pays."""
    size: int
    """Elements that were handed in; fewer are left where single ones were deleted."""
    state: str
    """Of the whole: `queued` until one runs and `running` until all have ended; then `succeeded` if all have, `failed`
    if one has, and `cancelled` otherwise."""
    counts: dict[str, int]
    """Elements by state."""
    submitted_by: str = ""
    """Who handed it in."""
    submitted_at: float
    """Seconds since the epoch, like the next."""
    ended_at: float | None = None
    """When the last element ended."""
    elements: tuple[WorkloadView, ...] = ()
    """By number, without what they tell of themselves; empty where nobody asked for them."""
