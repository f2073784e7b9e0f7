"""The data plane: OpenAI's API for every model that the fabric serves, on one address.

Knows nothing of engines or clusters: where models are and whose keys are good is in the table it is given.
"""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fabric.api.description import OPENAPI
from fabric.api.gateway import SERVED, ServedDeployment, ServedModel
from fabric.api.openai import answer_to, error_object
from fabric.api.people import PROJECT_HEADER
from fabric.config.identity import looks_like_token
from fabric.core.errors import BadInput, Denied, FabricError, NotFound, Unauthenticated
from fabric.core.failures import FailedLogins
from fabric.gateway.counts import to_ask_for
from fabric.gateway.description import description_of
from fabric.gateway.figures import Figures
from fabric.gateway.follow import Follower
from fabric.gateway.passing import METHODS, pass_on
from fabric.gateway.relay import RETRY_AFTER_S, Relayed, Route
from fabric.gateway.settings import GatewaySettings
from fabric.gateway.table import Caller, Table
from fabric.gateway.tokens import Tokens
from fabric.gateway.upstream import Upstream
from fabric.gateway.uses import UsedKeys
from fabric.telemetry.http import METRICS, Timed

_log = logging.getLogger(__name__)
_Found = TypeVar("_Found")
_REQUEST_ID = "X-Request-Id"
_LAST_EVENTS_S = 2.0
"""What streams that outlived the grace have for their last event, in seconds."""


class TooLarge(BadInput):
    """The body is larger than the gateway takes."""


class Gateway:
    """Answers requests from the newest table."""

    def __init__(
        self, follower: Follower, services: httpx.AsyncClient, settings: GatewaySettings, control: httpx.AsyncClient
    ) -> None:
        """Put it together; nothing is asked yet.

        Args:
            follower: Has the table.
            services: Client for the models' endpoints, from `make_client`.
            settings: Limits.
            control: Talks to control; its base URL and key are set.
        """
        self._tokens = Tokens(control)
        self._failures = FailedLogins(settings.max_failed_logins)
        self.used = UsedKeys(control)
        """What control is told of keys."""
        self._follower = follower
        self._settings = settings
        self._services = services
        self.upstream = Upstream(services, settings)
        self.figures = Figures(self.upstream.in_flight.total, lambda: follower.problem is None)
        """What is counted while it answers."""

    def health(self) -> Mapping[str, Any]:
        """The table's version, and whether control answers.

        Raises:
            Unavailable: If there is no table yet.
        """
        snapshot = self._follower.table.snapshot
        return {
            "status": "ok",
            "version": snapshot.version,
            "models": len(snapshot.models),
            "control": self._follower.problem or "ok",
        }

    async def models(self, request: Request) -> Mapping[str, Any]:
        """Every model, for whoever may ask.

        Raises:
            Unauthenticated: If the caller may not.
        """
        caller = await self._let_in(request)
        return self._follower.table.cards(caller.project).model_dump()

    async def model(self, request: Request, name: str) -> Mapping[str, Any]:
        """One model.

        Raises:
            Unauthenticated: If the caller may not ask.
            NotFound: If there is no such model.
        """
        caller = await self._let_in(request)
        return (await self._sought(lambda table: table.card(name, caller.project))).model_dump()

    async def description(self, request: Request) -> Mapping[str, Any]:
        """What the gateway says of its routes.

        Raises:
            Unauthenticated: If the caller may not ask.
        """
        await self._let_in(request)
        return description_of()

    async def relay(self, request: Request) -> Response:
        """Judge a request and pass it on.

        Raises:
            Unauthenticated: If the caller may not ask.
            BadInput: If the body names no model.
            NotFound: If there is no such model.
        """
        # Whoever has no key gets no byte read.
        caller = await self._let_in(request)
        body = await self._body(request)
        asked = _asked_in(body)
        model = await self._sought(lambda table: table.model(asked["model"], caller.project))
        more = to_ask_for(asked)
        if more or asked["model"] != model.id:
            body = json.dumps(asked | more | {"model": model.id}).encode()
        headers = {"Content-Type": "application/json", _REQUEST_ID: request.state.id}
        route = Route(model.endpoints, request.url.path, body, headers, counts_hidden=bool(more))
        return Relayed(self.upstream, route, self._settings, self.figures.meter(model.id))

    async def metrics(self, request: Request) -> Response:
        """The gateway in figures.

        Raises:
            Unauthenticated: If the caller may not ask.
            Denied: If the caller is of one project.
        """
        caller = await self._let_in(request)
        if not caller.everywhere:
            raise Denied(f"key {caller.key} is for project {caller.project}, and these figures are the whole site's.")
        return Response(self.figures.text(), media_type=CONTENT_TYPE_LATEST)

    async def pass_on(self, request: Request) -> Response:
        """Pass a request on to a project's own Serve applications.

        Raises:
            Unauthenticated: If the caller may not ask.
            Denied: If they are somebody else's.
            NotFound: If there are none of that name.
            Unavailable: If they are not ready.
        """
        caller, place = await self._let_in(request), request.path_params
        deployment = await self._sought(
            lambda table: table.deployment(place["project"], place["deployment"], caller),
        )
        return await pass_on(request, deployment, self._services)

    async def _sought(self, seek: Callable[[Table], _Found]) -> _Found:
        """What a request looks for in the table; before it is refused, control is asked whether that still holds.

        Raises:
            FabricError: As `seek` does.
        """
        with suppress(NotFound, Unauthenticated):
            found = seek(self._follower.table)
            if not isinstance(found, ServedModel | ServedDeployment) or found.endpoints:
                return found
        await self._follower.refresh()
        return seek(self._follower.table)

    async def _let_in(self, request: Request) -> Caller:
        """Who asks, by a key of the table or a token that control knows.

        Raises:
            Denied: If a person may not ask models.
            TooOften: If too many keys that open nothing came from where this one comes from.
            Unauthenticated: If the caller may not.
            Unavailable: If nobody can say whose a token is.
        """
        shown = request.headers.get("authorization")
        if not shown:
            return self._follower.table.caller(None, time.time())
        address = request.client.host if request.client else ""
        self._failures.check(address, shown, time.monotonic())
        try:
            caller = await self._recognised(shown, request.headers.get(PROJECT_HEADER), time.time())
        except Unauthenticated:
            self._failures.failed(address, time.monotonic())
            raise
        self._failures.got_in(address, shown, time.monotonic())
        return caller

    async def _recognised(self, shown: str, project: str | None, now: float) -> Caller:
        """Who shows such a header, in the project that he names.

        Raises:
            Unauthenticated: If nobody does.
        """
        scheme, _, token = shown.partition(" ")
        if scheme.lower() == "bearer" and looks_like_token(token.strip()):
            return await self._tokens.caller(token.strip(), project, now)
        caller = await self._sought(lambda table: table.caller(shown, now))
        self.used.note(caller.key, now)
        return caller

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._settings.max_body_bytes:
                raise TooLarge(f"the body is larger than {self._settings.max_body_bytes} bytes; send a shorter prompt")
        return bytes(body)


