"""Brings both ends of a terminal together: the workload that has it, and whoever types.

Knows nothing of HTTP. Both ends come to control, so nothing inside a workload listens, and its network need not be
reachable. One message is passed on before the next is taken, so that who reads slowly slows down who writes. All of it
runs on the event loop of the server.
"""

from contextlib import suppress
from typing import Any, Protocol

import anyio
from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect

from fabric.api.terminal import ENDED, LOST, REPLACED, Told
from fabric.control.callers import Caller
from fabric.core.errors import Conflict, Denied
from fabric.workloads.record import Record

TELL_S = 5.0
"""How long the workload's end may take to hear that whoever typed is gone, in seconds."""


class Socket(Protocol):
    """One end: a web socket that was accepted."""

    async def receive(self) -> Any:
        """The next message of the other side: `type`, and `bytes` or `text`."""
        ...

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        ...

    async def send_text(self, data: str) -> None:
        """Send a text message."""
        ...

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """End it."""
        ...


class Terminals:
    """The terminals whose workloads are connected, by workload."""

    def __init__(self) -> None:
        self._served: dict[str, Socket] = {}
        self._attached: dict[str, Socket] = {}

    def is_served(self, name: str) -> bool:
        """Whether a workload's end is there."""
        return name in self._served

    async def serve(self, name: str, socket: Socket) -> None:
        """Be the workload's end, in place of one that was there, until it leaves."""
        before = self._served.get(name)
        self._served[name] = socket
        if before is not None:
            await _close(before, REPLACED)
        if name in self._attached:
            await _send(socket, {"text": Told(attached=True).model_dump_json()})
        ended = False
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            ended = ended or _ends(message)
            if (typist := self._attached.get(name)) is not None:
                await _send(typist, message)
        if self._served.get(name) is socket:
            del self._served[name]
            if (typist := self._attached.pop(name, None)) is not None:
                await _close(typist, ENDED if ended else LOST)

    async def attach(self, name: str, socket: Socket) -> None:
        """Be the end that types, in place of one that was there, until it leaves."""
        before = self._attached.get(name)
        self._attached[name] = socket
        if before is not None:
            await _close(before, REPLACED)
        try:
            await self._tell(name, attached=True)
            while (message := await socket.receive())["type"] != "websocket.disconnect":
                if (terminal := self._served.get(name)) is not None and self._attached.get(name) is socket:
                    await _send(terminal, message)
        finally:
            # Also where it is cut off because its key was revoked: nothing more is shown there.
            if self._attached.get(name) is socket:
                del self._attached[name]
                with anyio.move_on_after(TELL_S, shield=True):
                    await self._tell(name, attached=False)

    async def _tell(self, name: str, *, attached: bool) -> None:
        if (terminal := self._served.get(name)) is not None:
            await _send(terminal, {"text": Told(attached=attached).model_dump_json()})


def require_owner(record: Record, caller: Caller) -> None:
    """Check that `caller` may type where `record` runs: it runs in his name, with what he may.

    Raises:
        Conflict: If it has ended.
        Denied: If it is somebody else's, of the same project too.
    """
    _require_alive(record)
    if record.submitted_by != caller.submits_as:
        raise Denied(
            f"{record.name} runs for {record.submitted_by or 'nobody'}, and only he types in its terminal",
            workload=record.name,
        )


def require_itself(record: Record, caller: Caller) -> None:
    """Check that `caller` is the workload, so that nobody else shows its owner a terminal.

    Raises:
        Conflict: If it has ended.
        Denied: If it is anybody else, an administrator too.
    """
    _require_alive(record)
    if caller.workload != record.name:
        raise Denied(f"the terminal of {record.name} is served by {record.name} itself", workload=record.name)


def _require_alive(record: Record) -> None:
    if record.state.final:
        raise Conflict(f"{record.name} has already {record.state}", workload=record.name, state=str(record.state))


def _ends(message: Any) -> bool:
    """Whether the workload's end says that its shell has ended; what it says else is for whoever types."""
    try:
        return Told.model_validate_json(message.get("text") or "").exit_code is not None
    except ValidationError:
        return False


async def _send(socket: Socket, message: Any) -> None:
    """Pass a message on; an end that leaves just now is noticed where it is received from."""
    with suppress(WebSocketDisconnect, RuntimeError):
        if message.get("bytes") is not None:
            await socket.send_bytes(message["bytes"])
        else:
            await socket.send_text(message["text"])


async def _close(socket: Socket, code: int) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(code)
