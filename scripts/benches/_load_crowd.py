"""Hundreds who follow logs, some of them so slowly that nothing can be sent to them for minutes.

Knows nothing of control but its routes. Lines are written into the logs of waiting jobs, as their drivers would; each
begins with the instant of writing, so that whoever reads it knows how late it came.
"""

import asyncio
import base64
import os
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from fabric.store.logs import Logs

EVERY_S = 0.5
"""Seconds between two lines of the log that is followed."""
SMALL_BUFFER = 4096
"""Bytes that the kernel keeps for a slow reader."""
LONG_BYTES = 8 * 2**20
"""Bytes of the log that slow readers follow: far more than any buffer between them and control."""


@dataclass
class Crowd:
    """Readers, and what they saw."""

    late_s: list[float] = field(default_factory=list)
    """By how much each line came late to each quick reader, in seconds."""
    slow_read: list[int] = field(default_factory=list)
    """Bytes that each slow reader has read."""
    broken: list[str] = field(default_factory=list)
    """Readers that ended before their time, and why."""


@asynccontextmanager
async def crowd(
    session: aiohttp.ClientSession, address: str, key: str, state: Path, *, quick: int, slow: int
) -> AsyncIterator[Crowd]:
    """So many readers of the logs of the jobs `waits-00000` (quick ones) and `waits-00001` (slow ones).

    Args:
        session: Connections of the quick ones; half of them follow over web sockets, half ask again and again.
        address: Of control.
        key: Shown by the slow ones.
        state: Folder of control, below which logs are written.
        quick: Readers that read everything at once.
        slow: Readers that read a byte a second.
    """
    found, logs = Crowd(slow_read=[0] * slow), Logs(state / "logs")
    logs.append("waits-00001", 1, 0, b"x" * 127 + b"\n")
    for offset in range(128, LONG_BYTES, 2**20):
        logs.append("waits-00001", 1, offset, (b"x" * 127 + b"\n") * 2**13)
    tasks = [asyncio.create_task(_write(logs, "waits-00000"))]
    tasks += [asyncio.create_task(_read_slowly(address, key, found, number)) for number in range(slow)]
    tasks += [
        asyncio.create_task(_watched(found, _over_socket(session, found) if i % 2 else _by_asking(session, found)))
        for i in range(quick)
    ]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _write(logs: Logs, name: str) -> None:
    end = 0
    while True:
        end = await asyncio.to_thread(logs.append, name, 1, end, f"{time.time()}\n".encode())
        await asyncio.sleep(EVERY_S)


async def _watched(found: Crowd, reading: Coroutine[Any, Any, None]) -> None:
    try:
        await reading
    except (aiohttp.ClientError, TimeoutError) as error:
        found.broken.append(f"{type(error).__name__}: {error}"[:200])


async def _over_socket(session: aiohttp.ClientSession, found: Crowd) -> None:
    rest, began = "", time.time()
    async with session.ws_connect("/api/jobs/waits-00000/logs/tail") as tail:
        async for message in tail:
            rest = _noted(found, rest + str(message.data), began)
    found.broken.append("a web socket was closed")


async def _by_asking(session: aiohttp.ClientSession, found: Crowd) -> None:
    offset, rest, began = 0, "", time.time()
    while True:
        query = {"offset": str(offset), "wait_s": "10"}
        async with session.get("/api/fabric/workloads/waits-00000/logs", params=query) as part:
            part.raise_for_status()
            rest = _noted(found, rest + (await part.read()).decode(), began)
            offset = int(part.headers["X-Fabric-Next-Offset"])


def _noted(found: Crowd, text: str, began: float) -> str:
    """Note how late whole lines are that were written since a reader came; the beginning of the next one."""
    now = time.time()
    *lines, rest = text.split("\n")
    found.late_s += [now - float(line) for line in lines if line and float(line) >= began]
    return rest


async def _read_slowly(address: str, key: str, found: Crowd, number: int) -> None:
    loop, where = asyncio.get_running_loop(), urlsplit(address)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        connection.setblocking(False)
        await loop.sock_connect(connection, (where.hostname or "", where.port or 80))
        nonce = base64.b64encode(os.urandom(16)).decode()
        hello = (
            f"GET /api/jobs/waits-00001/logs/tail HTTP/1.1\r\nHost: {where.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {key}\r\n\r\n"
        )
        await loop.sock_sendall(connection, hello.encode())
        while True:
            if not await loop.sock_recv(connection, 1):
                found.broken.append("a slow reader was cut off")
                return
            found.slow_read[number] += 1
            await asyncio.sleep(1.0)
