"""MLflow's server behind control's own port and keys, so that no job opens a database file.

Knows nothing of what MLflow is asked.
"""

from typing import Any

import httpx
from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.relaying import Beyond, Relay
from fabric.control.mlflow_rights import require
from fabric.core.errors import Unavailable

PREFIX = "/mlflow"
"""Where MLflow is on control's port."""

TIMEOUT = httpx.Timeout(600.0, connect=5.0)
"""Seconds; model files are written through here."""

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
"""What MLflow answers to."""

_ITS_OWN: dict[int | str, dict[str, Any]] = {"default": {"description": "What MLflow answers"}}


class MlflowProxy:
    """Passes requests on to an MLflow server on this machine."""

    def __init__(self, port: int | None, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Remember where MLflow is; nothing is opened before the first request.

        Args:
            port: Of the server; None if there is none.
            transport: What carries the requests instead of the network; for tests.
        """
        self._server = None if port is None else Beyond("MLflow", f"http://127.0.0.1:{port}", PREFIX)
        self._relay = Relay(TIMEOUT, transport)

    async def close(self) -> None:
        """Close the connections."""
        await self._relay.close()

    def router(self, guard: Guard) -> APIRouter:
        """The routes below `PREFIX`, for who may look; what more a request needs depends on what it asks."""
        router = APIRouter(tags=["mlflow"])
        look = guard.needs(Permission.LOOK)

        @router.get(PREFIX, status_code=307, response_class=RedirectResponse)
        def root(caller: Caller = look) -> Response:
            return RedirectResponse(f"{PREFIX}/", 307)

        async def relay(request: Request, path: str, caller: Caller = look) -> Response:
            require(caller, request.method, f"/{path}")
            if self._server is None:
                raise Unavailable("this site runs no MLflow server")
            return await self._relay.pass_on(request, self._server)

        for method in METHODS:
            router.add_api_route(
                f"{PREFIX}/{{path:path}}", relay, methods=[method], response_class=Response, responses=_ITS_OWN
            )

        return router
