"""Artifacts of projects, listed, read and written in streams.

Knows nothing of where they are; the store looks at paths and sizes.
"""

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from fabric.api.artifacts import ARTIFACTS, LONGEST_LIST, VERSION, ArtifactList, ArtifactView
from fabric.api.description import fails
from fabric.control.artifacts import Opened
from fabric.control.callers import Caller, Permission
from fabric.control.http.arriving import Arriving, Places
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import json_of
from fabric.control.http.settings import HttpSettings
from fabric.control.service import Service
from fabric.core.errors import BadInput

MOST_DRAINED = 2**26
"""How much of a refused artifact is still read, in bytes, so that a sender of little more hears why."""

_BINARY = "application/octet-stream"
_BODY = {"requestBody": {"required": True, "content": {_BINARY: {"schema": {}}}}}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file from byte `offset` on",
        "content": {_BINARY: {"schema": {"type": "string", "format": "binary"}}},
        "headers": {VERSION: {"description": "Another one once the file has changed", "schema": {"type": "string"}}},
    }
}


def artifacts_router(service: Service, guard: Guard, settings: HttpSettings) -> APIRouter:
    """Routes of artifacts."""
    router = APIRouter(prefix=ARTIFACTS, tags=["artifacts"])
    places = Places("artifacts", settings.most_uploads)
    read, change = guard.needs(Permission.ARTIFACTS), guard.needs(Permission.CHANGE)

    @router.get("/{project}", response_model=ArtifactList)
    def listed(
        project: str,
        path: str = "",
        recursive: bool = False,
        after: str = "",
        limit: int = Query(default=LONGEST_LIST, ge=1, le=LONGEST_LIST),
        caller: Caller = read,
    ) -> Response:
        return json_of(service.artifacts.list(project, caller, path, recursive=recursive, after=after, limit=limit))

    @router.get("/{project}/{path:path}", response_class=StreamingResponse, responses=_FILE)
    def content(project: str, path: str, offset: int = Query(default=0, ge=0), caller: Caller = read) -> Response:
        return _Content(service.artifacts.open(project, path, caller), offset)

    @router.put("/{project}/{path:path}", response_model=ArtifactView, responses=fails(409), openapi_extra=_BODY)
    async def put(
        request: Request, project: str, path: str, replace: bool = False, caller: Caller = change
    ) -> Response:
        body = Arriving(request, lambda num_bytes: _cut_off(path, num_bytes))

        def receive() -> ArtifactView:
            return service.artifacts.put(
                project, path, body.pieces(), caller, replace=replace, expected_bytes=body.announced_bytes
            )

        return json_of(await places.receive(body, receive, most_drained=MOST_DRAINED))

    return router


class _Content(StreamingResponse):
    """A file on its way; it is let go of however that ends."""

    def __init__(self, opened: Opened, offset: int) -> None:
        self._opened = opened
        left = max(0, opened.artifact.num_bytes - offset)
        # What jobs wrote must never be shown by a browser as if it were a page of ours.
        headers = {
            "Content-Length": str(left),
            VERSION: opened.version,
            "Content-Disposition": "attachment",
            "X-Content-Type-Options": "nosniff",
        }
        super().__init__(opened.pieces(offset), headers=headers, media_type=_BINARY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await run_sync(self._opened.close)


def _cut_off(path: str, num_bytes: int) -> BadInput:
    return BadInput(
        f"artifact {path}: the sender broke off after {num_bytes} bytes; nothing of it was kept. Send it again.",
        path=path,
    )
