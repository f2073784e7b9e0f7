"""Calls for the site over time: how full tiers were and will be, and what happened.

Knows nothing of connections: the client that derives from it has one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from fabric.sdk.later import Later

if TYPE_CHECKING:
    from fabric.api import occupancy as wire
    from fabric.api import site_events as told
    from fabric.sdk.transport import Transport
else:
    wire, told = Later("fabric.api.occupancy"), Later("fabric.api.site_events")


class AsyncOverTime(ABC):
    """Part of `AsyncClient`."""

    _patience_s: float

    @property
    @abstractmethod
    def _control(self) -> Transport:
        """The client's connection."""

    async def occupancy(self, *, back_s: int | None = None, ahead_s: int | None = None) -> wire.OccupancyView:
        """How full tiers were, as the ledger says, and what is ahead of them, as the last decision knows it.

        Args:
            back_s: How far to look back, in seconds; 0 for not at all, None for a day.
            ahead_s: How far to look ahead, in seconds; 0 for not at all, None for half a day.

        Raises:
            BadInput: If that is too far.
        """
        asked = {"back_s": back_s, "ahead_s": ahead_s}
        params = {name: str(value) for name, value in asked.items() if value is not None}
        return await self._control.read(
            wire.OccupancyView, "GET", wire.OCCUPANCY, patience_s=self._patience_s, params=params
        )

    async def site_events(self, *, before: int | None = None, limit: int = 50) -> told.SiteEventList:
        """What happened within reach, newest first: nodes that came and went, work that failed, what was deployed.

        Args:
            before: Only what is older than the event of this number, as the answer before said.
            limit: The most to tell; at most 500.
        """
        params = {"limit": str(limit)} | ({} if before is None else {"before": str(before)})
        return await self._control.read(
            told.SiteEventList, "GET", told.SITE_EVENTS, patience_s=self._patience_s, params=params
        )
