"""What was asked for of late and what became of it, and what decides on it, as JSON: enough to decide it all again.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from typing import Any

from fabric.api.overview import Amounts
from fabric.config.settings import Settings

CURVES = "curves"
"""Below a workload's own path, GET: what it told of itself over time."""
PAST = "/api/fabric/past"
"""GET: `since` in seconds since the epoch, `limit`."""
MOST_PAST = 1000
"""Workloads in one answer at most."""


class PastGroup(Settings):
    """Equal workers that a workload asked for."""

    name: str = "workers"
    """Its name."""
    count: int = 1
    """Workers; of a group that may change its size, as many as were asked for."""
    tier: str | None = None
    """Tier they must run on; None for any."""
    cpus: float = 1.0
    """CPU cores of each."""
    gpus: float = 0.0
    """Accelerators of each."""
    memory: str = "1 GiB"
    """Memory of each, with unit."""


class PastWork(Settings):
    """One workload: what it asked for, and when it got it; instants in seconds since the epoch."""

    name: str
    """Its name."""
    project: str
    """Who pays."""
    kind: str
    """`job` or `service`."""
    priority: str
    """Priority class."""
    state: str
    """As it is now."""
    groups: tuple[PastGroup, ...]
    """What it asks for."""
    walltime_s: float | None = None
    """Longest run in seconds."""
    checkpoints: bool = False
    """Whether it saves its state when asked to leave."""
    submitted_at: float
    """When it was handed in."""
    granted_at: float | None = None
    """When its last attempt got its slices."""
    running_at: float | None = None
    """When that ran."""
    ended_at: float | None = None
    """When it ended."""


class TierFacts(Settings):
    """A class of nodes."""

    name: str
    """Its name."""
    nodes: int
    """Nodes that are there."""
    each: Amounts
    """What the largest of them has."""
    heads: bool
    """Whether Ray heads may run there."""
    speed: float = 1.0
    """Of its accelerators, relative to others'."""


class PastView(Settings):
    """The recent past, as far as the asker may see it, and the site that it happened at."""

    at: float
    """Now, in seconds since the epoch."""
    tiers: tuple[TierFacts, ...]
    """By name."""
    policy: dict[str, Any]
    """How is decided, as a policy file says it."""
    head: Amounts
    """What a Ray head of its own is charged."""
    grace_s: float
    """Seconds between a notice and the kill."""
    overhead_s: float
    """Seconds that promises allow for what work holds its nodes beside its walltime."""
    works: tuple[PastWork, ...] = ()
    """Newest first."""


class TellingView(Settings):
    """What a workload told at one instant."""

    attempt: int
    """Attempt that told it."""
    at: float
    """Seconds since the epoch."""
    done: float
    """Units done."""
    metrics: dict[str, float]
    """Numbers by name, such as loss."""


class CurvesView(Settings):
    """What a workload told of itself over time, over all its attempts; long runs are thinned."""

    points: tuple[TellingView, ...]
    """Oldest first."""
