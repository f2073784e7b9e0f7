"""Routes about the site file, and about what the site no longer keeps.

Knows nothing of what is in the one, or of why the other goes.
"""

from fastapi import APIRouter, Response

from fabric.api.retention import PRUNE, PruneView
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

    @router.get(PRUNE, response_model=PruneView)
    def would_go(caller: Caller = operate) -> Response:
        return json_of(service.pruning.preview(caller))

    @router.post(PRUNE, response_model=PruneView)
    def prune(caller: Caller = operate) -> Response:
        return json_of(service.pruning.begin(caller))

    return router
