"""Ray Serve's REST API, answered from the records, so that the stock `serve` works against the fabric.

Knows nothing of Ray; paths, bodies and statuses are those of `ray/dashboard/modules/serve/serve_head.py` of Ray 2.60.0.
"""

from typing import Any

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from starlette.responses import JSONResponse

from fabric.api.description import fails
from fabric.api.jobs import VersionInfo
from fabric.api.serve import (
    APPLICATIONS,
    DEFAULT_DEPLOYMENT,
    DEPLOYMENT_HEADER,
    DEPLOYMENTS,
    PROJECT_HEADER,
    SCALE,
    SERVE_VERSION,
    ScaleReplicas,
    ServeConfig,
)
from fabric.control.callers import Caller, Permission
from fabric.control.deployments import Deployments, Target
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import Sent, document_of, json_of, takes
from fabric.control.service import Service

_SOURCES = ("imperative", "declarative")
_BEFORE = ("", f"{DEPLOYMENTS}/{{deployment}}")


def serve_router(service: Service, guard: Guard, deployments: Deployments) -> APIRouter:
    """Routes of Serve's API, each also below `/deployments/NAME`."""
    router = APIRouter(tags=["ray serve"])
    for before in _BEFORE:
        _add_routes(router, before, service=service, deployments=deployments, guard=guard)
    return router


def _add_routes(router: APIRouter, before: str, *, service: Service, deployments: Deployments, guard: Guard) -> None:
    known, look, change = (guard.needs(p) for p in (Permission.KNOWN, Permission.LOOK, Permission.CHANGE))
    meant = Depends(target_at if before else target_of)

    @router.get(before + SERVE_VERSION, response_model=VersionInfo)
    def version(caller: Caller = known) -> Response:
        return json_of(VersionInfo(session_name=service.site.name))

    @router.get(before + APPLICATIONS, include_in_schema=False)
    @router.get(f"{before}{APPLICATIONS}/", response_model=dict[str, Any])
    def details(api_type: str | None = None, target: Target = meant, caller: Caller = look) -> Response:
        if api_type and api_type.lower() not in _SOURCES:
            words = f"Invalid 'api_type' value: '{api_type}'. Must be one of: {', '.join(_SOURCES)}"
            return Response(words, 400, media_type="text/plain")
        found = deployments.details(caller, target)
        if api_type and api_type.lower() == _SOURCES[0]:
            # Whatever the fabric runs was declared to it.
            found = {**found, "applications": {}}
        return JSONResponse(found)

    @router.put(before + APPLICATIONS, include_in_schema=False)
    @router.put(f"{before}{APPLICATIONS}/", response_class=Response, responses=fails(404, 409))
    def deploy(
        caller: Caller = change, asked: Sent[ServeConfig] = takes(ServeConfig), target: Target = meant
    ) -> Response:
        # As it came: what we do not read goes on to Serve.
        deployments.deploy(document_of(asked.raw), caller, target)
        return Response()

    @router.delete(before + APPLICATIONS, include_in_schema=False)
    @router.delete(f"{before}{APPLICATIONS}/", response_class=Response)
    def shutdown(target: Target = meant, caller: Caller = change) -> Response:
        deployments.shutdown(caller, target)
        return Response()

    @router.post(before + SCALE, response_model=dict[str, str], responses=fails(409))
    def scale(
        application: str,
        name: str,
        caller: Caller = change,
        asked: Sent[ScaleReplicas] = takes(ScaleReplicas),
        target: Target = meant,
    ) -> Response:
        wanted = asked.read().target_num_replicas
        deployments.scale(application, name, wanted, caller=caller, target=target)
        return JSONResponse({"message": "Scaling request received. Deployment will get scaled asynchronously."})


def target_of(
    header: str | None = Header(default=None, alias=DEPLOYMENT_HEADER),
    query: str | None = Query(default=None, alias="deployment"),
    project: str | None = Header(default=None, alias=PROJECT_HEADER),
    of: str | None = Query(default=None, alias="project"),
) -> Target:
    """The deployment that a request means by its header or its query, in this order."""
    return Target(header or query or DEFAULT_DEPLOYMENT, project or of)


def target_at(
    deployment: str = Path(),
    project: str | None = Header(default=None, alias=PROJECT_HEADER),
    of: str | None = Query(default=None, alias="project"),
) -> Target:
    """The deployment that a request means by its path."""
    return Target(deployment, project or of)
