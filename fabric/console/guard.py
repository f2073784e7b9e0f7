"""What every request passes first: is it logged in, did our own page send it, and which headers go with the answer.

Knows nothing of pages.
"""

from collections.abc import Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fabric.console.sessions import Session, Sessions

COOKIE = "fabric_console"
"""Cookie with the word of a session."""
LOGIN = "/login"
"""Page that asks for a key."""
OPEN = (LOGIN, "/health", "/favicon.ico", "/static/", "/_nicegui/")
"""Paths that need no log-in; those with a slash at the end stand for all below."""
SAFE = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""
SECURE: dict[str, str] = {
    # The page's framework compiles its components in the browser, for which it needs `unsafe-eval`.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Headers of every answer."""


class Guard:
    """ASGI middleware around the whole console."""

    def __init__(self, app: ASGIApp, sessions: Sessions, hosts: Iterable[str] | None) -> None:
        """Remember whom to let in.

        Args:
            app: What is guarded.
            sessions: Who is logged in.
            hosts: Names by which the console may be called; None takes any.
        """
        self._app, self._sessions = app, sessions
        self._hosts = None if hosts is None else frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what may not pass, and let everything else through."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, _with_headers(scope, send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "not allowed"})
        else:
            await refusal(scope, receive, _with_headers(scope, send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._hosts is not None and host_of(headers) not in self._hosts:
            return PlainTextResponse("The console does not answer under this name.", 403)
        if not _from_our_page(scope, headers):
            return PlainTextResponse("A page of another origin sent this request.", 403)
        if _is_open(scope["path"]) or self._sessions.find(word_of(headers)) is not None:
            return None
        if scope.get("method") in SAFE and "text/html" in headers.get("accept", ""):
            return RedirectResponse(LOGIN, 303)
        return PlainTextResponse("Log in first.", 401)


def host_of(headers: Headers) -> str:
    """The host that a request names, without its port; empty if it names none."""
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _is_open(path: str) -> bool:
    return any(path.startswith(name) if name.endswith("/") else path == name for name in OPEN)


def _from_our_page(scope: Scope, headers: Headers) -> bool:
    """Whether no page of another origin made the browser send it; links that people follow change nothing."""
    if scope["type"] == "http" and scope["method"] in SAFE and "/_nicegui_ws/" not in scope["path"]:
        return True
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
    return (origin is None or urlsplit(origin).netloc == headers.get("host", "")) and site in {"same-origin", "none"}


def word_of(headers: Headers) -> str | None:
    """The word in a request's cookie; None if it has none."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value


def session_of(sessions: Sessions, headers: Headers) -> Session | None:
    """Who sends a request; None if nobody who is logged in."""
    return sessions.find(word_of(headers))


def _with_headers(scope: Scope, send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer: MutableMapping[str, Any] = message
            headers = MutableHeaders(scope=answer)
            for name, value in SECURE.items():
                headers.setdefault(name, value)
            if not scope["path"].startswith(("/_nicegui/", "/static/")):
                headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending
