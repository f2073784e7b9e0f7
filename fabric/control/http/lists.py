"""Routes of long lists in pages.

Knows nothing of how the lists are made.
"""

from fastapi import APIRouter, Query, Response

from fabric.api.lists import LONGEST_PAGE, QUEUE, SEARCH, WorkloadPage
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import json_of
from fabric.control.http.states import states_of
from fabric.control.service import Service


def lists_router(service: Service, guard: Guard) -> APIRouter:
    """Routes of the queue and of all workloads."""
    router = APIRouter(tags=["workloads"])
    look = guard.needs(Permission.LOOK)

    @router.get(QUEUE, response_model=WorkloadPage)
    def queue(
        offset: int = Query(default=0, ge=0, le=10_000_000),
        limit: int = Query(default=50, ge=1, le=LONGEST_PAGE),
        caller: Caller = look,
    ) -> Response:
        return json_of(service.lists.queue(caller, offset, limit))

    @router.get(SEARCH, response_model=WorkloadPage)
    def search(
        text: str = Query(default="", max_length=200),
        state: list[str] = Query(default=[]),
        offset: int = Query(default=0, ge=0, le=10_000_000),
        limit: int = Query(default=50, ge=1, le=LONGEST_PAGE),
        caller: Caller = look,
    ) -> Response:
        return json_of(service.lists.search(caller, text, states_of(state), offset=offset, limit=limit))

    return router
