"""Who sends a request, and whether its route lets such a caller in.

Knows nothing of what the routes do. Every route declares one `Permission` through `needs`; `require_declared` finds
those that do not.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol
from urllib.parse import urlsplit

from anyio.to_thread import run_sync
from fastapi import Depends
from fastapi.dependencies.models import Dependant
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute

from fabric.api.people import PROJECT_HEADER
from fabric.control.callers import LOCAL_ADMIN, Caller, Permission, Role
from fabric.control.http.failures import SharedFailures
from fabric.control.http.settings import HttpSettings
from fabric.control.visits import Visits
from fabric.core.errors import Denied, Unauthenticated

HEADERS = ("authorization", "x-ray-authorization")
"""Where a key may be, the first one first; the second passes through proxies that use the first themselves."""

VISIT_COOKIE = "fabric-visit"
"""Cookie with the word of a visit; for the paths of one workload only."""

_BEARER = "bearer "


class FindsCallers(Protocol):
    """Recognises keys."""

    def caller_of(self, key: str, project: str | None = None) -> Caller:
        """Who presents `key`, in the project that he names where he may act in several.

        Raises:
            Denied: If he may not act there.
            Unauthenticated: If nobody issued it, or it has expired.
        """
        ...


class Needs:
    """A dependency that lets in callers with one permission, and gives the route its caller."""

    def __init__(
        self, permission: Permission, service: FindsCallers, settings: HttpSettings, failures: SharedFailures
    ) -> None:
        self.permission = permission
        self._service = service
        self._settings = settings
        self._failures = failures

    async def __call__(self, connection: HTTPConnection) -> Caller:
        """The caller of `connection`.

        Raises:
            Unauthenticated: If there is no valid key where one is needed.
            Denied: If the caller may not do what the route does.
            TooOften: If too many keys that open nothing came from where it comes from.
        """
        key = key_of(connection)
        if key is not None:
            caller = await run_sync(self._recognised, connection, key, connection.headers.get(PROJECT_HEADER))
        elif self.permission is Permission.PUBLIC:
            return NOBODY
        else:
            caller = self._local(connection)
        caller.require(self.permission)
        return caller

    def _recognised(self, connection: HTTPConnection, key: str, project: str | None) -> Caller:
        """Who presents a key, in the project that he names.

        Raises:
            TooOften: If too many failed from there.
            Unauthenticated: If nobody does.
        """
        address = connection.client.host if connection.client else ""
        self._failures.check(address, key)
        try:
            caller = self._service.caller_of(key, project)
        except Unauthenticated:
            self._failures.failed(address)
            raise
        self._failures.got_in(address, key)
        return caller

    def _local(self, connection: HTTPConnection) -> Caller:
        """Who asks without a key: the local administrator, if the site trusts this machine.

        Raises:
            Unauthenticated: If it does not.
        """
        if not self._settings.anonymous:
            raise Unauthenticated(
                "a key is needed: send it as `Authorization: Bearer KEY`. The site's administrator issues keys."
            )
        _require_no_web_page(connection, self._settings.hosts)
        return LOCAL_ADMIN


class NeedsVisit(Needs):
    """The same for what browsers show of one workload, the path's `name`: the word of a visit does for a key."""

    visits: Visits

    async def __call__(self, connection: HTTPConnection) -> Caller:
        """The caller of `connection`, or on whose behalf it comes.

        Raises:
            Unauthenticated: If there is neither a valid key nor a visit where one is needed.
            Denied: If the caller may not do what the route does.
            TooOften: If too many keys that open nothing came from where it comes from.
        """
        name = connection.path_params["name"]
        visit = self.visits.find(connection.cookies.get(VISIT_COOKIE, ""), name)
        if visit is not None and key_of(connection) is None:
            caller = await run_sync(self._recognised, connection, visit.key, visit.project)
            caller.require(self.permission)
            return caller
        return await super().__call__(connection)


NOBODY = Caller("nobody", Role.VIEWER, project="", workload="")
"""Caller of public routes without a key; within its reach is nothing."""


def key_of(connection: HTTPConnection) -> str | None:
    """The key that came with a request; None if there is none.

    Raises:
        Unauthenticated: If there is a header for it that is not of the form `Bearer KEY`.
    """
    for name in HEADERS:
        value = connection.headers.get(name)
        if value is not None:
            if not value.lower().startswith(_BEARER) or not value[len(_BEARER) :].strip():
                raise Unauthenticated(f"the header {name} must be `Bearer KEY`")
            return value[len(_BEARER) :].strip()
    return None


def _require_no_web_page(connection: HTTPConnection, hosts: Iterable[str]) -> None:
    """Refuse what a page of somebody else makes a browser on this machine send.

    Such a request comes from this machine too, but carries the page's origin, or the page's name in `Host` where the
    name was made to point here.

    Raises:
        Denied: If it does.
    """
    host = connection.headers.get("host", "")
    if urlsplit(f"//{host}").hostname not in set(hosts):
        raise Denied(f"requests without a key must name this machine, such as 127.0.0.1, not {host!r}; or send a key")
    if connection.headers.get("sec-fetch-mode") == "navigate" and connection.scope.get("method") == "GET":
        # A link that a person followed: it changes nothing, and the page it came from cannot read the answer.
        return
    origin = connection.headers.get("origin")
    site = connection.headers.get("sec-fetch-site", "none")
    if (origin is not None and urlsplit(origin).netloc != host) or site not in {"none", "same-origin"}:
        raise Denied("requests that a web page of another origin sends need a key")


def permission_of(route: BaseRoute) -> Permission | None:
    """The permission that a route declares; None if it declares none."""
    found = [call.permission for call in dependencies_of(route) if isinstance(call, Needs)]
    return found[0] if found else None


def dependencies_of(route: BaseRoute) -> Iterator[Callable[..., object] | None]:
    """What a route depends on, and what that depends on."""
    dependant = getattr(route, "dependant", None)
    return _calls(dependant) if dependant else iter(())


def _calls(dependant: Dependant) -> Iterator[Callable[..., object] | None]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)


class Guard:
    """Makes the dependency of a route: `look = guard.needs(Permission.LOOK)`, then `caller: Caller = look`."""

    def __init__(self, service: FindsCallers, settings: HttpSettings) -> None:
        self._service = service
        self._settings = settings
        self._failures = SharedFailures(settings.max_failed_logins)

    def needs(self, permission: Permission) -> Any:
        """Let in callers with `permission` and give the route its caller."""
        return Depends(Needs(permission, self._service, self._settings, self._failures))

    def needs_visit(self, permission: Permission, visits: Visits) -> Any:
        """The same on routes of one workload, its `name` in the path, where browsers come with the word of a visit."""
        needs = NeedsVisit(permission, self._service, self._settings, self._failures)
        needs.visits = visits
        return Depends(needs)


def require_declared(routes: Iterable[BaseRoute]) -> None:
    """Check that every route declares what it asks of its caller.

    Raises:
        ValueError: Naming the paths that do not; a mistake of ours, found when the application is made.
    """
    undeclared = [getattr(route, "path", repr(route)) for route in routes if permission_of(route) is None]
    if undeclared:
        raise ValueError(f"routes without a permission: {', '.join(undeclared)}")
