"""What control says and takes about nodes that people take out of service, as JSON.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from pydantic import Field

from fabric.config.settings import Settings

DRAIN = "/api/fabric/nodes/{node}/drain"
"""GET previews (`deadline_s`), POST `DrainRequest` begins, DELETE undoes; for operators and administrators."""
LONGEST_REASON = 500
"""Letters of a reason."""
LONGEST_DEADLINE_S = 366 * 86_400.0
"""Furthest deadline, in seconds from now."""


class DrainRequest(Settings):
    """Take a node out of service."""

    reason: str = Field(default="", max_length=LONGEST_REASON)
    """Why, for people."""
    deadline_s: float | None = Field(default=None, ge=0, le=LONGEST_DEADLINE_S)
    """Seconds from now by which everything is gone; None lets work that does not save run to its end."""


class DrainView(Settings):
    """A node that is out of service."""

    node: str
    """Its name."""
    by: str
    """Who asked for it."""
    reason: str = ""
    """Why."""
    since: float
    """Seconds since the epoch, like the next."""
    deadline: float | None = None
    """By when everything is gone; None where work that does not save runs to its end."""


class MoveView(Settings):
    """What would become of one workload on a node that is drained."""

    workload: str
    """Its name."""
    project: str
    """Whose it is."""
    how: str
    """`moves`, `shrinks`, `waits` (asked to leave, and no other place is free), `ends` (before it would be asked) or
    `stays` (to its end, as it does not save)."""
    to: tuple[str, ...] = ()
    """Nodes on which it would go on."""
    said: str
    """In words."""


class DrainPreview(Settings):
    """What would follow from draining a node; nothing has been done."""

    node: str
    """Its name."""
    asked_at: float
    """When whoever is there would be asked to leave, in seconds since the epoch."""
    moves: tuple[MoveView, ...] = ()
    """By name of the workload; empty where nothing runs there."""
