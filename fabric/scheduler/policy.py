"""What a site may choose about decisions.

Knows nothing of the site's machines.
"""

from pydantic import Field

from fabric.config.settings import Settings


class Policy(Settings):
    """Choices of the scheduler."""

    horizon_s: float = Field(default=7 * 86400.0, gt=0)
    """How far ahead an expected start is looked for, in seconds."""
