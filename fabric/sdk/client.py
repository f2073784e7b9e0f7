"""The client of a fabric, asynchronous: every call of control's admin API as a method.

Knows nothing of how a request is sent or repeated.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fabric.sdk.arrays import AsyncArrays
from fabric.sdk.artifacts import AsyncArtifacts
from fabric.sdk.dashboards import AsyncDashboards
from fabric.sdk.later import Later
from fabric.sdk.lists import AsyncLists
from fabric.sdk.nodes import AsyncNodes
from fabric.sdk.over_time import AsyncOverTime
from fabric.sdk.past import AsyncPast
from fabric.sdk.people import AsyncPeople
from fabric.sdk.secrets import AsyncSecrets
from fabric.sdk.serving import AsyncServing
from fabric.sdk.site import AsyncSite
from fabric.sdk.target import target

if TYPE_CHECKING:
    import httpx

    from fabric.api import admin, overview
    from fabric.sdk import transport as sending
else:
    # What loads pydantic or httpx waits for the first call.
    admin, sending = Later("fabric.api.admin"), Later("fabric.sdk.transport")
    overview = Later("fabric.api.overview")

TIMEOUT_S = 30.0
"""Longest wait for one answer, in seconds."""

PATIENCE_S = 10.0
"""How long a call is repeated while nobody answers, in seconds."""


class AsyncClient(AsyncDashboards, AsyncLists, AsyncNodes, AsyncOverTime, AsyncPast, AsyncServing, AsyncSite):
    """A fabric, asynchronous; `Client` is the same without `await`."""

    def __init__(
        self,
        address: str | None = None,
        token: str | None = None,
        *,
        state: Path | None = None,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Remember where the fabric is; nothing is opened before the first call.

        Args:
            address: URL of control; else from the environment, else of the local fabric.
            token: Bearer token; else from the environment, else the local administrator's.
            state: Folder of the local fabric's records, where address and token may be.
            timeout_s: Longest wait for one answer, in seconds.
            patience_s: How long calls that may be repeated are, in seconds, while nobody answers.
            transport: What carries the requests instead of the network; for tests.

        Raises:
            BadInput: If the address is no http or https URL.
        """
        self._target = target(address, token, state)
        self._timeout_s, self._patience_s = timeout_s, patience_s
        self._carrier = transport
        self._opened: sending.Transport | None = None

    @property
    def address(self) -> str:
        """URL of control."""
        return self._target.address

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the next call opens them again."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    @property
    def _control(self) -> sending.Transport:
        if self._opened is None:
            self._opened = sending.Transport(self._target, self._timeout_s, self._carrier)
        return self._opened

    @property
    def people(self) -> AsyncPeople:
        """People, projects, keys and usage."""
        return AsyncPeople(lambda: self._control, self._patience_s)

    @property
    def artifacts(self) -> AsyncArtifacts:
        """Files of projects."""
        return AsyncArtifacts(lambda: self._control, self._patience_s)

    @property
    def secrets(self) -> AsyncSecrets:
        """Secrets of projects by name."""
        return AsyncSecrets(lambda: self._control, self._patience_s)

    @property
    def arrays(self) -> AsyncArrays:
        """Equal jobs that are handed in together."""
        return AsyncArrays(lambda: self._control, self._patience_s, self._hand_in)

    async def nodes(self) -> tuple[admin.NodeView, ...]:
        """Every node of the site, by name, and what is on it."""
        return (await self._control.read(admin.NodeList, "GET", admin.NODES, patience_s=self._patience_s)).nodes

    async def overview(self) -> overview.Overview:
        """The site at one glance: tiers, queue, services, and how promises were kept."""
        return await self._control.read(overview.Overview, "GET", overview.OVERVIEW, patience_s=self._patience_s)

    async def decision(self) -> str:
        """What was decided last, as `fabric replay` reads it; for administrators.

        Raises:
            Denied: If the key is no administrator's.
            Unavailable: If nothing has been decided yet.
        """
        return (await self._control.ask("GET", overview.DECISION, patience_s=self._patience_s)).text

    async def models(self) -> tuple[admin.ModelVersionView, ...]:
        """Every version of every registered model, by name, newest first."""
        return (await self._control.read(admin.ModelList, "GET", admin.MODELS, patience_s=self._patience_s)).models

    async def health(self) -> admin.Health:
        """Whether control works; needs no key.

        Raises:
            Unavailable: If control cannot be reached.
        """
        return await self._control.read(admin.Health, "GET", admin.HEALTH, patience_s=self._patience_s)

    async def shutdown(self, *, kill: bool = False) -> None:
        """End the fabric; for administrators.

        Args:
            kill: Kill the workloads at once instead of asking them to save and leave.

        Raises:
            Denied: If the key is no administrator's.
        """
        body = admin.as_json(admin.ShutdownRequest(kill=kill))
        await self._control.ask("POST", admin.SHUTDOWN, patience_s=self._patience_s, json=body)
