"""The route of the recent past.

Knows nothing of what is made of it.
"""

from fastapi import APIRouter, Query, Response

from fabric.api.past import MOST_PAST, PAST, PastView
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import json_of
from fabric.control.service import Service


def past_router(service: Service, guard: Guard) -> APIRouter:
    """One route; what of the past is told depends on who asks."""
    router = APIRouter(tags=["site"])
    see = guard.needs(Permission.SITE)

    @router.get(PAST, response_model=PastView)
    def past(
        since: float = Query(default=0.0, ge=0, allow_inf_nan=False),
        limit: int = Query(default=200, ge=1, le=MOST_PAST),
        caller: Caller = see,
    ) -> Response:
        return json_of(service.past.view(caller, since, limit))

    return router
