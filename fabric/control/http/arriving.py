"""Large bodies as they arrive, for a thread that writes them.

Knows nothing of what is in them.
"""

from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import anyio.from_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from fabric.core.errors import FabricError

STALLED_AFTER_S = 60.0
"""Longest pause of a sender, in seconds."""


def announced_bytes(request: Request) -> int:
    """The size that a sender says its body has; 0 where it says none."""
    length = request.headers.get("content-length")
    return int(length) if length and length.isascii() and length.isdigit() else 0


def pieces(body: AsyncIterator[bytes], cut_off: Callable[[int], FabricError]) -> Iterator[bytes]:
    """The body as it arrives, for a thread of anyio's.

    Args:
        body: What the request streams.
        cut_off: What to raise if the sender breaks off after so many bytes.

    Raises:
        FabricError: What `cut_off` makes.
    """
    total = 0
    try:
        while (piece := anyio.from_thread.run(_next_of, body)) is not None:
            total += len(piece)
            yield piece
    except (ClientDisconnect, TimeoutError):
        raise cut_off(total) from None


async def drain(body: AsyncIterator[bytes], max_bytes: int) -> None:
    """Read and drop what is still coming, up to so many bytes."""
    left = max_bytes
    try:
        while left > 0 and (piece := await _next_of(body)) is not None:
            left -= len(piece)
    except (ClientDisconnect, TimeoutError):
        return


async def _next_of(body: AsyncIterator[bytes]) -> bytes | None:
    with anyio.fail_after(STALLED_AFTER_S):
        return await anext(body, None)
