"""Notebook servers inside workloads behind control's port and keys, for who submitted the workload.

Knows nothing of what is in a notebook. Its pages run what their owner types in his name, so control lets nobody else
near them; and a browser that comes with the cookie of a visit must come from these pages, as those of others could make
it send requests too. What answers there is under the hand of whoever wrote the workload, so it is told neither our keys
nor cookies, and its pages are kept to their own paths, as those of `fabric.control.http.dashboard`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response, WebSocket
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse

from fabric.api.dashboard import DashboardLink
from fabric.api.description import fails
from fabric.api.notebook import LINK, NOTEBOOK, SERVED, STREAM, VISIT
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import VISIT_COOKIE, Guard, key_of
from fabric.control.http.dashboard import kept_inside, page_policy
from fabric.control.http.joining import joined
from fabric.control.http.relaying import Beyond, Relay
from fabric.control.http.settings import HttpSettings
from fabric.control.http.standing import LetsIn, Standing
from fabric.control.http.visiting import entered, link_to
from fabric.control.service import Service
from fabric.control.terminals import require_itself, require_owner
from fabric.control.tunnels import Tunnels, Way
from fabric.control.visits import Visits
from fabric.core.errors import Denied
from fabric.workloads.record import Record

TIMEOUT = httpx.Timeout(600.0, connect=15.0, pool=15.0)
"""Seconds; a large file may be saved, and each connection is one through the workload's own call."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
"""What notebook servers answer to."""
INSIDE = "http://localhost"
"""What the server is told that it is called."""

_ITS_OWN: dict[int | str, dict[str, Any]] = {"default": {"description": "What the notebook server answers"}}
_SAFE = frozenset({"GET", "HEAD"})


