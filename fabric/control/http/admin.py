"""The admin API: what SDK, command line and console ask.

Knows nothing of how anything is done; bodies are those of `fabric.api.admin`.
"""

from fastapi import APIRouter, Depends, Header, Query, Response
from starlette.responses import JSONResponse

from fabric.api.admin import (
    HEALTH,
    MODELS,
    NODES,
    SHUTDOWN,
    WORKLOADS,
    ModelList,
    NodeList,
    Report,
    ScaleRequest,
    ShutdownRequest,
    SubmitRequest,
    WorkloadList,
    as_json,
)
from fabric.api.overview import DECISION, OVERVIEW
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import body_of, json_of, raw_body
from fabric.control.http.states import states_of
from fabric.control.service import Service

MOST_LISTED = 10_000
"""Workloads in one list."""


def workloads_router(service: Service, guard: Guard) -> APIRouter:
    """Routes about workloads, other than their logs."""
    router = APIRouter(prefix=WORKLOADS)
    look, change = (guard.needs(p) for p in (Permission.LOOK, Permission.CHANGE))
    body = Depends(raw_body)

    @router.get("")
    def listed(
        state: list[str] = Query(default=[]),
        limit: int = Query(default=MOST_LISTED, ge=1, le=MOST_LISTED),
        caller: Caller = look,
    ) -> Response:
        records = service.list(caller, states_of(state), limit)
        return json_of(WorkloadList(workloads=tuple(service.view(record) for record in records)))

    @router.post("")
    def submit(
        raw: bytes = body, idempotency_key: str | None = Header(default=None, max_length=200), caller: Caller = change
    ) -> Response:
        request = body_of(raw, SubmitRequest)
        return json_of(service.view(service.submit(request.spec, caller, idempotency_key)))

    @router.get("/{name}")
    def get(name: str, caller: Caller = look) -> Response:
        return json_of(service.view(service.get(name, caller)))

    @router.delete("/{name}")
    def delete(name: str, caller: Caller = change) -> Response:
        service.delete(name, caller)
        return Response(status_code=204)

    @router.post("/{name}/stop")
    def stop(name: str, caller: Caller = change) -> Response:
        return json_of(service.view(service.stop(name, caller)))

    @router.get("/{name}/explain")
    def explain(name: str, caller: Caller = look) -> Response:
        return json_of(service.explain(name, caller))

    @router.get("/{name}/events")
    def events(name: str, caller: Caller = look) -> Response:
        return JSONResponse([as_json(event) for event in service.explain(name, caller).events])

    return router


def telling_router(service: Service, guard: Guard) -> APIRouter:
    """Routes by which workloads are told their size, and tell of themselves; and by which people ask for a size."""
    router = APIRouter(prefix=WORKLOADS)
    change, tell = (guard.needs(p) for p in (Permission.CHANGE, Permission.REPORT))
    body = Depends(raw_body)

    @router.post("/{name}/scale")
    def scale(name: str, raw: bytes = body, caller: Caller = change) -> Response:
        return json_of(service.view(service.scale(name, body_of(raw, ScaleRequest).workers, caller)))

    @router.get("/{name}/size")
    def size(name: str, caller: Caller = tell) -> Response:
        return json_of(service.size(name, caller))

    @router.post("/{name}/report")
    def report(
        name: str, raw: bytes = body, attempt: int | None = Query(default=None, ge=1), caller: Caller = tell
    ) -> Response:
        service.report(name, body_of(raw, Report), caller, attempt)
        return Response(status_code=204)

    return router


def site_router(service: Service, guard: Guard) -> APIRouter:
    """Routes about the site as a whole."""
    router = APIRouter()
    see, everybody, admin = (guard.needs(p) for p in (Permission.SITE, Permission.PUBLIC, Permission.ADMIN))
    operate = guard.needs(Permission.OPERATE)
    body = Depends(raw_body)

    @router.get(NODES)
    def nodes(caller: Caller = see) -> Response:
        return json_of(NodeList(nodes=service.nodes()))

    @router.get(OVERVIEW)
    def overview(caller: Caller = see) -> Response:
        return json_of(service.overview(caller))

    @router.get(DECISION)
    def decision(caller: Caller = operate) -> Response:
        return Response(service.decision(caller), media_type="application/json")

    @router.get(MODELS)
    def models(caller: Caller = see) -> Response:
        return json_of(ModelList(models=service.models()))

    @router.get(HEALTH)
    def health(caller: Caller = everybody) -> Response:
        return json_of(service.health())

    @router.post(SHUTDOWN)
    def shutdown(raw: bytes = body, caller: Caller = admin) -> Response:
        service.shutdown(body_of(raw or b"{}", ShutdownRequest).kill, caller)
        return json_of(service.health(), 202)

    return router
