"""Web sockets that stay open only as long as the key that opened them opens them.

Knows nothing of what goes through them. A request is looked at once and is answered; a socket may stay for days, in
which its key is revoked or expires, or its owner loses a role. So each is looked at again, every few seconds; many
sockets of one key share a look, as hundreds may follow logs with it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import anyio
from anyio.to_thread import run_sync
from fastapi import WebSocket, WebSocketDisconnect

from fabric.api.people import PROJECT_HEADER
from fabric.api.terminal import REFUSED
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import FindsCallers, key_of
from fabric.core.errors import Denied, FabricError, Unauthenticated

CLOSE_S = 2.0
"""How long saying good-bye may take, in seconds."""
LONGEST_REASON = 123
"""Bytes of a reason for closing at most (RFC 6455, 5.5)."""


@dataclass(frozen=True, slots=True)
class LetsIn:
    """What a socket was opened with, and what its route asks for."""

    key: str | None = field(repr=False)
    """None where it was opened without one: there is nothing that could be revoked."""
    project: str | None
    """In which its owner acts, where he said so."""
    permission: Permission
    still: Callable[[Caller], object]
    """What else its route asks of its caller; raises Denied."""

    @classmethod
    def of(cls, socket: WebSocket, permission: Permission, still: Callable[[Caller], object]) -> "LetsIn":
        """What the headers of a socket show."""
        return cls(key_of(socket), socket.headers.get(PROJECT_HEADER), permission, still)


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    answer: "asyncio.Future[Caller]"


class Standing:
    """Looks again at who opened sockets; used from one event loop."""

    def __init__(self, service: FindsCallers, every_s: float) -> None:
        """Look at nobody yet.

        Args:
            service: Who recognises keys.
            every_s: Seconds between two looks at one key.
        """
        self._service, self._every_s = service, every_s
        self._looks: dict[tuple[str, str | None], _Look] = {}

    async def while_let_in(self, socket: WebSocket, lets_in: LetsIn, work: Awaitable[None]) -> None:
        """Do `work`, and cut it off and close the socket as soon as whoever opened it would not be let in any more.

        Args:
            socket: What is closed.
            lets_in: How it was opened.
            work: What is done with it.

        Raises:
            FabricError: Of `work`, as it is and in no group.
        """
        if lets_in.key is None:
            await work
            return
        failed: FabricError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, socket, lets_in, lets_in.key, tasks.cancel_scope)
            try:
                await work
            except FabricError as error:
                failed = error
            tasks.cancel_scope.cancel()
        if failed is not None:
            raise failed

    async def _watch(self, socket: WebSocket, lets_in: LetsIn, key: str, scope: anyio.CancelScope) -> None:
        while True:
            await anyio.sleep(self._every_s)
            try:
                caller = await self._caller_of(key, lets_in.project)
                caller.require(lets_in.permission)
                lets_in.still(caller)
            except (Unauthenticated, Denied) as error:
                with anyio.move_on_after(CLOSE_S), suppress(WebSocketDisconnect, RuntimeError):
                    await socket.close(REFUSED, _short(error.message))
                scope.cancel()
                return
            except FabricError:
                # Whoever cannot be asked now is asked again; what is open stays open until then.
                continue

    async def _caller_of(self, key: str, project: str | None) -> Caller:
        now, whose = time.monotonic(), (key, project)
        seen = self._looks.get(whose)
        if seen is None or seen.at <= now - self._every_s:
            self._looks = {known: look for known, look in self._looks.items() if look.at > now - self._every_s}
            seen = _Look(now, asyncio.ensure_future(run_sync(self._service.caller_of, key, project)))
            self._looks[whose] = seen
        # One who leaves while several wait must not take the answer from the others.
        return await asyncio.shield(seen.answer)


def _short(text: str) -> str:
    return text.encode()[:LONGEST_REASON].decode(errors="ignore")
