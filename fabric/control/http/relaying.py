"""Requests passed on to another server, body and answer in a stream, and answers passed back.

Knows nothing of who may ask, or of what is asked.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import httpx
from fastapi import Request, Response
from starlette.responses import StreamingResponse

from fabric import relay
from fabric.control.http.auth import HEADERS
from fabric.core.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Beyond:
    """A server that answers in place of control."""

    name: str
    """As people call it."""
    url: str
    """Its base URL, of plain HTTP."""
    below: str
    """How paths begin at control that it gets the rest of."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What it is told beside the request's own headers."""
    without: Collection[str] = ()
    """Headers of requests, in small letters, that it is not told."""


class Relay:
    """Connections to other servers."""

    def __init__(self, timeout: httpx.Timeout, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Open nothing before the first request.

        Args:
            timeout: For each step, in seconds.
            transport: What carries the requests instead of the network; for tests.
        """
        # Plain HTTP: certificates take 30 ms to load, and a proxy of the environment could not reach these servers.
        self._http = httpx.AsyncClient(
            timeout=timeout,
            transport=transport,
            trust_env=False,
            verify=False,  # noqa: S501
            cookies=relay.no_cookies(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def pass_on(self, request: Request, to: Beyond) -> StreamingResponse:
        """The answer of `to`, whatever its status; redirects are answers too.

        Raises:
            Unavailable: If it does not answer.
        """
        headers = relay.passed_on(request.headers.items(), {*HEADERS, *to.without})
        sent = self._http.build_request(
            request.method,
            relay.target(request, to.below, to.url),
            headers=[*headers, *to.headers.items()],
            content=relay.content(request),
        )
        try:
            answer = await self._http.send(sent, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"{to.name} does not answer ({type(error).__name__}); try again") from None
        return relay.streamed(answer, HEADERS)


async def whole(answer: StreamingResponse) -> Response:
    """The same answer, all of it read."""
    pieces = [piece.encode() if isinstance(piece, str) else bytes(piece) async for piece in answer.body_iterator]
    read = Response(b"".join(pieces), answer.status_code)
    read.raw_headers = answer.raw_headers
    return read
