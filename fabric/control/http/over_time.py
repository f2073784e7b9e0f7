"""Routes of the site over time: how full tiers were and will be, and what happened.

Knows nothing of how either is found out.
"""

from fastapi import APIRouter, Query, Response

from fabric.api.occupancy import (
    LONGEST_AHEAD_S,
    LONGEST_BACK_S,
    OCCUPANCY,
    USUAL_AHEAD_S,
    USUAL_BACK_S,
    OccupancyView,
)
from fabric.api.site_events import LARGEST_NUMBER, LONGEST_EVENTS, SITE_EVENTS, SiteEventList
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import json_of
from fabric.control.service import Service


def over_time_router(service: Service, guard: Guard) -> APIRouter:
    """Routes for who may see the site; what of it depends on who asks."""
    router = APIRouter(tags=["site"])
    see = guard.needs(Permission.SITE)

    @router.get(OCCUPANCY, response_model=OccupancyView)
    def occupancy(
        back_s: int = Query(default=USUAL_BACK_S, ge=0, le=LONGEST_BACK_S),
        ahead_s: int = Query(default=USUAL_AHEAD_S, ge=0, le=LONGEST_AHEAD_S),
        caller: Caller = see,
    ) -> Response:
        return json_of(service.occupancy.view(caller, back_s, ahead_s))

    @router.get(SITE_EVENTS, response_model=SiteEventList)
    def events(
        before: int | None = Query(default=None, ge=1, le=LARGEST_NUMBER),
        limit: int = Query(default=50, ge=1, le=LONGEST_EVENTS),
        caller: Caller = see,
    ) -> Response:
        return json_of(service.site_events.newest(caller, before, limit))

    return router
