"""Hand pieces of answers from an engine's thread to the event loop that waits for them.

Knows nothing of engines.
"""

import asyncio
from collections.abc import AsyncGenerator

from fabric.core.errors import FabricError
from fabric.serve.engines.engine import Piece


class Inbox:
    """Pieces of one answer, made in the event loop that reads them and filled from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Piece | FabricError] = asyncio.Queue()

    def put(self, piece: Piece | FabricError) -> None:
        """Add the next piece, or why no more will come."""
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, piece)
        except RuntimeError:
            # The loop is closed, so nobody reads any more.
            return

    async def pieces(self) -> AsyncGenerator[Piece]:
        """Everything up to the last piece.

        Raises:
            FabricError: What was put in place of a last piece.
        """
        while True:
            piece = await self._queue.get()
            if isinstance(piece, FabricError):
                raise piece
            yield piece
            if piece.finish is not None:
                return
