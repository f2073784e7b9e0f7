"""Pass a request of any kind on to a project's own Serve applications, body and answer in a stream.

Knows nothing of what they serve; it takes our key off and leaves the rest as it is.
"""

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fabric import relay
from fabric.api.gateway import SERVED, ServedDeployment
from fabric.api.openai import error_object
from fabric.core.errors import Unavailable
from fabric.serve.endpoints import SECRET_HEADER

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
"""What is passed on."""
PREFIX_HEADER = "X-Forwarded-Prefix"
"""Header that tells an application what was taken off the path."""

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
    sent = client.build_request(
        request.method,
        relay.target(request, prefix, deployment.endpoints[0].url),
        headers=[*relay.passed_on(request.headers.items(), _OWN), (PREFIX_HEADER, prefix), *_encoding(request)],
        content=relay.content(request),
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
    return relay.streamed(answer, _OWN)


def _encoding(request: Request) -> list[tuple[str, str]]:
    """What the client takes; without it ours would say that it takes everything."""
    return [] if "accept-encoding" in request.headers else [("accept-encoding", "identity")]
