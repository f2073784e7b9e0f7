"""Pass a request of any kind on to a project's own Serve applications, body and answer in a stream.

Knows nothing of what they serve; it takes our key off and leaves the rest as it is.
"""

import asyncio
from collections.abc import AsyncIterator

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from fabric import relay
from fabric.api.gateway import SERVED, ServedDeployment
from fabric.api.openai import error_object
from fabric.core.errors import Unavailable
from fabric.gateway.relay import gone
from fabric.serve.endpoints import SECRET_HEADER

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
"""What is passed on."""
PREFIX_HEADER = "X-Forwarded-Prefix"
"""Header that tells an application what was taken off the path."""
GONE = 499
"""Status noted when a client left before its answer began; nobody reads it."""

_OWN = frozenset({"x-request-id", "authorization", "x-ray-authorization", SECRET_HEADER.lower(), PREFIX_HEADER.lower()})
"""Headers that hold keys, and those that we say ourselves."""


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
    body, taken = relay.content(request), asyncio.Event()
    sent = client.build_request(
        request.method,
        relay.target(request, prefix, deployment.endpoints[0].url),
        headers=[*relay.passed_on(request.headers.items(), _OWN), (PREFIX_HEADER, prefix), *_encoding(request)],
        content=None if body is None else _noted(body, taken),
    )
    if body is None:
        taken.set()
    try:
        answer = await _unless_gone(request, taken, client, sent)
    except httpx.TimeoutException:
        message = f"deployment {deployment.name} did not answer in time. Try again."
        return JSONResponse(error_object(message, "server_error", code="timeout"), 504)
    except httpx.HTTPError as error:
        raise Unavailable(
            f"deployment {deployment.name} does not answer ({type(error).__name__}). Try again in a few seconds."
        ) from None
    return Response(status_code=GONE) if answer is None else relay.streamed(answer, _OWN)


async def _noted(body: AsyncIterator[bytes], taken: asyncio.Event) -> AsyncIterator[bytes]:
    """The same body; `taken` is set at its end."""
    async for piece in body:
        yield piece
    taken.set()


async def _unless_gone(
    request: Request, taken: asyncio.Event, client: httpx.AsyncClient, sent: httpx.Request
) -> httpx.Response | None:
    """The beginning of the answer; None if the client leaves before it, and then the service hears of it at once.

    Args:
        request: Whose client may leave.
        taken: Set once its body was read; until then that alone may ask for what comes from the client.
        client: Asks the service.
        sent: What it is asked.

    Raises:
        httpx.HTTPError: If the service does not answer.
    """

    async def leaves() -> None:
        await taken.wait()
        await gone(request.receive)

    sending, leaving = asyncio.ensure_future(client.send(sent, stream=True)), asyncio.ensure_future(leaves())
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return sending.result() if sending.done() else None
    except ClientDisconnect:  # in the middle of its body
        return None
    finally:
        sending.cancel()
        leaving.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


def _encoding(request: Request) -> list[tuple[str, str]]:
    """What the client takes; without it ours would say that it takes everything."""
    return [] if "accept-encoding" in request.headers else [("accept-encoding", "identity")]
