"""Calls for the past: of the site, and of one workload.

Knows nothing of connections: the client that derives from it has one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from fabric.sdk.later import Later
from fabric.sdk.paths import UNNAMED, below

if TYPE_CHECKING:
    from fabric.api import admin
    from fabric.api import past as wire
    from fabric.api import use as using
    from fabric.sdk.transport import Transport
else:
    admin, wire, using = Later("fabric.api.admin"), Later("fabric.api.past"), Later("fabric.api.use")


class AsyncPast(ABC):
    """Part of `AsyncClient`."""

    _patience_s: float

    @property
    @abstractmethod
    def _control(self) -> Transport:
        """The client's connection."""

    async def curves(self, name: str) -> wire.CurvesView:
        """What a workload told of itself over time, over all its attempts.

        Raises:
            BadInput: If the name is empty or would lead elsewhere.
            NotFound: If there is none of that name.
        """
        path = f"{below(admin.WORKLOADS, name, otherwise=UNNAMED)}/{wire.CURVES}"
        return await self._control.read(wire.CurvesView, "GET", path, patience_s=self._patience_s)

    async def use(self, name: str) -> using.UseHistory:
        """What a workload uses of its grant, as far as it is measured, and used over all its attempts.

        Raises:
            BadInput: If the name is empty or would lead elsewhere.
            NotFound: If there is none of that name.
        """
        path = f"{below(admin.WORKLOADS, name, otherwise=UNNAMED)}/{using.USE}"
        return await self._control.read(using.UseHistory, "GET", path, patience_s=self._patience_s)

    async def past(self, since: float = 0.0, *, limit: int = 200) -> wire.PastView:
        """What was asked for since an instant and what became of it, and how the site decides.

        Args:
            since: Seconds since the epoch.
            limit: The most workloads to tell of, the newest; at most 1000.
        """
        asked = {"since": str(since), "limit": str(limit)}
        return await self._control.read(wire.PastView, "GET", wire.PAST, patience_s=self._patience_s, params=asked)
