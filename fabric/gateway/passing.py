"""Pass a request of any kind on to a project's own Serve applications, body and answer in a stream.

Knows nothing of what they serve; it takes our key off and leaves the rest as it is.
"""

from collections.abc import AsyncIterator, Iterable

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from fabric.api.gateway import SERVED, ServedDeployment
from fabric.api.openai import error_object
from fabric.core.errors import Unavailable
from fabric.serve.endpoints import SECRET_HEADER

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
"""What is passed on."""
PREFIX_HEADER = "X-Forwarded-Prefix"
"""Header that tells an application what was taken off the path."""

_NOT_PASSED_ON = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
     "upgrade", "host", "date", "server", "x-request-id", "authorization", "x-ray-authorization", SECRET_HEADER.lower(),
     PREFIX_HEADER.lower()}
)  # fmt: skip
"""Headers of one connection (RFC 9110, 7.6.1), those that hold keys, and those that we say ourselves."""


async def pass_on(request: Request, deployment: ServedDeployment, client: httpx.AsyncClient) -> Response:
    """The answer of a deployment to a request below `/serve/PROJECT/DEPLOYMENT`.

    Raises:
        Unavailable: If it is not ready, or does not take the request.
    """
    if not deployment.endpoints:
        raise Unavailable(
            f"deployment {deployment.name} of project {deployment.project} is not ready. `fabric explain "
            f"{deployment.workload}` says why. Try again in a few seconds."
        )
    prefix = f"{SERVED}/{deployment.project}/{deployment.name}"
    sent = client.build_request(
        request.method,
        _target(request, prefix, deployment.endpoints[0].url),
        headers=[*_passed_on(request.headers.items()), (PREFIX_HEADER, prefix), *_encoding(request)],
        content=_content(request),
    )
    try:
        answer = await client.send(sent, stream=True)
    except httpx.TimeoutException:
        message = f"deployment {deployment.name} did not answer in time. Try again."
        return JSONResponse(error_object(message, "server_error", code="timeout"), 504)
    except httpx.HTTPError as error:
        raise Unavailable(
            f"deployment {deployment.name} does not answer ({type(error).__name__}). Try again in a few seconds."
        ) from None
    response = StreamingResponse(_pieces(answer), answer.status_code)
    # Several of one name, such as cookies, stay several.
    response.raw_headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in _passed_on(answer.headers.multi_items())
    ]
    return response


def _target(request: Request, prefix: str, base: str) -> httpx.URL:
    """The same path without the prefix, every escape as it was."""
    raw_path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    path = raw_path.partition(b"?")[0].removeprefix(prefix.encode()) or b"/"
    query: bytes = request.scope["query_string"]
    return httpx.URL(base).copy_with(raw_path=path + (b"?" + query if query else b""))


def _content(request: Request) -> AsyncIterator[bytes] | None:
    """The body, if there is one."""
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    return request.stream() if has_body else None


def _encoding(request: Request) -> list[tuple[str, str]]:
    """What the client takes; without it ours would say that it takes everything."""
    return [] if "accept-encoding" in request.headers else [("accept-encoding", "identity")]


def _passed_on(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _NOT_PASSED_ON]


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()
