"""What passes the guard, and with which headers."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from fabric.console.guard import COOKIE, SECURE, Guard
from fabric.console.sessions import Sessions
from fabric.sdk import AsyncClient

BASE = "http://127.0.0.1:8272"
HTML = {"accept": "text/html"}


async def reached(request: Request) -> PlainTextResponse:
    return PlainTextResponse("reached")


def guarded(hosts: tuple[str, ...] | None = None) -> tuple[httpx.AsyncClient, str]:
    """A client of a guarded application that answers anything, and the word of a session."""
    sessions = Sessions(60.0)
    word = sessions.begin(AsyncClient("http://127.0.0.1:1", "k"), "k", "somebody")
    app = Starlette(routes=[Route("/{path:path}", reached, methods=["GET", "POST"])])
    transport = httpx.ASGITransport(Guard(app, sessions, hosts))
    return httpx.AsyncClient(transport=transport, base_url=BASE), word


@pytest.mark.parametrize(
    ("case", "method", "path", "headers", "status"),
    [
        ("the form needs no session", "GET", "/login", {}, 200),
        ("nor do scripts", "GET", "/_nicegui/3/static/x.js", {}, 200),
        ("a page leads a stranger to the form", "GET", "/queue", HTML, 303),
        ("anything else refuses a stranger", "GET", "/queue", {}, 401),
        ("the live channel too", "GET", "/_nicegui_ws/socket.io", HTML, 303),
        ("a path that only begins like an open one", "GET", "/login2", {}, 401),
        ("a foreign page may not log anybody in", "POST", "/login", {"origin": "http://evil.example"}, 403),
        ("nor one of another port", "POST", "/login", {"origin": "http://127.0.0.1:8270"}, 403),
        ("nor one that hides its origin", "POST", "/login", {"origin": "null"}, 403),
        ("nor one that the browser calls another site", "POST", "/login", {"sec-fetch-site": "same-site"}, 403),
        ("our own page may", "POST", "/login", {"origin": BASE, "sec-fetch-site": "same-origin"}, 200),
    ],
)
async def test_a_stranger(case: str, method: str, path: str, headers: dict[str, str], status: int) -> None:
    client, _ = guarded()
    assert (await client.request(method, path, headers=headers)).status_code == status, case


async def test_who_is_logged_in_passes_but_not_from_a_foreign_page() -> None:
    client, word = guarded()
    client.cookies.set(COOKIE, word)
    assert (await client.get("/queue")).text == "reached"
    for foreign in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert (await client.post("/logout", headers=foreign)).status_code == 403
        assert (await client.get("/_nicegui_ws/socket.io", headers=foreign)).status_code == 403


async def test_where_this_machine_is_trusted_no_other_name_is_answered() -> None:
    client, _ = guarded(("127.0.0.1",))
    assert (await client.get("/login")).status_code == 200
    assert (await client.get("/login", headers={"host": "evil.example:8272"})).status_code == 403
    assert (await client.get("/login", headers={"host": "[::1"})).status_code == 403


async def test_every_answer_has_secure_headers_and_pages_are_not_kept() -> None:
    client, _ = guarded()
    for path in ("/login", "/queue"):
        answer = await client.get(path)
        assert {name: answer.headers.get(name) for name in SECURE} == SECURE
        assert answer.headers["cache-control"] == "no-store"
    assert "cache-control" not in (await client.get("/static/console.css")).headers
