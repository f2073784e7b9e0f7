"""Uploaded working directories, as Ray's clients and ours send them.

Knows nothing of what is inside a package, or how large it may be; the store checks that.
"""

from collections.abc import AsyncIterator, Iterator

import anyio
import anyio.from_thread
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from fabric.api.jobs import PACKAGES
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.settings import HttpSettings
from fabric.control.service import Service
from fabric.core.errors import BadInput, BadPackage, FabricError, NotFound

MOST_UPLOADS = 8
"""Packages that are received at the same time; their threads are their own, so slow senders hold up only each other."""

STALLED_AFTER_S = 60.0
"""Longest pause of a sender, in seconds."""


_ZIP = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {}}}}}


def packages_router(service: Service, guard: Guard, settings: HttpSettings) -> APIRouter:
    """Routes that ask for and upload packages."""
    router = APIRouter(tags=["ray jobs"])
    uploads = anyio.CapacityLimiter(MOST_UPLOADS)
    change = guard.needs(Permission.CHANGE)

    @router.get(f"{PACKAGES}/{{protocol}}/{{name}}", response_class=Response)
    def has(protocol: str, name: str, caller: Caller = change) -> Response:
        _require_gcs(protocol)
        if not service.has_package(name, caller):
            raise NotFound(f"Package {protocol}://{name} does not exist", package=name)
        return Response()

    @router.put(f"{PACKAGES}/{{protocol}}/{{name}}", response_class=Response, openapi_extra=_ZIP)
    async def put(request: Request, protocol: str, name: str, caller: Caller = change) -> Response:
        _require_gcs(protocol)
        body = request.stream()
        try:
            expected = _whole(request.headers.get("content-length"))
            await run_sync(service.put_package, name, _pieces(body, name), caller, expected, limiter=uploads)
        except FabricError:
            # Clients that are still sending would take an early answer for a broken connection.
            await _drain(body, settings.max_package_bytes)
            raise
        return Response()

    return router


def _whole(length: str | None) -> int:
    """The size that a sender says its body has; 0 where it says none."""
    return int(length) if length and length.isascii() and length.isdigit() else 0


def _require_gcs(protocol: str) -> None:
    """Check how a package's URI begins.

    Raises:
        BadInput: If it is another protocol than uploads have.
    """
    if protocol != "gcs":
        raise BadInput(f"packages are uploaded as gcs://NAME, not {protocol}://NAME", protocol=protocol)


def _pieces(body: AsyncIterator[bytes], package: str) -> Iterator[bytes]:
    """The body as it arrives, for a thread that writes it.

    Raises:
        BadPackage: If the sender breaks off.
    """
    total = 0
    try:
        while (piece := anyio.from_thread.run(_next_of, body)) is not None:
            total += len(piece)
            yield piece
    except (ClientDisconnect, TimeoutError):
        raise BadPackage(
            f"package {package}: the sender broke off after {total} bytes; nothing of it was kept. Send it again.",
            package=package,
        ) from None


async def _next_of(body: AsyncIterator[bytes]) -> bytes | None:
    with anyio.fail_after(STALLED_AFTER_S):
        return await anext(body, None)


async def _drain(body: AsyncIterator[bytes], max_bytes: int) -> None:
    """Read and drop what is still coming, up to as much again as is allowed."""
    left = max_bytes
    try:
        while left > 0 and (piece := await _next_of(body)) is not None:
            left -= len(piece)
    except (ClientDisconnect, TimeoutError):
        return
