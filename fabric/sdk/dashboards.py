"""The calls for a workload's own Ray dashboard, and for its notebook server.

Knows nothing of connections: the client that derives from it has one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING
from urllib.parse import quote

from fabric.sdk.later import Later

if TYPE_CHECKING:
    from fabric.api import dashboard as wire
    from fabric.api import notebook as notebooks
    from fabric.sdk.transport import Transport
else:
    wire, notebooks = Later("fabric.api.dashboard"), Later("fabric.api.notebook")


class AsyncDashboards(ABC):
    """Part of `AsyncClient`."""

    _patience_s: float

    @property
    @abstractmethod
    def _control(self) -> Transport:
        """The client's connection."""

    async def dashboard(self, name: str) -> wire.DashboardLink:
        """A link for one browser to what the Ray cluster of a workload shows; its path is below `address`.

        Raises:
            NotFound: If there is no such workload.
            Denied: If it is somebody else's, or the key may only look.
            Conflict: If it has ended.
            Unavailable: If it has no Ray head that answers now.
        """
        path = wire.LINK.format(name=quote(name, safe=""))
        return await self._control.read(wire.DashboardLink, "POST", path, patience_s=self._patience_s, json={})

    async def notebook(self, name: str) -> wire.DashboardLink:
        """A link for one browser to the notebook server of a workload; its path is below `address`.

        Raises:
            NotFound: If there is no such workload.
            Denied: If somebody else submitted it.
            Conflict: If it has ended.
            Unavailable: If it serves no notebook yet.
        """
        path = notebooks.LINK.format(name=quote(name, safe=""))
        return await self._control.read(wire.DashboardLink, "POST", path, json={})
