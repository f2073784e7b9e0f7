"""Where the console finds the fabric, and how long it remembers people.

Knows nothing of pages.
"""

from pathlib import Path

from pydantic import Field

from fabric.config.settings import Settings


class ConsoleSettings(Settings):
    """What the console is told once."""

    control: str
    """Base URL of control."""

    gateway: str
    """Base URL of the gateway."""

    anonymous: bool = False
    """Whether a person on this machine may come in as the local administrator, without showing a key."""

    ca: Path | None = None
    """File of certificates that are believed of both, beside the system's."""

    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")
    """Names in a `Host` header under which such a person is believed to be on this machine."""

    idle_s: float = Field(default=12 * 3600.0, gt=0)
    """Seconds without any request after which somebody must log in again."""

    refresh_s: float = Field(default=2.0, gt=0)
    """Seconds between two looks of an open page."""

    rows: int = Field(default=50, ge=1, le=500)
    """Workloads in one page of a list."""

    most_failures: int = Field(default=10, ge=1)
    """Log-ins that may fail from one address within `failures_s`."""

    failures_s: float = Field(default=300.0, gt=0)
    """For how long a failed log-in counts, in seconds."""
