"""The route that Prometheus asks.

Knows nothing of what is measured.
"""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.service import Service
from fabric.telemetry.http import METRICS


def metrics_router(service: Service, guard: Guard) -> APIRouter:
    """The figures of the whole site."""
    router = APIRouter(tags=["site"])
    figures = guard.needs(Permission.METRICS)
    text = {200: {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}}}

    @router.get(METRICS, response_class=Response, responses=text)  # type: ignore[arg-type] # a literal
    def metrics(caller: Caller = figures) -> Response:
        return Response(service.metrics.text(caller), media_type=CONTENT_TYPE_LATEST)

    return router
