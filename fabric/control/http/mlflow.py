"""MLflow's server behind control's own port and keys, so that no job opens a database file.

Knows nothing of what MLflow is asked.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse, StreamingResponse

from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import HEADERS, Guard
from fabric.control.mlflow_rights import require
from fabric.core.errors import Unavailable

PREFIX = "/mlflow"
"""Where MLflow is on control's port."""

TIMEOUT = httpx.Timeout(600.0, connect=5.0)
"""Seconds; model files are written through here."""

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
"""What MLflow answers to."""

_NOT_PASSED_ON = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
     "upgrade", "host", "date", "server", *HEADERS}
)  # fmt: skip
"""Headers of one connection (RFC 9110, 7.6.1), and those that hold our keys."""

_ITS_OWN: dict[int | str, dict[str, Any]] = {"default": {"description": "What MLflow answers"}}


class MlflowProxy:
    """Passes requests on to an MLflow server on this machine, body and answer in a stream."""

    def __init__(self, port: int | None, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Remember where MLflow is; nothing is opened before the first request.

        Args:
            port: Of the server; None if there is none.
            transport: What carries the requests instead of the network; for tests.
        """
        self._port = port
        # Plain HTTP on this machine: certificates take 30 ms to load, and a proxy could not reach it.
        self._http = httpx.AsyncClient(timeout=TIMEOUT, transport=transport, trust_env=False, verify=False)  # noqa: S501

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def router(self, guard: Guard) -> APIRouter:
        """The routes below `PREFIX`, for who may look; what more a request needs depends on what it asks."""
        router = APIRouter(tags=["mlflow"])
        look = guard.needs(Permission.LOOK)

        @router.get(PREFIX, status_code=307, response_class=RedirectResponse)
        def root(caller: Caller = look) -> Response:
            return RedirectResponse(f"{PREFIX}/", 307)

        async def relay(request: Request, path: str, caller: Caller = look) -> Response:
            require(caller, request.method, f"/{path}")
            return await self._relay(request)

        for method in METHODS:
            router.add_api_route(
                f"{PREFIX}/{{path:path}}", relay, methods=[method], response_class=Response, responses=_ITS_OWN
            )

        return router

    async def _relay(self, request: Request) -> Response:
        if self._port is None:
            raise Unavailable("this site runs no MLflow server")
        raw_path: bytes = request.scope.get("raw_path") or request.url.path.encode()
        target = raw_path.partition(b"?")[0].removeprefix(PREFIX.encode())
        query: bytes = request.scope["query_string"]
        url = httpx.URL(f"http://127.0.0.1:{self._port}").copy_with(raw_path=target + (b"?" + query if query else b""))
        sent = self._http.build_request(
            request.method, url, headers=_passed_on(request.headers.items()), content=_content(request)
        )
        try:
            answer = await self._http.send(sent, stream=True)
        except httpx.HTTPError as error:
            raise Unavailable(f"MLflow does not answer ({type(error).__name__}); try again") from None
        headers = dict(_passed_on(answer.headers.items()))
        return StreamingResponse(_answer(answer), answer.status_code, headers)


def _content(request: Request) -> AsyncIterator[bytes] | None:
    """The body, if there is one."""
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    return request.stream() if has_body else None


def _passed_on(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _NOT_PASSED_ON]


async def _answer(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()
