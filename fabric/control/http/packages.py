"""Uploaded working directories, as Ray's clients and ours send them.

Knows nothing of what is inside a package, or how large it may be; the store checks that.
"""

from fastapi import APIRouter, Request, Response

from fabric.api.jobs import PACKAGES
from fabric.control.callers import Caller, Permission
from fabric.control.http.arriving import Arriving, Places
from fabric.control.http.auth import Guard
from fabric.control.http.settings import HttpSettings
from fabric.control.service import Service
from fabric.core.errors import BadInput, BadPackage, NotFound

_ZIP = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {}}}}}


def packages_router(service: Service, guard: Guard, settings: HttpSettings) -> APIRouter:
    """Routes that ask for and upload packages."""
    router = APIRouter(tags=["ray jobs"])
    places = Places("packages", settings.most_uploads)
    change = guard.needs(Permission.CHANGE)

    @router.get(f"{PACKAGES}/{{protocol}}/{{name}}", response_class=Response)
    def has(protocol: str, name: str, caller: Caller = change) -> Response:
        _require_gcs(protocol)
        if not service.packages.has(name, caller):
            raise NotFound(f"Package {protocol}://{name} does not exist", package=name)
        return Response()

    @router.put(f"{PACKAGES}/{{protocol}}/{{name}}", response_class=Response, openapi_extra=_ZIP)
    async def put(request: Request, protocol: str, name: str, caller: Caller = change) -> Response:
        _require_gcs(protocol)
        body = Arriving(request, lambda num_bytes: _cut_off(name, num_bytes))

        def receive() -> None:
            service.packages.put(name, body.pieces(), caller, body.announced_bytes)

        await places.receive(body, receive, most_drained=settings.max_package_bytes)
        return Response()

    return router


def _require_gcs(protocol: str) -> None:
    """Check how a package's URI begins.

    Raises:
        BadInput: If it is another protocol than uploads have.
    """
    if protocol != "gcs":
        raise BadInput(f"packages are uploaded as gcs://NAME, not {protocol}://NAME", protocol=protocol)


def _cut_off(package: str, num_bytes: int) -> BadPackage:
    return BadPackage(
        f"package {package}: the sender broke off after {num_bytes} bytes; nothing of it was kept. Send it again.",
        package=package,
    )
