"""Aliases of models that people move by hand, as JSON.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from pydantic import Field

from fabric.api.admin import MODELS
from fabric.config.settings import Settings

ALIASES = MODELS + "/{project}/{model}/aliases"
"""GET `AliasMoveList`; `/ALIAS` PUT `AliasRequest`."""
LONGEST_REASON = 500
"""Letters of a reason."""


class AliasRequest(Settings):
    """Where an alias should point from now on."""

    version: int = Field(ge=1, le=2**31 - 1)
    """Version of the model."""
    reason: str = Field(min_length=1, max_length=LONGEST_REASON)
    """Why; kept with the move."""


class AliasMoveView(Settings):
    """An alias that somebody moved by hand."""

    project: str
    """Whose model it is."""
    model: str
    """The model."""
    alias: str
    """The alias."""
    version: int
    """Where it points since."""
    before: int | None
    """Where it pointed before; None where it was new."""
    by: str
    """Who moved it."""
    reason: str
    """Why."""
    at: float
    """When, in seconds since the epoch."""


class AliasMoveList(Settings):
    """Moves by hand."""

    moves: tuple[AliasMoveView, ...]
    """Newest first."""
