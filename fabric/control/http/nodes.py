"""Routes about single nodes: what would follow from draining one, doing it and undoing it.

Knows nothing of what a drain means.
"""

from fastapi import APIRouter, Query, Response

from fabric.api.nodes import DRAIN, LONGEST_DEADLINE_S, DrainPreview, DrainRequest, DrainView
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import Sent, json_of, takes
from fabric.control.service import Service


def nodes_router(service: Service, guard: Guard) -> APIRouter:
    """Routes of operators and administrators of the whole site."""
    router = APIRouter(tags=["site"])
    operate = guard.needs(Permission.OPERATE)

    @router.get(DRAIN, response_model=DrainPreview)
    def preview(
        node: str,
        deadline_s: float | None = Query(default=None, ge=0, le=LONGEST_DEADLINE_S, allow_inf_nan=False),
        caller: Caller = operate,
    ) -> Response:
        return json_of(service.drains.preview(node, deadline_s, caller))

    @router.post(DRAIN, response_model=DrainView)
    def drain(
        node: str, caller: Caller = operate, asked: Sent[DrainRequest] = takes(DrainRequest, optional=True)
    ) -> Response:
        return json_of(service.drains.drain(node, asked.read(), caller))

    @router.delete(DRAIN, status_code=204)
    def undo(node: str, caller: Caller = operate) -> Response:
        service.drains.undo(node, caller)
        return Response(status_code=204)

    return router
