"""How a command reaches the fabric; a test puts its own transport in.

Knows nothing of what is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fabric.sdk.client import TIMEOUT_S

if TYPE_CHECKING:
    import httpx

    from fabric.sdk import AsyncClient, Client

PATIENCE_S = 2.0
"""How long a command waits for a fabric that does not answer, in seconds; a person is looking."""


@dataclass(frozen=True, slots=True)
class Session:
    """What all commands share."""

    transport: httpx.AsyncBaseTransport | None = None
    """What carries the requests instead of the network."""
    patience_s: float = PATIENCE_S
    """How long to wait for a fabric that does not answer, in seconds."""
    timeout_s: float = TIMEOUT_S
    """Longest wait for one answer, in seconds."""

    def client(self, state: Path | None = None, address: str | None = None) -> Client:
        """A client of the fabric that arguments, environment or the state folder name."""
        from fabric.sdk import Client

        return Client(address, **self._options(state))

    def own_client(self, folder: Path, address: str) -> Client:
        """A client of the fabric of a state folder as its administrator, whatever the environment is set for."""
        from fabric.config import env
        from fabric.sdk import Client

        return Client(address, env.admin_key(folder), **self._options(folder))

    def async_client(self) -> AsyncClient:
        """The same, asynchronous."""
        from fabric.sdk import AsyncClient

        return AsyncClient(**self._options(None))

    def _options(self, state: Path | None) -> dict[str, Any]:
        return {"state": state, "patience_s": self.patience_s, "timeout_s": self.timeout_s, "transport": self.transport}


def session(ctx: typer.Context) -> Session:
    """The session of a command."""
    return ctx.find_object(Session) or Session()
