"""Open the terminal of a workload.

Knows nothing of what is typed. Needs the package `websockets`, which nothing else of the SDK does.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import quote

from fabric.core.errors import BadInput, Unavailable
from fabric.sdk.later import Later

if TYPE_CHECKING:
    import httpx
    from websockets.asyncio.client import ClientConnection

    from fabric.api import terminal as wire
    from fabric.config import trust
    from fabric.sdk import AsyncClient, failures
else:
    wire, trust = Later("fabric.api.terminal"), Later("fabric.config.trust")
    failures, httpx = Later("fabric.sdk.failures"), Later("httpx")


@asynccontextmanager
async def terminal_of(client: AsyncClient, name: str) -> AsyncIterator[ClientConnection]:
    """The web socket of a workload's terminal: bytes are typed and shown, texts are `fabric.api.terminal.Told`.

    Raises:
        BadInput: If the package `websockets` is missing.
        Denied: If the workload is somebody else's.
        Conflict: If it has ended.
        Unavailable: If its terminal is not there yet, or control does not answer.
    """
    if find_spec("websockets") is None:
        raise BadInput('websockets is not installed. Run: pip install "compute-fabric[shell]"')
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, InvalidStatus

    to = client._target
    context = trust.trust(to.address, to.ca)
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {to.token}"} if to.token else {})
    url = "ws" + to.address.removeprefix("http") + wire.TERMINAL.format(name=quote(name, safe=""))
    try:
        socket = await connect(
            url, additional_headers=headers, max_size=wire.LARGEST_MESSAGE,
            ssl=context if isinstance(context, ssl.SSLContext) else None, proxy=None if to.local else True,
        )  # fmt: skip
    except InvalidStatus as refused:
        answer = refused.response
        raise failures.error_of(
            httpx.Response(answer.status_code, content=bytes(answer.body or b""), request=httpx.Request("GET", url))
        ) from None
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise Unavailable(f"{to.address} opens no terminal: {type(error).__name__} {error}") from None
    try:
        yield socket
    finally:
        await socket.close()
