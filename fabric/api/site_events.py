"""What happened at a site, as JSON.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from typing import Literal

from fabric.config.settings import Settings

SITE_EVENTS = "/api/fabric/events"
"""GET: newest first; `before` is the number of the last one that was told, `limit` how many."""
LONGEST_EVENTS = 500
"""Events in one answer at most."""
LARGEST_NUMBER = 2**31 - 1
"""Largest number that an event may have."""

SiteEventKind = Literal[
    "failed", "lost", "preempted", "warning", "deployed", "ended", "alias", "node_up", "node_down", "node_refused",
    "node_cordoned", "node_gone", "node_drained", "node_returned", "reloaded", "reload_refused",
]  # fmt: skip
"""Work failed for good, lost an attempt, was asked to leave, looks idle or stuck; a service was handed in, has ended;
an alias points elsewhere; a node takes work, is down, did not show what its tier asks, is held back by others, is gone,
is drained by somebody, is put into service by somebody; the site file was read again, or refused."""


class SiteEventView(Settings):
    """One thing that happened."""

    number: int
    """Larger than that of every earlier one."""
    at: float
    """Seconds since the epoch."""
    kind: SiteEventKind
    """What."""
    about: str
    """Name of the workload or node, or MODEL@ALIAS; empty of several nodes, and of the site file."""
    project: str = ""
    """Whose it is; empty of what is the site's."""
    said: str
    """Why, or what came of it."""
    by: str = ""
    """Who did it, where somebody did."""


class SiteEventList(Settings):
    """What happened within the asker's reach."""

    events: tuple[SiteEventView, ...]
    """Newest first."""
    before: int | None = None
    """What to ask with for those before them; None where there are none."""
