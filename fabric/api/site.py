"""What control says of the site file being read again, as JSON.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from fabric.config.settings import Settings

RELOADS = "/api/fabric/site/reloads"
"""POST: read the site file again, for operators and administrators; GET: when that was done, by whom, what changed."""


class ReloadView(Settings):
    """One time that the site file was read again."""

    at: float
    """Seconds since the epoch."""
    by: str
    """Who asked for it: a person, a key that is nobody's, or a signal."""
    changed: tuple[str, ...] = ()
    """Settings that hold from then on."""
    waiting: tuple[str, ...] = ()
    """Settings that differ in the file, and hold once control is started again."""
    refused: str = ""
    """Why all of it was refused, so that everything stayed as it was; empty if it was not."""


class ReloadList(Settings):
    """What was read again, newest first."""

    reloads: tuple[ReloadView, ...]
    """Newest first."""
