"""Streams into workloads that called control: whoever connects to a socket in control's file system is led to them.

Knows nothing of HTTP, or of what goes through. Nothing inside a workload listens, so its network need not be reachable,
and it cannot send control anywhere else. All of it runs on the event loop of the server.
"""

import asyncio
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect

from fabric.api.notebook import LARGEST_PIECE, SOCKETS, Opens, Serves
from fabric.api.terminal import REFUSED, REPLACED
from fabric.control.terminals import Socket
from fabric.core.errors import Unavailable

COMES_S = 10.0
"""How long a workload may take to open a stream, in seconds."""

LEFT_S = 60.0
"""Age from which a folder that no process holds is taken as left, in seconds; one that was just made is held soon."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a server inside a workload is reached."""

    path: Path
    """Of a socket in the file system, for this process alone."""
    token: str = field(repr=False)
    """What opens the server."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """A further socket of the workload, and who waits until it is done with."""

    socket: Socket
    done: asyncio.Event


class _Served:
    """One workload that called."""

    def __init__(self, socket: Socket, way: Way) -> None:
        self.socket, self.way = socket, way
        self.wanted: dict[str, asyncio.Future[_Stream]] = {}
        self.open: set[asyncio.Task[None]] = set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Lead somebody who connected to the server inside the workload."""
        task = asyncio.create_task(self._lead(reader, writer))
        self.open.add(task)
        task.add_done_callback(self.open.discard)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            try:
                stream = await self._stream()
            except (TimeoutError, WebSocketDisconnect, RuntimeError):
                return  # whoever connected sees that nobody answers
            try:
                await _joined(reader, writer, stream.socket)
            finally:
                stream.done.set()

    async def _stream(self) -> _Stream:
        """Ask the workload for a stream.

        Raises:
            TimeoutError: If it does not open one.
        """
        name = secrets.token_urlsafe(16)
        coming: asyncio.Future[_Stream] = asyncio.get_running_loop().create_future()
        self.wanted[name] = coming
        try:
            await self.socket.send_text(Opens(stream=name).model_dump_json())
            async with asyncio.timeout(COMES_S):
                return await coming
        except BaseException:
            # It came at the very instant at which nobody waited any more.
            if coming.done() and not coming.cancelled():
                coming.result().done.set()
            raise
        finally:
            del self.wanted[name]


class Tunnels:
    """The servers whose workloads are connected, by workload."""

    def __init__(self) -> None:
        self._served: dict[str, _Served] = {}

    def way(self, name: str) -> Way:
        """How the server of a workload is reached.

        Raises:
            Unavailable: If it has not called.
        """
        if name not in self._served:
            raise Unavailable(f"{name} serves no notebook yet; try again", workload=name)
        return self._served[name].way

    async def serve(self, name: str, socket: Socket) -> None:
        """Be the workload's end, in place of one that was there, until it leaves or does not say `Serves`."""
        message = await socket.receive()
        try:
            told = Serves.model_validate_json(message.get("text") or "")
        except ValidationError:
            await _close(socket, REFUSED)
            return
        async with _listening(socket, told.token) as served:
            before, self._served[name] = self._served.get(name), served
            if before is not None:
                await _close(before.socket, REPLACED)
            try:
                while (await socket.receive())["type"] != "websocket.disconnect":
                    pass
            finally:
                if self._served.get(name) is served:
                    del self._served[name]

    async def carry(self, name: str, stream: str, socket: Socket) -> None:
        """Be a stream that was asked for, until it is done with; one that nobody waits for is closed."""
        served = self._served.get(name)
        waiting = served.wanted.get(stream) if served is not None else None
        if waiting is None or waiting.done():
            await _close(socket, REFUSED)
            return
        done = asyncio.Event()
        waiting.set_result(_Stream(socket, done))
        await done.wait()


@asynccontextmanager
async def _listening(socket: Socket, token: str) -> AsyncIterator[_Served]:
    """A socket in a folder that nobody else may look into; at the end it and all that goes through it is over."""
    with _folder() as folder:
        served = _Served(socket, Way(folder / "socket", token))
        server = await asyncio.start_unix_server(served.connected, served.way.path, limit=LARGEST_PIECE)
        try:
            yield served
        finally:
            server.close()
            for task in tuple(served.open):
                task.cancel()
            await asyncio.gather(*served.open, return_exceptions=True)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that is held as long as this process lives, and is gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix=SOCKETS))
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # where there are no locks, nothing is swept either
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield folder
    finally:
        os.close(held)
        shutil.rmtree(folder, ignore_errors=True)


def sweep_sockets(now: float) -> None:
    """Remove the folders of sockets that killed processes left, those of notebook servers on this machine too.

    Args:
        now: The machine's own time, in seconds since the epoch.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{SOCKETS}*"):
        with suppress(OSError):  # it is gone, is no folder, or is held
            here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                found = os.fstat(here)
                if found.st_uid == os.getuid() and now - found.st_mtime > LEFT_S:
                    fcntl.flock(here, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
            finally:
                os.close(here)


async def _joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, socket: Socket) -> None:
    """Pass bytes on in both directions until either side ends."""
    ways = [asyncio.create_task(_out(reader, socket)), asyncio.create_task(_back(socket, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _close(socket: Socket, code: int) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(code)


async def _out(reader: asyncio.StreamReader, socket: Socket) -> None:
    with suppress(WebSocketDisconnect, RuntimeError, ConnectionError):
        while piece := await reader.read(LARGEST_PIECE):
            await socket.send_bytes(piece)


async def _back(socket: Socket, writer: asyncio.StreamWriter) -> None:
    with suppress(WebSocketDisconnect, RuntimeError, ConnectionError):
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            if piece := message.get("bytes"):
                writer.write(piece)
                await writer.drain()
