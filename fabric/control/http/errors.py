"""Errors of the fabric as answers: one status for each class, JSON for our clients, text for Ray's.

Knows nothing of routes; nobody is ever shown a stack trace.
"""

import logging
import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Match

from fabric.api.admin import ErrorBody
from fabric.api.jobs import JOBS, PACKAGES, VERSION
from fabric.api.serve import APPLICATIONS, DEPLOYMENTS, SERVE_VERSION
from fabric.core.errors import (
    BadInput,
    Conflict,
    Denied,
    FabricError,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from fabric.core.failures import TooOften

STATUS: Mapping[type[FabricError], int] = {
    Unauthenticated: 401,
    Denied: 403,
    BadInput: 400,
    NotFound: 404,
    Conflict: 409,
    Unavailable: 503,
}
"""Answer's status by class of error, the more special class first; anything else is 500."""

RETRY_AFTER_S = 2
"""What an answer with status 429 or 503 asks its client to wait, in seconds."""

_RAYS = (JOBS, PACKAGES, VERSION, SERVE_VERSION, APPLICATIONS, DEPLOYMENTS)
"""How paths begin that Ray's clients ask; the scaling of replicas is answered in JSON, as in Serve."""

_log = logging.getLogger(__name__)


class TooLarge(BadInput):
    """The body of a request is larger than its route takes."""


class HangsUp(FabricError):
    """An error after whose answer the connection is closed, as what is still being sent would be read for nothing."""


class TooSlow(HangsUp, BadInput):
    """The body of a request does not arrive in time."""


def status_of(error: FabricError) -> int:
    """HTTP status of `error`."""
    if isinstance(error, TooLarge):
        return 413
    if isinstance(error, TooSlow):
        return 408
    if isinstance(error, TooOften):
        return 429
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)


def for_ray(connection: HTTPConnection) -> bool:
    """Whether the client is one of Ray's, which prints an answer's text as it is."""
    return is_rays(connection.url.path) and "application/json" not in connection.headers.get("accept", "")


def is_rays(path: str) -> bool:
    """Whether Ray's clients ask `path`."""
    return any(path == root or path.startswith(f"{root}/") for root in _RAYS)


def answer_to(connection: HTTPConnection, error: FabricError) -> Response:
    """The answer that `error` becomes."""
    status = status_of(error)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status in {429, 503} else {}
    if isinstance(error, HangsUp):
        headers["Connection"] = "close"
    if status == 401:  # noqa: PLR2004
        headers["WWW-Authenticate"] = "Bearer"
    if status == 500:  # noqa: PLR2004
        return _incident(connection, error)
    if for_ray(connection):
        return PlainTextResponse(error.message, status, headers)
    body = ErrorBody(code=error.code, message=error.message, fields=dict(error.fields))
    return JSONResponse(body.model_dump(mode="json"), status, headers)


def _incident(connection: HTTPConnection, error: Exception) -> Response:
    """An answer that says only how to find the cause in control's own log."""
    incident = secrets.token_hex(4)
    _log.error("incident %s: %s", incident, connection.url.path, exc_info=error)
    message = f"something went wrong inside the fabric; look for incident {incident} in control's log"
    if for_ray(connection):
        return PlainTextResponse(message, 500)
    body = ErrorBody(code=FabricError.code, message=message, fields={"incident": incident})
    return JSONResponse(body.model_dump(mode="json"), 500)


def install(app: FastAPI) -> None:
    """Let every error that a route of `app` raises become an answer."""

    async def on_fabric_error(connection: HTTPConnection, error: Exception) -> Response | None:
        known = error if isinstance(error, FabricError) else FabricError(str(error))
        return await _send(connection, answer_to(connection, known))

    async def on_wrong_request(connection: HTTPConnection, error: Exception) -> Response | None:
        problems = error.errors() if isinstance(error, RequestValidationError | WebSocketRequestValidationError) else ()
        return await _send(connection, answer_to(connection, BadInput("; ".join(map(_place, problems)))))

    async def on_http_error(connection: HTTPConnection, error: Exception) -> Response | None:
        status = error.status_code if isinstance(error, HTTPException) else 500
        kind = {404: NotFound}.get(status, BadInput)
        known = kind(f"{connection.url.path}: {getattr(error, 'detail', error)}")
        answer = answer_to(connection, known)
        answer.status_code = status
        if status == 405:  # noqa: PLR2004
            answer.headers["Allow"] = _allowed(app, connection)
        return await _send(connection, answer)

    async def on_mistake(request: Request, error: Exception) -> Response:
        return _incident(request, error)

    app.add_exception_handler(FabricError, on_fabric_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, on_wrong_request)  # type: ignore[arg-type]
    app.add_exception_handler(WebSocketRequestValidationError, on_wrong_request)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, on_http_error)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, on_mistake)


def _allowed(app: FastAPI, connection: HTTPConnection) -> str:
    """The methods of a path, over all of its routes (RFC 9110, 10.2.1)."""
    found = (
        getattr(route, "methods", None) for route in app.routes if route.matches(connection.scope)[0] != Match.NONE
    )
    return ", ".join(sorted(set().union(*(methods or () for methods in found))))


async def _send(connection: HTTPConnection, answer: Response) -> Response | None:
    """Give the answer back, or refuse a web socket with it."""
    if isinstance(connection, WebSocket):
        await connection.send_denial_response(answer)
        return None
    return answer


def _place(problem: Mapping[str, Any]) -> str:
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
