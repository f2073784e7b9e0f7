"""Ray Serve's REST API, answered from the records, so that the stock `serve` works against the fabric.

Knows nothing of Ray; paths, bodies and statuses are those of `ray/dashboard/modules/serve/serve_head.py` of Ray 2.60.0.
"""

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import JSONResponse

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
)
from fabric.control.callers import Caller, Permission
from fabric.control.deployments import Deployments, Target
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import body_of, document_of, json_of, raw_body
from fabric.control.service import Service

_SOURCES = ("imperative", "declarative")
_BEFORE = ("", f"{DEPLOYMENTS}/{{deployment}}")


def serve_router(service: Service, guard: Guard) -> APIRouter:
    """Routes of Serve's API, each also below `/deployments/NAME`."""
    router = APIRouter()
    deployments = Deployments(service)
    for before in _BEFORE:
        _add_routes(router, before, service=service, deployments=deployments, guard=guard)
    return router


def _add_routes(router: APIRouter, before: str, *, service: Service, deployments: Deployments, guard: Guard) -> None:
    known, look, change = (guard.needs(p) for p in (Permission.KNOWN, Permission.LOOK, Permission.CHANGE))
    body, meant = Depends(raw_body), Depends(target_of)

    @router.get(before + SERVE_VERSION)
    def version(caller: Caller = known) -> Response:
        return json_of(VersionInfo(session_name=service.site.name))

    @router.get(before + APPLICATIONS)
    @router.get(f"{before}{APPLICATIONS}/")
    def details(api_type: str | None = None, target: Target = meant, caller: Caller = look) -> Response:
        if api_type and api_type.lower() not in _SOURCES:
            words = f"Invalid 'api_type' value: '{api_type}'. Must be one of: {', '.join(_SOURCES)}"
            return Response(words, 400, media_type="text/plain")
        found = deployments.details(caller, target)
        if api_type and api_type.lower() == _SOURCES[0]:
            # Whatever the fabric runs was declared to it.
            found = {**found, "applications": {}}
        return JSONResponse(found)

    @router.put(before + APPLICATIONS)
    @router.put(f"{before}{APPLICATIONS}/")
    def deploy(raw: bytes = body, target: Target = meant, caller: Caller = change) -> Response:
        deployments.deploy(document_of(raw), caller, target)
        return Response()

    @router.delete(before + APPLICATIONS)
    @router.delete(f"{before}{APPLICATIONS}/")
    def shutdown(target: Target = meant, caller: Caller = change) -> Response:
        deployments.shutdown(caller, target)
        return Response()

    @router.post(before + SCALE)
    def scale(
        application: str, name: str, raw: bytes = body, target: Target = meant, caller: Caller = change
    ) -> Response:
        wanted = body_of(raw, ScaleReplicas).target_num_replicas
        deployments.scale(application, name, wanted, caller=caller, target=target)
        return JSONResponse({"message": "Scaling request received. Deployment will get scaled asynchronously."})


def target_of(request: Request) -> Target:
    """The deployment that a request means: by its path, its header or its query, in this order."""
    headers, query = request.headers, request.query_params
    chosen = (request.path_params.get("deployment"), headers.get(DEPLOYMENT_HEADER), query.get("deployment"))
    project = headers.get(PROJECT_HEADER) or query.get("project")
    return Target(next((name for name in chosen if name), DEFAULT_DEPLOYMENT), project)
