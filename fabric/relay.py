"""Requests passed on to another server over HTTP, body and answer in a stream; what control and the gateway share.

Knows nothing of who may ask, of what is asked, or of which headers hold our keys.
"""

from collections.abc import AsyncIterator, Collection, Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from starlette.requests import Request
from starlette.responses import StreamingResponse

ONE_CONNECTION = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
     "upgrade", "host", "date", "server"}
)  # fmt: skip
"""Headers of one connection (RFC 9110, 7.6.1), in small letters, and those that each server says itself."""


def no_cookies() -> CookieJar:
    """A jar that keeps none, as one caller's cookies must not go out with another's request."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


def target(request: Request, prefix: str, base: str) -> httpx.URL:
    """The URL of `base` that stands for the request's own without `prefix`, every escape as it came."""
    raw_path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    path = raw_path.partition(b"?")[0].removeprefix(prefix.encode()) or b"/"
    query: bytes = request.scope["query_string"]
    return httpx.URL(base).copy_with(raw_path=path + (b"?" + query if query else b""))


def content(request: Request) -> AsyncIterator[bytes] | None:
    """The body, if there is one."""
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    return request.stream() if has_body else None


def passed_on(headers: Iterable[tuple[str, str]], without: Collection[str]) -> list[tuple[str, str]]:
    """The headers that another server, or the client, is told.

    Args:
        headers: Names and values.
        without: Names in small letters that it is not told, beside those of one connection.
    """
    return [(name, value) for name, value in headers if name.lower() not in ONE_CONNECTION | set(without)]


def streamed(answer: httpx.Response, without: Collection[str]) -> StreamingResponse:
    """The answer for the client, piece by piece as it comes and closed at its end.

    Args:
        answer: Of which nothing was read yet.
        without: Names in small letters of headers that the client is not told.
    """
    response = StreamingResponse(_pieces(answer), answer.status_code)
    # Several of one name, such as cookies, stay several.
    response.raw_headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in passed_on(answer.headers.multi_items(), without)
    ]
    return response


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()
