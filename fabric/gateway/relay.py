"""Pass an answer from a service on to a client, byte for byte and at once, and end it properly whatever happens.

Knows nothing of keys or models. Of a stream it knows that events end with an empty line: what is passed on is always
whole events, so that one which breaks off can still be ended with an error event and `[DONE]`.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from fabric.api.gateway import EndpointView
from fabric.api.openai import DONE, answer_to, error_object, event
from fabric.core.errors import FabricError, Unavailable
from fabric.gateway.counts import counts_of, noted
from fabric.gateway.figures import Meter
from fabric.gateway.settings import GatewaySettings
from fabric.gateway.upstream import Upstream

_log = logging.getLogger(__name__)
_EVENTS = "text/event-stream"
_PASSED_ON = ("content-type", "cache-control", "retry-after")
_BOUNDARIES = (b"\n\n", b"\r\n\r\n")
RETRY_AFTER_S = 2
"""What a client is told to wait before it tries again, in seconds; the time after which an endpoint is tried again."""
_BROKE_OFF = "the service broke off this answer; what came before it is all there is"


@dataclass(frozen=True, slots=True)
class Route:
    """Where one request goes."""

    endpoints: Sequence[EndpointView]
    """Places that may answer."""
    path: str
    """Such as `/v1/chat/completions`."""
    body: bytes
    """As they shall get it."""
    headers: Mapping[str, str]
    """Besides the service's secret."""
    counts_hidden: bool = False
    """Whether the stream ends with token counts that the client did not ask for."""


class Relayed(Response):
    """The answer to one request; it is fetched while it is being sent."""

    def __init__(self, upstream: Upstream, route: Route, settings: GatewaySettings, meter: Meter) -> None:
        """Nothing is asked before the response is sent."""
        super().__init__()
        self._upstream = upstream
        self._route = route
        self._settings = settings
        self._meter = meter
        self._client_left = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Fetch and send; if the client leaves, the service hears of it at once."""
        passing = asyncio.ensure_future(self._pass(scope, receive, send))
        left = asyncio.ensure_future(gone(receive))
        try:
            await asyncio.wait({passing, left}, return_when=asyncio.FIRST_COMPLETED)
            self._client_left = not passing.done()
            if self._client_left:
                self._meter.left()
            else:
                passing.result()
        finally:
            left.cancel()
            passing.cancel()
            await asyncio.gather(passing, left, return_exceptions=True)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._route
        try:
            async with self._upstream.open(route.endpoints, route.path, route.body, route.headers) as response:
                kind = response.headers.get("content-type", "")
                if kind.startswith(_EVENTS) and response.is_success:
                    self._meter.answered(response.status_code)
                    with self._meter.streaming():
                        return await self._stream(response, send)
                answer = await self._whole(response)
        except (FabricError, httpx.HTTPError) as error:
            answer = _failure(error)
        self._meter.answered(answer.status_code)
        await answer(scope, receive, send)

    async def _stream(self, response: httpx.Response, send: Send) -> None:
        """Send every event as it comes; this returns normally only after the last one is sent.

        Raises:
            CancelledError: If the client left.
        """
        headers = [(name.encode(), value.encode()) for name, value in _headers(response, *_PASSED_ON).items()]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        tail, done = b"", False
        problem = _BROKE_OFF
        try:
            async for chunk in response.aiter_raw():
                tail += chunk
                if (end := _last_boundary(tail)) > 0:
                    events, tail = tail[:end], tail[end:]
                    done = events.rstrip().endswith(b"[DONE]")
                    events, counts = noted(events, hidden=self._route.counts_hidden)
                    self._meter.event(counts)
                    await send({"type": "http.response.body", "body": events, "more_body": True})
        except httpx.HTTPError as error:
            _log.warning("a stream broke off: %s: %s", type(error).__name__, error)
        except asyncio.CancelledError:
            if self._client_left:
                raise
            # The server is ending and cancels what its grace did not suffice for.
            problem = f"the gateway is ending; {_BROKE_OFF}"
        last = b"" if done else event(error_object(problem, "server_error", code="stream_broken")) + DONE
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _whole(self, response: httpx.Response) -> Response:
        """An answer that is no stream, read to its end before its first byte is sent, so that it is never cut off.

        Raises:
            Unavailable: If it is too large for that.
        """
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._settings.max_answer_bytes:
                raise Unavailable(f"the service's answer is larger than {self._settings.max_answer_bytes} bytes")
        if response.is_error and not _is_error_object(bytes(body)):
            # Serve's own proxy speaks plain text.
            kind = "server_error" if response.is_server_error else "invalid_request_error"
            message = f"the service answered {response.status_code}: {bytes(body[:200]).decode(errors='replace')}"
            return JSONResponse(error_object(message, kind), response.status_code, _retry_after(response.status_code))
        self._meter.whole(counts_of(bytes(body)))
        return Response(bytes(body), response.status_code, _headers(response, *_PASSED_ON))


def _last_boundary(text: bytes) -> int:
    """Where the last whole event of `text` ends; 0 if it holds none."""
    return max((at + len(b) for b in _BOUNDARIES if (at := text.rfind(b)) >= 0), default=0)


def _headers(response: httpx.Response, *names: str) -> dict[str, str]:
    return {name: response.headers[name] for name in names if name in response.headers}


def _retry_after(status: int) -> dict[str, str]:
    return {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}  # noqa: PLR2004 - HTTP


def _is_error_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body)["error"], dict)
    except (ValueError, KeyError, TypeError):
        return False


def _failure(error: FabricError | httpx.HTTPError) -> Response:
    """What a client is told when no answer, or only part of one, could be had."""
    if isinstance(error, FabricError):
        status, body = answer_to(error)
        return JSONResponse(body, status, _retry_after(status))
    late = isinstance(error, httpx.TimeoutException)
    message = "the service did not answer in time" if late else _BROKE_OFF
    body = error_object(f"{message}. Try again.", "server_error", code="timeout" if late else "stream_broken")
    return JSONResponse(body, 504 if late else 502)


async def gone(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
