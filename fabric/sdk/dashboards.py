"""The call for a workload's own Ray dashboard.

Knows nothing of connections: the client that derives from it has one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING
from urllib.parse import quote

from fabric.sdk.later import Later

if TYPE_CHECKING:
    from fabric.api import dashboard as wire
    from fabric.sdk.transport import Transport
else:
    wire = Later("fabric.api.dashboard")


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
