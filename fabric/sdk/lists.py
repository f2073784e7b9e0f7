"""Calls for long lists of workloads in pages.

Knows nothing of connections: the client that derives from it has one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fabric.sdk.later import Later

if TYPE_CHECKING:
    from fabric.api import lists
    from fabric.sdk.transport import Transport
else:
    lists = Later("fabric.api.lists")


class AsyncLists(ABC):
    """Part of `AsyncClient`."""

    _patience_s: float

    @property
    @abstractmethod
    def _control(self) -> Transport:
        """The client's connection."""

    async def queue(self, *, offset: int = 0, limit: int = 50) -> lists.WorkloadPage:
        """Who waits, in the order of the queue: most urgent class first, then first come first served.

        Args:
            offset: How many of the queue to leave out at its front.
            limit: The most to list; at most 500.
        """
        asked = {"offset": str(offset), "limit": str(limit)}
        return await self._control.read(
            lists.WorkloadPage, "GET", lists.QUEUE, patience_s=self._patience_s, params=asked
        )

    async def search(
        self, text: str = "", states: Sequence[str] = (), *, offset: int = 0, limit: int = 50
    ) -> lists.WorkloadPage:
        """Workloads whose names contain `text`, newest first, those that ended too.

        Args:
            text: Part of the name; empty finds all.
            states: Only those in one of these states; all if empty.
            offset: How many of the list to leave out at its front.
            limit: The most to list; at most 500.

        Raises:
            BadInput: If one of `states` is none.
        """
        asked = {"text": text, "state": list(states), "offset": str(offset), "limit": str(limit)}
        return await self._control.read(
            lists.WorkloadPage, "GET", lists.SEARCH, patience_s=self._patience_s, params=asked
        )
