"""What the gateway fetches: routes to models, hashes of keys, and whose tokens are; and which keys it saw.

Knows nothing of how the snapshot is made.
"""

import time

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Response

from fabric.api.admin import GATEWAY
from fabric.api.gateway import JUDGE, USES, GatewaySnapshot, Judged, Shown, Uses
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import Sent, json_of, takes
from fabric.control.http.settings import HttpSettings
from fabric.control.service import Service

LOOK_INTERVAL_S = 0.25
"""How often a held back request looks for a change, in seconds."""


def gateway_router(service: Service, guard: Guard, settings: HttpSettings) -> APIRouter:
    """The routes of the snapshot, of tokens and of used keys."""
    router = APIRouter(tags=["gateway"])
    gateway = guard.needs(Permission.GATEWAY)

    @router.get(GATEWAY, response_model=GatewaySnapshot)
    async def snapshot(
        version: int = Query(default=0, ge=0),
        wait_s: float = Query(default=0.0, ge=0, allow_inf_nan=False),
        caller: Caller = gateway,
    ) -> Response:
        ends = time.monotonic() + min(wait_s, settings.max_wait_s)
        newest = await run_sync(service.gateway)
        while newest.version == version and time.monotonic() < ends:
            await anyio.sleep(min(LOOK_INTERVAL_S, max(0.0, ends - time.monotonic())))
            newest = await run_sync(service.gateway)
        return json_of(newest)

    @router.post(JUDGE, response_model=Judged)
    def judge(caller: Caller = gateway, asked: Sent[Shown] = takes(Shown)) -> Response:
        shown = asked.read()
        return json_of(service.at_gateway.judge(shown.token, shown.project))

    @router.post(USES, status_code=204)
    def used(caller: Caller = gateway, told: Sent[Uses] = takes(Uses)) -> Response:
        service.at_gateway.used(told.read().at)
        return Response(status_code=204)

    return router
