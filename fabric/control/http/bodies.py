"""Bodies of requests: how large they may be, how long they may take to arrive, and how they are read.

Knows nothing of what is in them.
"""

import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio
from fastapi import Depends, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fabric.config.load import decode
from fabric.config.settings import Settings
from fabric.control.http.errors import TooLarge, TooSlow
from fabric.core.errors import BadConfig, BadInput

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, slots=True)
class Sent(Generic[S]):
    """A body that has arrived and is read in the route's own thread."""

    raw: bytes
    """As it came."""
    cls: type[S]
    """What it should be."""

    def read(self) -> S:
        """What was sent.

        Raises:
            BadInput: Naming every wrong place and what is allowed there.
        """
        return body_of(self.raw, self.cls)


class Takes(Generic[S]):
    """A dependency that gives a route its body, and by which the description tells what may be in it."""

    def __init__(self, cls: type[S], *, optional: bool = False) -> None:
        """Remember what is taken.

        Args:
            cls: What the body should be.
            optional: Whether no body means the same as an empty object.
        """
        self.cls, self.optional = cls, optional

    async def __call__(self, request: Request) -> Sent[S]:
        """The body of `request`, unread."""
        raw = await request.body()
        return Sent(raw or b"{}" if self.optional else raw, self.cls)


def takes(cls: type[Settings], *, optional: bool = False) -> Any:
    """What a route says that takes a `cls`, as default of a parameter `Sent[cls]`.

    It stands behind the route's caller, as values are found in the order of parameters: so nobody without a key makes
    control read a body.
    """
    return Depends(Takes(cls, optional=optional))


def body_of(raw: bytes, cls: type[S]) -> S:
    """Read a request's body as a `cls`.

    Raises:
        BadInput: Naming every wrong place and what is allowed there.
    """
    try:
        return decode(cls, document_of(raw), "body")
    except BadConfig as error:
        raise BadInput(error.message) from None


def document_of(raw: bytes) -> dict[str, Any]:
    """A request's body as a JSON object of any keys.

    Raises:
        BadInput: If it is none.
    """
    try:
        document = json.loads(raw)
        json.dumps(document, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"body: is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadInput("body: must be a JSON object")
    return document


def json_of(value: Settings, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer that holds `value`."""
    return Response(value.model_dump_json(), status, headers, media_type="application/json")


class BodyLimit:
    """Stops reading bodies that are too large, whether or not they say their size, or take too long to arrive."""

    def __init__(self, app: ASGIApp, max_bytes: int, longest_s: float, exempt: tuple[str, ...]) -> None:
        """Wrap `app`.

        Args:
            app: What answers.
            max_bytes: Largest body.
            longest_s: How long a body may take to arrive, in seconds.
            exempt: Beginnings of the paths that have limits of their own.
        """
        self._app = app
        self._max_bytes, self._longest_s = max_bytes, longest_s
        self._exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"].startswith(self._exempt):
            await self._app(scope, receive, send)
            return
        limited = _Limited(receive, send, self._max_bytes, self._longest_s)
        await self._app(scope, limited.receive, limited.send)


class _Limited:
    """One request whose body is counted and timed."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int, longest_s: float) -> None:
        self._receive, self._send = receive, send
        self._max_bytes, self._longest_s = max_bytes, longest_s
        self._read, self._ends = 0, 0.0
        self._whole = self._answered = False

    async def receive(self) -> Message:
        """What comes next.

        Raises:
            TooLarge: If that is more than the route takes.
            TooSlow: If it does not come in time.
        """
        if self._whole:  # what follows only says that the client has left, whenever that is
            return await self._receive()
        try:
            message = await self._in_time()
        except TimeoutError:
            if self._answered:  # who looks for the end of the connection finds it, and the answer is cut off
                return {"type": "http.disconnect"}
            raise TooSlow(f"body: has not arrived within {self._longest_s:g} s") from None
        self._whole = not message.get("more_body", False)
        self._read += len(message.get("body", b""))
        if self._read > self._max_bytes:
            raise TooLarge(f"body: larger than {self._max_bytes} bytes, the most that this route takes")
        return message

    async def _in_time(self) -> Message:
        # From the first look on: in the time before, the key was looked at, for which the sender can do nothing.
        self._ends = self._ends or anyio.current_time() + self._longest_s
        with anyio.fail_after(max(0.0, self._ends - anyio.current_time())):
            return await self._receive()

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer."""
        self._answered = True
        await self._send(message)
