"""What control says of what it removes of ended work, as JSON.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from typing import Literal

from fabric.config.settings import Settings

PRUNE = "/api/fabric/site/prune"
"""GET: what the next pass of retention would remove; POST: let it begin now. For operators and administrators."""

Kind = Literal["log", "report", "package", "artifact"]
"""What is removed: the log of a workload, what it told of itself, an uploaded package, a part of the artifacts."""

MOST_REMOVALS = 1000
"""Longest list of single removals in one answer; the totals count all of them."""


class RemovalView(Settings):
    """Something that is, or would be, removed."""

    kind: Kind
    """What it is."""
    project: str
    """Whose; empty for the site's packages, and for logs of workloads that nobody knows any more."""
    name: str
    """Of the workload or the package, or the path of the artifact."""
    num_bytes: int
    """What it takes; 0 for rows of the records."""
    since: float
    """When its workload ended, or when it was last used; seconds since the epoch."""


class TotalView(Settings):
    """Everything of one kind."""

    kind: Kind
    """What it is."""
    number: int
    """How many."""
    num_bytes: int
    """What they take together."""


class PassView(Settings):
    """A pass that has ended."""

    at: float
    """When it began, in seconds since the epoch."""
    removed: tuple[TotalView, ...]
    """What it removed."""
    failures: tuple[str, ...] = ()
    """What could not be removed, and why."""


class PruneView(Settings):
    """What the next pass removes."""

    removals: tuple[RemovalView, ...]
    """By kind, the oldest first; not all where they are many."""
    totals: tuple[TotalView, ...]
    """Of everything."""
    stays: tuple[str, ...] = ()
    """What is old enough and stays nevertheless, and why."""
    unseen: str = ""
    """What was not looked at, as an answer may not take so long; a pass looks at it too. Empty if all was."""
    last: PassView | None = None
    """The last pass since control began."""
