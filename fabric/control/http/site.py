"""Routes about the site file: reading it again, and when that was done.

Knows nothing of what is in it.
"""

from fastapi import APIRouter, Response

from fabric.api.site import RELOADS, ReloadList, ReloadView
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import json_of
from fabric.control.service import Service


def site_file_router(service: Service, guard: Guard) -> APIRouter:
    """Routes of operators and administrators of the whole site."""
    router = APIRouter(tags=["site"])
    operate = guard.needs(Permission.OPERATE)

    @router.post(RELOADS, response_model=ReloadView)
    def reload(caller: Caller = operate) -> Response:
        return json_of(service.reloading.reload_for(caller))

    @router.get(RELOADS, response_model=ReloadList)
    def past(caller: Caller = operate) -> Response:
        return json_of(ReloadList(reloads=service.reloading.past()))

    return router
