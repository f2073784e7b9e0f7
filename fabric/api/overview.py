"""What control says of the site at one glance, as JSON: tiers, queue, services, and how promises were kept.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from fabric.api.admin import WorkloadView
from fabric.api.use import UseAmounts
from fabric.config.settings import Settings

OVERVIEW = "/api/fabric/overview"
"""GET."""
DECISION = "/api/fabric/decision"
"""GET: the last decision as `fabric replay` reads it; for administrators, as it names everybody's work."""


class Amounts(Settings):
    """So much of each resource."""

    cpus: float = 0.0
    """CPU cores."""
    gpus: float = 0.0
    """Accelerators."""
    memory_bytes: int = 0
    """Memory."""


class TierView(Settings):
    """A class of nodes, all of them together."""

    name: str
    """Tier."""
    nodes: int
    """Nodes it has."""
    ready: int
    """Of these, how many take new work."""
    total: Amounts
    """What the ready ones have."""
    free: Amounts
    """What nobody holds of that."""
    held: dict[str, Amounts] = {}
    """What is held, by priority class; also on nodes that are not ready."""


class PromisesView(Settings):
    """Actual start minus first promise, over attempts that had been promised a start; below zero is earlier."""

    num: int
    """Starts that had been promised."""
    num_kept: int
    """Of these, how many were no later than `within_s` after the promise."""
    within_s: float
    """What still counts as kept, in seconds."""
    p50_s: float | None = None
    """Median, in seconds; None where nothing was promised, like the next two."""
    p95_s: float | None = None
    """95 of 100 are no larger, in seconds."""
    worst_s: float | None = None
    """Largest, in seconds."""


class Overview(Settings):
    """The site at one glance; workloads are those within the asker's reach."""

    site: str
    """Name."""
    at: float
    """When, in seconds since the epoch."""
    tiers: tuple[TierView, ...]
    """By name."""
    num_waiting: int
    """Workloads in the queue."""
    queue: tuple[WorkloadView, ...] = ()
    """The first of them: most urgent class first, then first come first served."""
    services: tuple[WorkloadView, ...] = ()
    """Services that are not final, by name."""
    running: dict[str, int] = {}
    """Jobs that hold nodes, counted by priority class."""
    promises: PromisesView
    """How promises were kept."""
    use: UseAmounts | None = None
    """What the workloads that hold nodes use of their grants, as far as it is measured; None where nothing is."""
    num_measured: int = 0
    """How many of them are measured."""
    num_holding: int = 0
    """How many hold nodes."""
