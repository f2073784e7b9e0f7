"""Requests passed on to another server, body and answer in a stream, and answers passed back.

Knows nothing of who may ask, or of what is asked.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from fastapi import Request
from starlette.responses import StreamingResponse

from fabric.control.http.auth import HEADERS
from fabric.core.errors import Unavailable

_NOT_PASSED_ON = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
     "upgrade", "host", "date", "server", *HEADERS}
)  # fmt: skip
"""Headers of one connection (RFC 9110, 7.6.1), and those that hold our keys."""


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
        # One's cookies must not go out with another's request, so none is kept.
        none_kept = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        self._http = httpx.AsyncClient(
            timeout=timeout,
            transport=transport,
            trust_env=False,
            verify=False,  # noqa: S501
            cookies=none_kept,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def pass_on(self, request: Request, to: Beyond) -> StreamingResponse:
        """The answer of `to`, whatever its status; redirects are answers too.

        Raises:
            Unavailable: If it does not answer.
        """
        headers = _passed_on((name, value) for name, value in request.headers.items() if name not in to.without)
        sent = self._http.build_request(
            request.method, _url(request, to), headers=[*headers, *to.headers.items()], content=_content(request)
        )
        try:
            answer = await self._http.send(sent, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"{to.name} does not answer ({type(error).__name__}); try again") from None
        return StreamingResponse(_pieces(answer), answer.status_code, dict(_passed_on(answer.headers.items())))


def _url(request: Request, to: Beyond) -> httpx.URL:
    """What is asked for, with everything encoded that came so."""
    raw_path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    rest = raw_path.partition(b"?")[0].removeprefix(to.below.encode())
    query: bytes = request.scope["query_string"]
    return httpx.URL(to.url).copy_with(raw_path=rest + (b"?" + query if query else b""))


def _content(request: Request) -> AsyncIterator[bytes] | None:
    """The body, if there is one."""
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    return request.stream() if has_body else None


def _passed_on(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _NOT_PASSED_ON]


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()
