"""Each workload's own Ray dashboard behind control's port and keys.

Knows nothing of what the dashboard shows. Whatever answers there may be under the hand of whoever wrote the workload,
so it is told neither keys nor cookies, and its pages are kept to themselves: they may load and ask only what is below
their own path, open no windows, and set no cookies.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import httpx
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse

from fabric.api.dashboard import DASHBOARD, LINK, VISIT, DashboardLink
from fabric.api.description import fails
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.relaying import Beyond, Relay
from fabric.control.http.visiting import entered, link_to
from fabric.control.service import Service
from fabric.control.visits import Visits
from fabric.core.errors import BadInput
from fabric.scheduler.ports import Door

TIMEOUT = httpx.Timeout(60.0, connect=5.0, pool=5.0)
"""Seconds; a page that profiles a process is silent for some of them."""

METHODS = ("GET", "HEAD")
"""What Ray's pages ask with. What changes a cluster is asked of control, which knows what should run there."""

_ITS_OWN: dict[int | str, dict[str, Any]] = {"default": {"description": "What the Ray dashboard answers"}}
_NOT_PASSED_BACK = ("set-cookie", "clear-site-data", "service-worker-allowed", "refresh", "strict-transport-security",
                    "access-control-allow-origin", "access-control-allow-credentials")  # fmt: skip
"""Headers by which an answer would reach beyond its own path."""
_PATH = re.compile(r"/[!-\[\]-~]*")
"""A path as browsers take it: they remove blanks, and read a backslash as a slash."""
_HOST = re.compile(r"[\w.-]+(:\d+)?|\[[\da-fA-F:.]+\](:\d+)?")


class DashboardProxy:
    """Passes requests on to the heads of workloads."""

    def __init__(self, service: Service, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Remember who knows the heads; nothing is opened before the first request.

        Args:
            service: The use cases.
            transport: What carries the requests instead of the network; for tests.
        """
        self._service = service
        self._relay = Relay(TIMEOUT, transport)
        self._visits = Visits()

    async def close(self) -> None:
        """Close the connections."""
        await self._relay.close()

    def router(self, guard: Guard) -> APIRouter:
        """The routes of the pages, and of the links that lead browsers there."""
        router = APIRouter(tags=["dashboard"])
        change, everybody = (guard.needs(p) for p in (Permission.CHANGE, Permission.PUBLIC))
        visitor = guard.needs_visit(Permission.CHANGE, self._visits)

        @router.post(LINK, response_model=DashboardLink, responses=fails(409))
        def link(request: Request, name: str, caller: Caller = change) -> Response:
            self._service.dashboards.door(name, caller)
            return link_to(name, request, self._visits, page=_root(name), tickets=VISIT)

        @router.get(f"{VISIT}/{{ticket}}", status_code=303, response_class=RedirectResponse)
        def enter(request: Request, ticket: str, caller: Caller = everybody) -> Response:
            return entered(ticket, request, self._visits, _root)

        @router.get(f"{DASHBOARD}/{{name}}", status_code=307, response_class=RedirectResponse)
        def root(name: str, caller: Caller = visitor) -> Response:
            return RedirectResponse(_root(name), 307)

        async def relay(request: Request, name: str, path: str, caller: Caller = visitor) -> Response:
            policy = page_policy(request, _root(name))
            door = await run_sync(self._service.dashboards.door, name, caller)
            answer = await self._relay.pass_on(request, _beyond(name, door))
            kept_inside(answer.headers, _root(name), door.url)
            answer.headers.update(policy)
            return answer

        for method in METHODS:
            router.add_api_route(
                f"{DASHBOARD}/{{name}}/{{path:path}}", relay, methods=[method], response_class=Response,
                responses=fails(409) | _ITS_OWN,
            )  # fmt: skip
        return router


def _root(name: str) -> str:
    return f"{DASHBOARD}/{quote(name, safe='')}/"


def _beyond(name: str, door: Door) -> Beyond:
    headers = {"Authorization": f"Bearer {door.token}"}
    return Beyond(f"the Ray head of {name}", door.url, _root(name)[:-1], headers, without=("cookie", "referer"))


def page_policy(request: Request, root: str) -> Mapping[str, str]:
    """Headers that keep a page to the paths below `root`.

    Raises:
        BadInput: If the request names no host that could stand in a policy.
    """
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise BadInput(f"the header Host must name this server, not {host!r}")
    own = f"{host}{root}"
    return {
        "Content-Security-Policy": (
            f"default-src {own} 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src {own} ws://{own} wss://{own} "
            f"data: blob:; object-src 'none'; base-uri {own}; "
            f"form-action {own}; frame-ancestors 'none'; sandbox allow-scripts allow-same-origin allow-forms "
            "allow-downloads"
        ),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


def kept_inside(headers: MutableHeaders, root: str, url: str) -> None:
    """Take off what reaches beyond the paths below `root`; a redirect of the one at `url` leads there, or nowhere."""
    for header in _NOT_PASSED_BACK:
        del headers[header]
    to = headers.get("location")
    if to is None:
        return
    inner = to.removeprefix(url)
    # What browsers would read as a step up, however it is written, would lead out again.
    if _PATH.fullmatch(inner) and ".." not in unquote(inner):
        headers["location"] = root[:-1] + inner
    else:
        del headers["location"]
