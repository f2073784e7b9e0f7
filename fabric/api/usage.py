"""What control says of use, as JSON.

Knows nothing of HTTP frameworks or of where it is kept.
"""

from fabric.config.settings import Settings

USAGE = "/api/fabric/usage"
"""GET: `by` (repeated), `since` and `until` in seconds since the epoch, `project`, `workload`."""

BY = ("hour", "day", "project", "user", "model", "tier", "workload")
"""What usage may be added up by; hours and days are those of UTC."""

COLUMNS = ("begins", "project", "user", "model", "tier", "workload", "cpu_hours", "gpu_hours", "memory_gib_hours")
"""Columns of exported usage, in this order."""


class UsageRow(Settings):
    """What was held, added up; what was not asked for apart is None."""

    begins: float | None = None
    """Beginning of the hour or day, in seconds since the epoch."""
    project: str | None = None
    """Who pays."""
    user: str | None = None
    """Who handed the work in."""
    model: str | None = None
    """What a service serves; empty for jobs."""
    tier: str | None = None
    """Where it was held."""
    workload: str | None = None
    """For which job or service."""
    cpu_hours: float
    """CPU cores times hours."""
    gpu_hours: float
    """Accelerators times hours."""
    memory_gib_hours: float
    """GiB of memory times hours."""


class UsageView(Settings):
    """Use between two instants."""

    since: float
    """Seconds since the epoch, like the next."""
    until: float
    """What is still held then is counted up to it."""
    rows: tuple[UsageRow, ...]
    """In the order of what was asked for."""
