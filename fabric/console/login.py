"""The page that asks for a key, and the requests that begin and end a session.

Knows nothing of the other pages. It works without scripts.
"""

from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from fabric.config import env
from fabric.console.guard import COOKIE, LOGIN, host_of, word_of
from fabric.console.markup import Markup, join, tag
from fabric.console.sessions import Failures, Sessions
from fabric.console.settings import ConsoleSettings
from fabric.console.words import duration, problem
from fabric.core.errors import Denied, FabricError, Unauthenticated
from fabric.sdk import AsyncClient

LONGEST_KEY = 4096
"""Letters of a key at most; tokens of other issuers are long."""
LARGEST_FORM = 16_384
"""Bytes of a log-in at most."""

MakeClient = Callable[[str], AsyncClient]
"""Makes the client of somebody with a key."""


class Doors:
    """Log in, log out, and whether the console is well."""

    def __init__(self, settings: ConsoleSettings, sessions: Sessions, state: Path, client: MakeClient) -> None:
        """Remember what log-ins need.

        Args:
            settings: Limits, and whether this machine is trusted.
            sessions: Where people are remembered.
            state: Folder with the local administrator's key, where this machine is trusted.
            client: Makes clients.
        """
        self._settings, self._sessions, self._state, self._client = settings, sessions, state, client
        self._failures = Failures(settings.most_failures, settings.failures_s)

    async def health(self, request: Request) -> Response:
        """Say that the console answers."""
        return JSONResponse({"status": "ok"})

    async def show(self, request: Request) -> Response:
        """The form."""
        if self._sessions.find(word_of(request.headers)) is not None:
            return RedirectResponse("/", 303)
        return self._form(request, "")

    async def enter(self, request: Request) -> Response:
        """Begin a session, if control knows the key."""
        source = request.client.host if request.client else ""
        if wait_s := self._failures.wait_s(source):
            said = f"Too many log-ins failed from here. Try again in {duration(wait_s)}."
            return self._form(request, said, 429)
        key, name = await self._shown(request)
        if not key:
            return self._form(request, "Enter a key.", 400)
        client = self._client(key)
        try:
            seen = await client.overview()
        except FabricError as error:
            await client.close()
            return self._refused(request, error, source)
        word = self._sessions.begin(client, key, name or f"somebody at {seen.site}")
        answer = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, word, httponly=True, samesite="strict", secure=secure, path="/")
        return answer

    async def leave(self, request: Request) -> Response:
        """End the session."""
        await self._sessions.end(word_of(request.headers))
        answer = RedirectResponse(LOGIN, 303)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return answer

    async def _shown(self, request: Request) -> tuple[str, str]:
        """The key that a form holds, and what to call the person; empty where it holds none."""
        if int(request.headers.get("content-length", LARGEST_FORM + 1)) > LARGEST_FORM:
            return "", ""
        form = await request.form()
        if form.get("local") and self._trusts(request):
            return env.admin_key(self._state) or "", "local administrator"
        key = str(form.get("key", "")).strip()
        return ("", "") if len(key) > LONGEST_KEY or not key.isascii() else (key, f"key …{key[-4:]}")

    def _refused(self, request: Request, error: FabricError, source: str) -> Response:
        if isinstance(error, Unauthenticated | Denied):
            self._failures.add(source)
            return self._form(request, f"This key opens nothing here: {error.message}", 401)
        return self._form(request, error.message, 503)

    def _trusts(self, request: Request) -> bool:
        local = request.client is not None and request.client.host in {"127.0.0.1", "::1"}
        return self._settings.anonymous and local and host_of(request.headers) in self._settings.hosts

    def _form(self, request: Request, said: str, status: int = 200) -> Response:
        return HTMLResponse(_page(said, self._trusts(request)), status)


def _page(said: str, trusted: bool) -> str:
    key = tag(
        "input", id="key", name="key", type="password", required=True, autofocus=not trusted,
        autocomplete="current-password", maxlength=LONGEST_KEY, spellcheck="false",
    )  # fmt: skip
    by_key = tag(
        "form", tag("label", "Your key", for_="key"), key,
        tag("button", "Log in", type="submit", class_="primary"), method="post", action=LOGIN,
    )  # fmt: skip
    local = tag(
        "form", tag("input", type="hidden", name="local", value="1"),
        tag("button", "Continue as the local administrator", type="submit", class_="primary", autofocus=True),
        tag("p", "This site trusts people on this machine.", class_="quiet"), method="post", action=LOGIN,
    )  # fmt: skip
    body = tag(
        "main", tag("h1", "fabric"), problem(said) if said else None, local if trusted else None, by_key,
        tag("p", "The site's administrator issues keys. The console does what your key allows.", class_="quiet"),
        class_="login",
    )  # fmt: skip
    head = tag(
        "head", tag("meta", charset="utf-8"), tag("title", "Log in · fabric"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("script", src="/static/theme.js"), tag("link", rel="stylesheet", href="/static/console.css"),
    )  # fmt: skip
    return join(Markup("<!doctype html>"), tag("html", head, tag("body", body), lang="en"))
