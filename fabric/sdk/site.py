"""Calls about the site file, and about what the site no longer keeps.

Knows nothing of connections: the client that derives from it has one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from fabric.sdk.later import Later

if TYPE_CHECKING:
    from fabric.api import retention
    from fabric.api import site as wire
    from fabric.sdk.transport import Transport
else:
    retention, wire = Later("fabric.api.retention"), Later("fabric.api.site")


class AsyncSite(ABC):
    """Part of `AsyncClient`; for operators and administrators of the site."""

    _patience_s: float

    @property
    @abstractmethod
    def _control(self) -> Transport:
        """The client's connection."""

    async def reload(self) -> wire.ReloadView:
        """Let control read the site file again, and go by what may change without a restart.

        Raises:
            BadInput: If something in it is wrong; everything stays as it was.
        """
        return await self._control.read(wire.ReloadView, "POST", wire.RELOADS)

    async def reloads(self) -> tuple[wire.ReloadView, ...]:
        """When the file was read again, by whom, and what came of it; newest first."""
        return (await self._control.read(wire.ReloadList, "GET", wire.RELOADS, patience_s=self._patience_s)).reloads

    async def prune_preview(self) -> retention.PruneView:
        """What the next pass of retention would remove: logs and reports of ended work, packages, artifacts."""
        return await self._control.read(retention.PruneView, "GET", retention.PRUNE, patience_s=self._patience_s)

    async def prune(self) -> retention.PruneView:
        """Let the next pass begin now, and hear what it removes."""
        return await self._control.read(retention.PruneView, "POST", retention.PRUNE)
