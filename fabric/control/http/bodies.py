"""Bodies of requests: how large they may be, and how they are read.

Knows nothing of what is in them.
"""

import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Depends, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fabric.config.load import decode
from fabric.config.settings import Settings
from fabric.control.http.errors import TooLarge
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
    """What a route says that takes a `cls`, as default of a parameter `Sent[cls]`."""
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
    """Stops reading bodies that are too large, whether or not they say their size."""

    def __init__(self, app: ASGIApp, max_bytes: int, exempt: tuple[str, ...]) -> None:
        """Wrap `app`.

        Args:
            app: What answers.
            max_bytes: Largest body.
            exempt: Beginnings of the paths that have limits of their own.
        """
        self._app = app
        self._max_bytes = max_bytes
        self._exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"].startswith(self._exempt):
            await self._app(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_bytes:
                raise TooLarge(f"body: larger than {self._max_bytes} bytes, the most that this route takes")
            return message

        await self._app(scope, counted, send)