def _asked_in(body: bytes) -> dict[str, Any]:
    """A request that names a `model`.

    Raises:
        BadInput: If it names none.
    """
    try:
        asked = json.loads(body)
        model = asked["model"]
    except ValueError:
        raise BadInput("the body is no JSON") from None
    except (KeyError, TypeError):
        raise BadInput("model: is required", param="model") from None
    if not isinstance(model, str):
        raise BadInput("model: must be a text", param="model")
    return dict(asked)


def build(gateway: Gateway, follower: Follower, clients: tuple[httpx.AsyncClient, ...] = ()) -> FastAPI:
    """The ASGI application.

    Args:
        gateway: Answers.
        follower: Runs as long as the application.
        clients: Closed with the application.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        beside = [asyncio.create_task(each) for each in (follower.run(), gateway.used.run())]
        yield
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await gateway.used.tell()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_EVENTS_S):
                while gateway.upstream.in_flight.total():
                    await asyncio.sleep(0.02)
        for client in clients:
            await client.aclose()

    app = FastAPI(openapi_url=None, lifespan=lifespan, exception_handlers=dict(_HANDLERS))

    app.add_middleware(_Numbered)
    app.add_middleware(Timed, took=lambda: gateway.figures.requests)

    @app.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse(gateway.health())

    @app.get("/v1/models")
    async def models(request: Request) -> JSONResponse:
        return JSONResponse(await gateway.models(request))

    @app.get("/v1/models/{name:path}")
    async def model(request: Request, name: str) -> JSONResponse:
        return JSONResponse(await gateway.model(request, name))

    @app.get(OPENAPI)
    async def description(request: Request) -> JSONResponse:
        return JSONResponse(await gateway.description(request))

    app.add_route(METRICS, gateway.metrics, ["GET"])
    app.add_route("/v1/chat/completions", gateway.relay, ["POST"])
    app.add_route("/v1/completions", gateway.relay, ["POST"])
    app.add_route(f"{SERVED}/{{project}}/{{deployment}}", gateway.pass_on, METHODS)
    app.add_route(f"{SERVED}/{{project}}/{{deployment}}/{{path:path}}", gateway.pass_on, METHODS)
    return app


class _Numbered:
    """Gives every request an id, which its answer and its service's log carry."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        name = scope.setdefault("state", {})["id"] = f"req-{uuid.uuid4().hex}"

        async def send_numbered(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (_REQUEST_ID.lower().encode(), name.encode())]
            await send(message)

        return await self._app(scope, receive, send_numbered)


async def _tell_fabric(_: Request, error: Exception) -> Response:
    status, body = answer_to(error if isinstance(error, FabricError) else FabricError(str(error)))
    status = 413 if isinstance(error, TooLarge) else status
    return JSONResponse(body, status, {"Retry-After": str(RETRY_AFTER_S)} if status in {429, 503} else None)


async def _tell_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = f"{request.method} {request.url.path}: {error.detail if isinstance(error, HTTPException) else error}"
    return JSONResponse(error_object(message, "invalid_request_error", code="unknown_url"), status)


async def _tell_defect(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse(error_object(f"internal error ({type(error).__name__})", "server_error", code="internal"), 500)


_HANDLERS: Mapping[Any, Callable[[Request, Exception], Coroutine[Any, Any, Response]]] = {
    FabricError: _tell_fabric,
    HTTPException: _tell_http,
    Exception: _tell_defect,
}
