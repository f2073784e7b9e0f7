"""Calls about single nodes: draining one, undoing it, and what would follow.

Knows nothing of connections: the client that derives from it has one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING
from urllib.parse import quote

from fabric.sdk.later import Later

if TYPE_CHECKING:
    from fabric.api import nodes as wire
    from fabric.sdk.transport import Transport
else:
    wire = Later("fabric.api.nodes")


class AsyncNodes(ABC):
    """Part of `AsyncClient`; for operators and administrators of the site."""

    _patience_s: float

    @property
    @abstractmethod
    def _control(self) -> Transport:
        """The client's connection."""

    async def drain(self, node: str, reason: str = "", *, deadline_s: float | None = None) -> wire.DrainView:
        """Take a node out of service: nothing new starts there, and what is there leaves as before a window.

        Args:
            node: Its name.
            reason: Why, for people.
            deadline_s: Seconds from now by which everything is gone; None lets work that does not save run to its end.

        Raises:
            NotFound: If the site has no such node.
        """
        body = wire.DrainRequest(reason=reason, deadline_s=deadline_s).model_dump(mode="json")
        return await self._control.read(wire.DrainView, "POST", _path(node), patience_s=self._patience_s, json=body)

    async def undrain(self, node: str) -> None:
        """Put a node into service again.

        Raises:
            NotFound: If it is not drained.
        """
        await self._control.ask("DELETE", _path(node), patience_s=self._patience_s)

    async def preview_drain(self, node: str, *, deadline_s: float | None = None) -> wire.DrainPreview:
        """Who would leave, where they would go on, and who would wait; nothing is done.

        Args:
            node: Its name.
            deadline_s: As for `drain`.

        Raises:
            NotFound: If the site has no such node.
        """
        asked = {} if deadline_s is None else {"deadline_s": str(deadline_s)}
        return await self._control.read(
            wire.DrainPreview, "GET", _path(node), patience_s=self._patience_s, params=asked
        )  # fmt: skip


def _path(node: str) -> str:
    return wire.DRAIN.format(node=quote(node, safe=""))
