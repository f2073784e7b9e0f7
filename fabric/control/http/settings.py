"""What the HTTP layer is told once.

Knows nothing of the site's machines.
"""

from pydantic import Field

from fabric.config.settings import Settings
from fabric.core.limits import MOST_PACKAGE


class HttpSettings(Settings):
    """Limits and neighbours of control's HTTP interface."""

    anonymous: bool = False
    """Whether a request without a key is taken as the local administrator's."""

    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")
    """Names in a `Host` header under which requests without a key are believed to come from this machine."""

    max_package_bytes: int = Field(default=MOST_PACKAGE.count, ge=1024)
    """Largest package that the store takes, in bytes: how much of a refused one is still read."""

    max_body_bytes: int = Field(default=2**20, ge=1024)
    """Largest body of any other request, in bytes."""

    max_body_s: float = Field(default=30.0, gt=0)
    """How long such a body may take to arrive, in seconds: whoever sends it has one of few places meanwhile."""

    most_uploads: int = Field(default=8, ge=1)
    """Artifacts that are received at the same time, and as many packages; further ones are answered 503 at once."""

    max_failed_logins: int = Field(default=20, ge=1)
    """Keys that open nothing which may come from one address within a minute."""

    mlflow_port: int | None = Field(default=None, ge=1, le=65535)
    """Port of the MLflow server on this machine; None if there is none."""

    follow_interval_s: float = Field(default=0.1, gt=0)
    """How often a followed log is looked at, in seconds."""

    max_wait_s: float = Field(default=30.0, gt=0)
    """Longest time that a request may ask to be held back until there is something new, in seconds."""

    standing_s: float = Field(default=2.0, gt=0)
    """How often the key behind a web socket that stays open is looked at again, in seconds."""

    at_work: int = Field(default=6, ge=1)
    """Submissions that are worked on at the same time, and as many of all other requests that are answered soon: enough
    for the next to be read while others are being flushed to the disk; more would only take the processor from each
    other."""

    most_waiting: int = Field(default=64, ge=0)
    """Requests of either kind that wait for those; further ones are answered 503 at once."""

    patience_s: float = Field(default=2.0, gt=0)
    """Longest wait of such a request in seconds; it is answered 503 then."""

    most_held: int = Field(default=2000, ge=1)
    """Requests that stay open at the same time, such as logs that are followed; further ones are answered 503."""
