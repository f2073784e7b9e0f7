"""Web sockets of terminals inside workloads.

Knows nothing of what is typed or shown.
"""

from anyio.to_thread import run_sync
from fastapi import APIRouter, WebSocket

from fabric.api.terminal import SERVED, TERMINAL
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.settings import HttpSettings
from fabric.control.http.standing import LetsIn, Standing
from fabric.control.service import Service
from fabric.control.terminals import Terminals, require_itself, require_owner
from fabric.core.errors import Unavailable


def terminal_router(service: Service, guard: Guard, settings: HttpSettings) -> APIRouter:
    """Routes of both ends of a terminal."""
    router = APIRouter(tags=["workloads"])
    change, tell = (guard.needs(p) for p in (Permission.CHANGE, Permission.REPORT))
    terminals, standing = Terminals(), Standing(service, settings.standing_s)

    @router.websocket(TERMINAL)
    async def typed(socket: WebSocket, name: str, caller: Caller = change) -> None:
        record = await run_sync(service.get, name, caller)
        require_owner(record, caller)
        if not terminals.is_served(name):
            raise Unavailable(f"{name} is {record.state} and has no terminal yet; try again", workload=name)
        await socket.accept()

        def still(caller: Caller) -> None:
            caller.require_workload(record)
            require_owner(record, caller)

        lets_in = LetsIn.of(socket, Permission.CHANGE, still)
        await standing.while_let_in(socket, lets_in, terminals.attach(name, socket))

    @router.websocket(SERVED)
    async def served(socket: WebSocket, name: str, caller: Caller = tell) -> None:
        require_itself(await run_sync(service.get, name, caller), caller)
        await socket.accept()
        await terminals.serve(name, socket)

    return router
