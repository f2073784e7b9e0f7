"""Whom a site tells what happened, and what it calls suspicious.

Knows nothing of how either is found out.
"""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from fabric.config.settings import Settings
from fabric.core.ids import is_name

Happening = Literal["failed", "lost", "preempted", "warning", "node_down"]
"""A workload failed for good, lost an attempt, was asked to leave for others, looks idle or stuck; a node went down."""


class Notices(Settings):
    """A web hook."""

    url: str
    """Where notices are posted as JSON; every one at least once, so the receiver compares their ids."""

    events: tuple[Happening, ...] = ("failed", "lost", "preempted", "warning", "node_down")
    """What is told."""

    signed_with: str | None = None
    """`PROJECT/NAME` of the secret with which notices are signed, so that the receiver knows whom they come from; None
    takes what `FABRIC_NOTICES_SECRET` holds where control is started, and signs nothing where that is unset."""

    timeout_s: float = Field(default=10.0, gt=0, le=60)
    """Longest wait for the receiver, in seconds."""

    @property
    def named(self) -> tuple[str, str]:
        """Project and name of the secret with which notices are signed; empty where none is named."""
        project, _, name = (self.signed_with or "").partition("/")
        return project, name

    @model_validator(mode="after")
    def _sound(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            # Without the address, which may hold a secret.
            raise ValueError("url must begin with http:// or https:// and name a host")
        if self.signed_with is not None and not all(map(is_name, self.named)):
            raise ValueError("signed_with must name a secret as PROJECT/NAME")
        if not self.events:
            raise ValueError("events: name at least one, or leave `notices` out")
        if len(set(self.events)) != len(self.events):
            raise ValueError("events: each one once")
        return self


class Warnings(Settings):
    """From when on work that leaves accelerators idle, or shows no sign of life, is worth a warning; None never warns.

    A sign of life is a report through the SDK, or a line of output.
    """

    idle_gpus_s: float | None = Field(default=1800.0, gt=0)
    """Seconds for which a job may leave accelerators idle that it holds: by their counters, or where they have none, by
    the CPUs beside them. Where neither is measured, seconds for which it may be silent. Half an hour is a choice."""

    stalled_s: float | None = Field(default=7200.0, gt=0)
    """Seconds for which any other job may be silent; two hours are a choice."""
