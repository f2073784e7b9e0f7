"""The admin API: what SDK, command line and console ask.

Knows nothing of how anything is done; bodies are those of `fabric.api.admin`.
"""

from typing import Any

from fastapi import APIRouter, Header, Query, Response
from starlette.responses import JSONResponse

from fabric.api.admin import (
    HEALTH,
    MODELS,
    NODES,
    SHUTDOWN,
    WORKLOADS,
    EventView,
    ExplanationView,
    Health,
    ModelList,
    NodeList,
    Report,
    ScaleRequest,
    ShutdownRequest,
    SizeView,
    SubmitRequest,
    WorkloadList,
    WorkloadView,
    as_json,
)
from fabric.api.bills import BILL, BillList
from fabric.api.description import fails
from fabric.api.overview import DECISION, OVERVIEW, Overview
from fabric.api.past import CURVES, CurvesView
from fabric.api.use import USE, UseHistory
from fabric.control.bills import bills_of
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import Sent, json_of, takes
from fabric.control.http.states import states_of
from fabric.control.revisions import Revisions
from fabric.control.service import Service

MOST_LISTED = 10_000
"""Workloads in one list."""


def workloads_router(service: Service, guard: Guard, revisions: Revisions) -> APIRouter:
    """Routes about workloads, other than their logs."""
    router = APIRouter(prefix=WORKLOADS, tags=["workloads"])
    look, change = (guard.needs(p) for p in (Permission.LOOK, Permission.CHANGE))

    @router.get("", response_model=WorkloadList)
    def listed(
        state: list[str] = Query(default=[]),
        limit: int = Query(default=MOST_LISTED, ge=1, le=MOST_LISTED),
        caller: Caller = look,
    ) -> Response:
        records = service.list(caller, states_of(state), limit)
        return json_of(WorkloadList(workloads=service.views(records, caller)))

    @router.post("", response_model=WorkloadView, responses=fails(404, 409))
    def submit(
        caller: Caller = change,
        asked: Sent[SubmitRequest] = takes(SubmitRequest),
        idempotency_key: str | None = Header(default=None, max_length=200),
    ) -> Response:
        return json_of(service.view(revisions.submit(asked.read().spec, caller, idempotency_key), caller))

    @router.get("/{name}", response_model=WorkloadView)
    def get(name: str, caller: Caller = look) -> Response:
        return json_of(service.view(service.get(name, caller), caller))

    @router.delete("/{name}", status_code=204, responses=fails(409))
    def delete(name: str, caller: Caller = change) -> Response:
        service.delete(name, caller)
        return Response(status_code=204)

    @router.post("/{name}/stop", response_model=WorkloadView, responses=fails(409))
    def stop(name: str, caller: Caller = change) -> Response:
        return json_of(service.view(service.stop(name, caller), caller))

    return router


def details_router(service: Service, guard: Guard) -> APIRouter:
    """Routes about what is known of single workloads."""
    router = APIRouter(prefix=WORKLOADS, tags=["workloads"])
    look = guard.needs(Permission.LOOK)

    @router.get("/{name}/explain", response_model=ExplanationView)
    def explain(name: str, caller: Caller = look) -> Response:
        return json_of(service.explain(name, caller))

    @router.get(f"/{{name}}/{BILL}", response_model=BillList)
    def bill(name: str, caller: Caller = look) -> Response:
        return json_of(bills_of(service.get(name, caller), service.site))

    @router.get(f"/{{name}}/{CURVES}", response_model=CurvesView)
    def curves(name: str, caller: Caller = look) -> Response:
        return json_of(service.past.curves(service.get(name, caller).name))

    @router.get(f"/{{name}}/{USE}", response_model=UseHistory)
    def use(name: str, caller: Caller = look) -> Response:
        return json_of(service.uses.history(service.get(name, caller)))

    @router.get("/{name}/events", response_model=list[EventView])
    def events(name: str, caller: Caller = look) -> Response:
        return JSONResponse([as_json(event) for event in service.explain(name, caller).events])

    return router


def telling_router(service: Service, guard: Guard) -> APIRouter:
    """Routes by which workloads are told their size, and tell of themselves; and by which people ask for a size."""
    router = APIRouter(prefix=WORKLOADS, tags=["workloads"])
    change, tell = (guard.needs(p) for p in (Permission.CHANGE, Permission.REPORT))

    @router.post("/{name}/scale", response_model=WorkloadView, responses=fails(409))
    def scale(name: str, caller: Caller = change, asked: Sent[ScaleRequest] = takes(ScaleRequest)) -> Response:
        return json_of(service.view(service.scale(name, asked.read().workers, caller), caller))

    @router.get("/{name}/size", response_model=SizeView)
    def size(name: str, caller: Caller = tell) -> Response:
        return json_of(service.reporting.size(name, caller))

    @router.post("/{name}/report", status_code=204, responses=fails(409))
    def report(
        name: str,
        caller: Caller = tell,
        told: Sent[Report] = takes(Report),
        attempt: int | None = Query(default=None, ge=1),
    ) -> Response:
        service.reporting.report(name, told.read(), caller, attempt)
        return Response(status_code=204)

    return router


def site_router(service: Service, guard: Guard) -> APIRouter:
    """Routes about the site as a whole."""
    router = APIRouter(tags=["site"])
    see, everybody, admin = (guard.needs(p) for p in (Permission.SITE, Permission.PUBLIC, Permission.ADMIN))
    operate = guard.needs(Permission.OPERATE)

    @router.get(NODES, response_model=NodeList)
    def nodes(caller: Caller = see) -> Response:
        return json_of(NodeList(nodes=service.nodes(caller)))

    @router.get(OVERVIEW, response_model=Overview)
    def overview(caller: Caller = see) -> Response:
        return json_of(service.overview(caller))

    @router.get(DECISION, response_model=dict[str, Any])
    def decision(caller: Caller = operate) -> Response:
        return Response(service.decision(caller), media_type="application/json")

    @router.get(MODELS, response_model=ModelList)
    def models(caller: Caller = see) -> Response:
        return json_of(ModelList(models=service.models.list(caller)))

    @router.get(HEALTH, response_model=Health)
    def health(caller: Caller = everybody) -> Response:
        return json_of(service.health())

    @router.post(SHUTDOWN, status_code=202, response_model=Health)
    def shutdown(
        caller: Caller = admin, asked: Sent[ShutdownRequest] = takes(ShutdownRequest, optional=True)
    ) -> Response:
        service.shutdown(asked.read().kill, caller)
        return json_of(service.health(), 202)

    return router