class NotebookProxy:
    """Passes requests on to notebook servers inside workloads."""

    def __init__(
        self,
        service: Service,
        settings: HttpSettings,
        transport: Callable[[Path], httpx.AsyncBaseTransport] = lambda path: httpx.AsyncHTTPTransport(
            uds=str(path),
            # Plain HTTP: certificates only take time to load.
            verify=False,
        ),
    ) -> None:
        """Remember who knows the workloads; nothing is opened before the first of them calls.

        Args:
            service: The use cases.
            settings: How often whoever looks is looked at again.
            transport: What carries requests to a socket of the file system; for tests.
        """
        self._service, self._transport = service, transport
        self._standing = Standing(service, settings.standing_s)
        self._tunnels, self._visits = Tunnels(), Visits()
        self._relays: dict[Path, Relay] = {}

    async def close(self) -> None:
        """Close the connections."""
        for path in tuple(self._relays):
            await self._relays.pop(path).close()

    def router(self, guard: Guard) -> APIRouter:
        """The routes of the pages, of the links that lead browsers there, and of the workloads that serve them."""
        router = APIRouter(tags=["notebook"])
        change, everybody = (guard.needs(p) for p in (Permission.CHANGE, Permission.PUBLIC))
        visitor = guard.needs_visit(Permission.CHANGE, self._visits)

        @router.post(LINK, response_model=DashboardLink, responses=fails(409))
        async def link(request: Request, name: str, caller: Caller = change) -> Response:
            await self._way(name, caller)
            return link_to(name, request, self._visits, page=_root(name), tickets=VISIT)

        @router.get(f"{VISIT}/{{ticket}}", status_code=303, response_class=RedirectResponse)
        def enter(request: Request, ticket: str, caller: Caller = everybody) -> Response:
            return entered(ticket, request, self._visits, _root)

        @router.get(f"{NOTEBOOK}/{{name}}", status_code=307, response_class=RedirectResponse)
        def root(name: str, caller: Caller = visitor) -> Response:
            return RedirectResponse(_root(name), 307)

        async def relay(request: Request, name: str, path: str, caller: Caller = visitor) -> Response:
            _require_own_page(request)
            policy = page_policy(request, _root(name))
            _, way = await self._way(name, caller)
            answer = await (await self._relay(way)).pass_on(request, _beyond(name, way))
            _from_its_root(answer.headers, name)
            kept_inside(answer.headers, _root(name), INSIDE)
            answer.headers.update(policy)
            return answer

        for method in METHODS:
            router.add_api_route(
                f"{NOTEBOOK}/{{name}}/{{path:path}}", relay, methods=[method], response_class=Response,
                responses=fails(409) | _ITS_OWN,
            )  # fmt: skip

        router.add_api_websocket_route(f"{NOTEBOOK}/{{name}}/{{path:path}}", self._talking(visitor))
        self._add_served(router, guard)
        return router

    def _talking(self, visitor: Any) -> Callable[..., Any]:
        async def talk(socket: WebSocket, name: str, path: str, caller: Caller = visitor) -> None:
            _require_own_page(socket)
            record, way = await self._way(name, caller)

            def still(caller: Caller) -> None:
                caller.require_workload(record)
                require_owner(record, caller)

            visit = self._visits.find(socket.cookies.get(VISIT_COOKIE, ""), name)
            lets_in = LetsIn.of(socket, Permission.CHANGE, still)
            if visit is not None and lets_in.key is None:
                lets_in = LetsIn(visit.key, visit.project, Permission.CHANGE, still)
            await self._standing.while_let_in(socket, lets_in, joined(socket, way))

        return talk

    def _add_served(self, router: APIRouter, guard: Guard) -> None:
        tell = guard.needs(Permission.REPORT)

        @router.websocket(SERVED)
        async def served(socket: WebSocket, name: str, caller: Caller = tell) -> None:
            require_itself(await run_sync(self._service.get, name, caller), caller)
            await socket.accept()
            await self._tunnels.serve(name, socket)

        @router.websocket(STREAM)
        async def stream(socket: WebSocket, name: str, stream: str, caller: Caller = tell) -> None:
            require_itself(await run_sync(self._service.get, name, caller), caller)
            await socket.accept()
            await self._tunnels.carry(name, stream, socket)

    async def _way(self, name: str, caller: Caller) -> tuple[Record, Way]:
        """The workload, and how its server is reached.

        Raises:
            NotFound: If there is no such workload.
            Denied: If it is somebody else's.
            Conflict: If it has ended.
            Unavailable: If it serves no notebook.
        """
        record = await run_sync(self._service.get, name, caller)
        require_owner(record, caller)
        return record, self._tunnels.way(name)

    async def _relay(self, way: Way) -> Relay:
        # Taken out before any is closed: another request may come to them meanwhile.
        gone = [self._relays.pop(known) for known in tuple(self._relays) if not known.parent.is_dir()]
        if way.path not in self._relays:
            self._relays[way.path] = Relay(TIMEOUT, self._transport(way.path))
        found = self._relays[way.path]
        for relay in gone:
            await relay.close()
        return found


def _root(name: str) -> str:
    return f"{NOTEBOOK}/{quote(name, safe='')}/"


def _from_its_root(headers: MutableHeaders, name: str) -> None:
    """Write a redirect as a path below the server's own root, which `kept_inside` takes for control's."""
    if (to := headers.get("location")) is not None:
        headers["location"] = to.removeprefix(INSIDE).removeprefix(_root(name)[:-1])


def _beyond(name: str, way: Way) -> Beyond:
    headers = {"Authorization": f"token {way.token}"}
    return Beyond(f"the notebook of {name}", INSIDE, "", headers, without=("cookie", "referer", "origin"))


def _require_own_page(connection: HTTPConnection) -> None:
    """Refuse what pages of others make a browser send that holds a visit.

    Raises:
        Denied: If it comes from one, or does not say from where.
    """
    if key_of(connection) is not None or connection.scope.get("method") in _SAFE:
        return
    origin = connection.headers.get("origin")
    if origin is None or urlsplit(origin).netloc != connection.headers.get("host"):
        raise Denied("what changes a notebook must come from its own pages, or with a key")
