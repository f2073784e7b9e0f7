"""What control says of the pages that a workload's own Ray cluster shows, as JSON.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from fabric.config.settings import Settings

DASHBOARD = "/dashboard"
"""GET `/NAME/…`: what the Ray dashboard of a workload answers."""
VISIT = "/visit"
"""GET `/TICKET`, by a browser: opens once, and leads to the dashboard of the workload that the ticket is for."""
LINK = "/api/fabric/workloads/{name}/dashboard"
"""POST: a `DashboardLink` for one browser."""


class DashboardLink(Settings):
    """What a browser follows to a workload's Ray dashboard."""

    path: str
    """Path on control; with a key it opens once, and within `opens_s`."""
    opens_s: float | None = None
    """For how long, in seconds; None where this machine is trusted and the path is always open."""
