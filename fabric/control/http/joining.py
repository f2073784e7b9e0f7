"""A browser's web socket joined with one of a server that is reached through a socket of the file system.

Knows nothing of who may join them, or of what is said.
"""

import asyncio
from contextlib import suppress
from typing import Any

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from fabric.control.tunnels import Way
from fabric.core.errors import Unavailable

OPENS_S = 15.0
"""How long the server may take to open its end, in seconds."""
LARGEST_MESSAGE = 2**26
"""Most bytes of one message: outputs of cells hold pictures."""


async def joined(socket: WebSocket, way: Way) -> None:
    """Open the same path at the server, accept the browser's end, and pass on what either says until one ends.

    Raises:
        Unavailable: If the server opens none; the browser's end is not accepted then.
    """
    query = socket.scope["query_string"].decode("latin-1")
    path = (socket.scope.get("raw_path") or socket.url.path.encode()).partition(b"?")[0].decode("latin-1")
    try:
        beyond = await unix_connect(
            str(way.path),
            f"ws://localhost{path}{'?' if query else ''}{query}",
            additional_headers={"Authorization": f"token {way.token}"},
            subprotocols=[Subprotocol(each) for each in socket.scope.get("subprotocols", ())] or None,
            open_timeout=OPENS_S,
            max_size=LARGEST_MESSAGE,
            compression=None,
        )
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise Unavailable(f"the notebook opens no web socket: {type(error).__name__}") from None
    try:
        await socket.accept(beyond.subprotocol)
        ways = [asyncio.create_task(_out(socket, beyond)), asyncio.create_task(_back(beyond, socket))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in ways:
                each.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        with suppress(WebSocketDisconnect, RuntimeError):
            await socket.close(*_closing(beyond))
    finally:
        await beyond.close()


async def _out(socket: WebSocket, beyond: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            piece: Any = message.get("bytes")
            await beyond.send(message["text"] if piece is None else piece)


async def _back(beyond: ClientConnection, socket: WebSocket) -> None:
    with suppress(ConnectionClosed, WebSocketDisconnect, RuntimeError):
        async for message in beyond:
            if isinstance(message, bytes):
                await socket.send_bytes(message)
            else:
                await socket.send_text(message)


def _closing(beyond: ClientConnection) -> tuple[int, str]:
    """The code and reason of the server's end, where they may be passed on."""
    code = beyond.close_code or 1000
    return (code if code not in {1005, 1006, 1015} else 1000), beyond.close_reason or ""
