"""HTTP clients that call ASGI applications in this process, piece by piece: what httpx's own transport gives at once.

Knows nothing of the applications.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import httpx2
from starlette.types import ASGIApp


class Call:
    """One request to an application; its answer can be read while it is being made."""

    def __init__(self, app: ASGIApp, scope: dict[str, Any], body: bytes) -> None:
        self._parts: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._left = asyncio.Event()
        self._body: bytes | None = body
        self._ended = False
        self._task = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            await self._parts.put(None)

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if not self._left.is_set():
            await self._parts.put(dict(message))

    async def begin(self) -> dict[str, Any]:
        """The answer's status and headers; ConnectionError if the application ends without any."""
        start = await self._parts.get()
        if start is None:
            raise ConnectionError("no answer")
        return start

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it is sent; ConnectionError if the application ends in the middle of it."""
        while (part := await self._parts.get()) is not None:
            if part.get("body"):
                yield part["body"]
            if not part.get("more_body", False):
                self._ended = True
                return
        raise ConnectionError("the answer broke off")

    async def leave(self) -> None:
        """Hang up."""
        self._left.set()
        if self._ended:
            await self._task


def _scope(method: str, url: Any, headers: Any) -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
        "headers": [(name.lower(), value) for name, value in headers], "scheme": "http", "path": url.path,
        "raw_path": url.raw_path.split(b"?")[0], "query_string": url.query, "server": (url.host, url.port),
        "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip


class _Stream(httpx.AsyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, call: Call) -> None:
        self._call = call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._call.pieces():
                yield piece
        except ConnectionError as error:
            raise httpx.ReadError(str(error)) from None

    async def aclose(self) -> None:
        await self._call.leave()


class Hosts(httpx.AsyncBaseTransport):
    """Applications by host name; a name that leads nowhere refuses the connection."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self.apps = dict(apps)
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.host)
        if request.url.host not in self.apps:
            raise httpx.ConnectError(f"{request.url.host} refuses", request=request)
        body = await request.aread()
        call = Call(self.apps[request.url.host], _scope(request.method, request.url, request.headers.raw), body)
        try:
            start = await call.begin()
        except ConnectionError as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from None
        except asyncio.CancelledError:
            await call.leave()
            raise
        return httpx.Response(start["status"], headers=start.get("headers", ()), stream=_Stream(call))


class OpenAITransport(httpx2.AsyncBaseTransport):
    """One application, for OpenAI's client."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        call = Call(self._app, _scope(request.method, request.url, request.headers.raw), body)
        start = await call.begin()
        return httpx2.Response(start["status"], headers=start.get("headers", ()), stream=_Stream(call))


def client(app: ASGIApp, **headers: str) -> httpx.AsyncClient:
    """A client for one application."""
    return httpx.AsyncClient(
        transport=Hosts({"app": app}),
        base_url="http://app",
        headers={k.replace("_", "-"): v for k, v in headers.items()},
    )
