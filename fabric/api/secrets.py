"""Secrets of projects by name, as JSON; what one holds goes in and is never told again.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from pydantic import Field

from fabric.config.settings import Settings

SECRETS = "/api/fabric/secrets"
"""`/PROJECT` GET lists the names; `/PROJECT/NAME` PUT `SecretRequest` and DELETE."""
LONGEST_SECRET = 32_768
"""Bytes of a value: what a variable of the environment may hold beside the others."""


class SecretRequest(Settings):
    """What a secret should hold from now on."""

    # Without bounds here: a refusal would repeat what was sent.
    value: str = Field(repr=False)
    """The value: text of 1 to `LONGEST_SECRET` bytes."""


class SecretView(Settings):
    """A secret, without what it holds."""

    name: str
    """Unique in its project; workloads say it in `secrets`."""
    project: str
    """Whose workloads may have it."""
    set_by: str
    """Who said last what it holds."""
    set_at: float
    """When, in seconds since the epoch."""


class SecretList(Settings):
    """Secrets by name."""

    secrets: tuple[SecretView, ...]
    """By name."""
