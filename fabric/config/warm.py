"""Which clusters a site keeps warm: started before anybody asks, so that short interactive work need not wait for Ray.

Knows nothing of how they are started or given away.
"""

from collections.abc import Mapping

from pydantic import Field

from fabric.config.settings import Settings


class Warm(Settings):
    """Clusters of one shape, each of one slice that holds its own head; work that asks for exactly that may get one."""

    tier: str
    """Where; a tier with `heads: true`."""

    count: int = Field(default=1, ge=1, le=100)
    """How many wait at a time, as far as there is room that nobody else uses."""

    cpus: float | None = Field(default=None, gt=0)
    """CPU cores; left out, what work gets whose owner says nothing."""

    gpus: float = Field(default=0.0, ge=0)
    """Accelerators."""

    memory: str | None = None
    """Memory, with unit; left out, what work gets whose owner says nothing."""


def check_warm(warm: tuple[Warm, ...], heads: Mapping[str, bool]) -> None:
    """Check that warm clusters can be.

    Args:
        warm: What a site keeps warm.
        heads: Whether each of its tiers may hold Ray heads.

    Raises:
        ValueError: Naming the tier that cannot hold them.
    """
    for one in warm:
        if one.tier not in heads:
            raise ValueError(f"warm: there is no tier {one.tier!r}; there are {', '.join(sorted(heads))}")
        if not heads[one.tier]:
            raise ValueError(
                f"warm: tier {one.tier} holds no Ray heads, and a warm cluster is one slice with its own head; name a "
                "tier with `heads: true`"
            )
