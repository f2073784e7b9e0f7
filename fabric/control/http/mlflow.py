"""MLflow's server behind control's own port and keys, so that no job opens a database file.

Knows nothing of what MLflow is asked. Whoever acts in a project is led to its workspace, whatever he asks for; who is
of the whole site may name one.
"""

import json
from http import HTTPStatus
from typing import Any

import httpx
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, StreamingResponse

from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.relaying import Beyond, Relay, whole
from fabric.control.mlflow_rights import READS, require
from fabric.control.mlflow_spaces import HEADER, SITES, project_in, space_of
from fabric.control.registered_models import Moved
from fabric.core.errors import Unavailable

PREFIX = "/mlflow"
"""Where MLflow is on control's port."""

TIMEOUT = httpx.Timeout(600.0, connect=5.0)
"""Seconds; model files are written through here."""

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
"""What MLflow answers to."""

SPACES = "/api/3.0/mlflow/workspaces"
"""Where MLflow makes workspaces."""
_LISTS = frozenset({SPACES[1:], f"ajax-{SPACES[1:]}"})
MAKING_S = 120.0
"""How long making one may take, in seconds: the first request also makes MLflow's tables."""

ALIAS = ["registered-models", "alias"]
"""Last words of the path by which an alias is pointed elsewhere, or taken off."""
MOST_ALIAS_BYTES = 16_384
"""Larger bodies than any such request has are passed on unread."""

_ITS_OWN: dict[int | str, dict[str, Any]] = {"default": {"description": "What MLflow answers"}}


class MlflowProxy:
    """Passes requests on to an MLflow server on this machine."""

    def __init__(
        self, port: int | None, transport: httpx.AsyncBaseTransport | None = None, *, moved: Moved | None = None
    ) -> None:
        """Remember where MLflow is; nothing is opened before the first request.

        Args:
            port: Of the server; None if there is none.
            transport: What carries the requests instead of the network; for tests.
            moved: Told of aliases that point elsewhere, once MLflow has taken that in.
        """
        self._moved = moved
        self._url = None if port is None else f"http://127.0.0.1:{port}"
        self._relay = Relay(TIMEOUT, transport)
        self._http = httpx.AsyncClient(timeout=MAKING_S, transport=transport, trust_env=False)
        self._made: set[str] = {SITES}

    async def close(self) -> None:
        """Close the connections."""
        await self._relay.close()
        await self._http.aclose()

    def router(self, guard: Guard) -> APIRouter:
        """The routes below `PREFIX`, for who may look; what more a request needs depends on what it asks."""
        router = APIRouter(tags=["mlflow"])
        look = guard.needs(Permission.LOOK)

        @router.get(PREFIX, status_code=307, response_class=RedirectResponse)
        def root(caller: Caller = look) -> Response:
            return RedirectResponse(f"{PREFIX}/", 307)

        async def relay(request: Request, path: str, caller: Caller = look) -> Response:
            if caller.project is not None and request.method in READS and path.strip("/") in _LISTS:
                own = {"name": space_of(caller.project), "description": caller.project}
                return JSONResponse({"workspaces": [own]})
            require(caller, request.method, f"/{path}")
            if self._url is None:
                raise Unavailable("this site runs no MLflow server")
            named = request.headers.get(HEADER, "") if caller.project is None else await self._space(caller.project)
            told = {HEADER: named} if named else {}
            asked = await _alias_of(request, path)
            answer = await self._relay.pass_on(request, Beyond("MLflow", self._url, PREFIX, told, without=(HEADER,)))
            if caller.project is not None and answer.status_code == HTTPStatus.NOT_FOUND:
                return await self._unless_gone(answer, caller.project)
            if asked is not None and self._moved is not None and answer.status_code == HTTPStatus.OK:
                model, alias, version = asked
                project = caller.project or project_in(named or SITES)
                await run_in_threadpool(self._moved, caller, project, model, alias, version=version)
            return answer

        for method in METHODS:
            router.add_api_route(
                f"{PREFIX}/{{path:path}}", relay, methods=[method], response_class=Response, responses=_ITS_OWN
            )

        return router

    async def _unless_gone(self, answer: StreamingResponse, project: str) -> Response:
        """What was not found, as MLflow says it; where that is the workspace itself, it is made again.

        Raises:
            Unavailable: If it was gone: nothing was done then, so whoever asked asks again, as MLflow's clients do.
        """
        space, found = space_of(project), await whole(answer)
        if f"Workspace '{space}' not found".encode() not in bytes(found.body):
            return found
        self._made.discard(space)
        await self._space(project)
        raise Unavailable(f"MLflow had lost the workspace of project {project}, which is there again, empty; try again")

    async def _space(self, project: str) -> str:
        """The workspace of a project, made the first time, and again if it was lost.

        Raises:
            Unavailable: If MLflow does not make it.
        """
        space = space_of(project)
        if space not in self._made:
            body = {"name": space, "description": project}
            try:
                answer = await self._http.post(f"{self._url}{SPACES}", json=body)
            except httpx.HTTPError as error:
                raise Unavailable(f"MLflow does not answer ({type(error).__name__}); try again") from None
            # Another control, or this one before it was started again, may have made it.
            if not answer.is_success and "RESOURCE_ALREADY_EXISTS" not in answer.text:
                raise Unavailable(f"MLflow makes no workspace for project {project}: {answer.status_code}")
            self._made.add(space)
        return space


async def _alias_of(request: Request, path: str) -> tuple[str, str, str | None] | None:
    """The model, the alias and the version to which a request points it; None if it does not, or cannot be read.

    What is read here is passed on all the same.
    """
    moves = request.method in {"POST", "DELETE"} and path.strip("/").split("/")[-2:] == ALIAS
    length = request.headers.get("content-length", "")
    # So few digits that reading them costs nothing, whoever sends them.
    small = length.isdecimal() and len(length) <= len(str(MOST_ALIAS_BYTES)) and int(length) <= MOST_ALIAS_BYTES
    if not (moves and small):
        return None
    try:
        body = json.loads(await request.body())
        model, alias = body["name"], body["alias"]
        version = str(body["version"]) if request.method == "POST" else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # MLflow says what is wrong with it
    return (model, alias, version) if isinstance(model, str) and isinstance(alias, str) else None
