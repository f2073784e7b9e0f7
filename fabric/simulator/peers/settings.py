"""What every peer is told: speeds of tiers, the notice before a kill, and which nodes serve.

Knows nothing of how any of them decides.
"""

from collections.abc import Callable, Mapping

from pydantic import Field

from fabric.config.settings import Settings
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Snapshot
from fabric.workloads.spec import Priority

Decider = Callable[[Snapshot, Policy, float], Plan]
"""From the world, the site's policy (peers have settings of their own and do not look at it) and `now` in seconds."""

Search = Mapping[str, tuple[object, ...]]
"""Names of settings and the values that a tuning run tries, all combinations or some of them."""

SERVING_RANK = Priority.SERVING.rank
"""Rank of the class that services have."""


class PeerSettings(Settings):
    """What a site says to any scheduler."""

    speeds: dict[str, float] = {}
    """Progress of training on one accelerator by tier, relative to the fastest; 1 where a tier is left out."""

    grace_s: float = Field(default=60.0, ge=0)
    """Seconds between asking work to leave and killing it. Slurm's GraceTime is 0 and Kubernetes' grace 30 by default;
    ours, long enough for a checkpoint."""

    head_nodes: int = Field(default=0, ge=0)
    """Nodes of tiers that hold Ray heads, the first by name, which work without accelerators leaves to heads."""


class SplitSettings(PeerSettings):
    """A site whose serving nodes are set apart for ever."""

    serving_tier: str = "gpu"
    """Tier of which some nodes serve."""

    serving_nodes: int = Field(default=0, ge=0)
    """How many, the first by name; chosen so that the peaks of all services fit. With 0 services may use any node."""

    peaks: dict[str, int] = {}
    """Replicas that each service holds all the time; the most that it may have where it is left out."""
