"""Notebook servers inside workloads: reached by their owners alone, through the workload's own call."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient, WebSocketDenialResponse
from websockets.asyncio.server import ServerConnection, unix_serve

from fabric.api.notebook import LINK, SOCKETS, Opens, Serves
from fabric.api.terminal import REFUSED, REPLACED
from fabric.control.http import errors
from fabric.control.http.auth import VISIT_COOKIE, Guard
from fabric.control.http.joining import joined
from fabric.control.http.notebook import NotebookProxy
from fabric.control.http.settings import HttpSettings
from fabric.control.tunnels import Tunnels, Way, sweep_sockets
from fabric.control.visits import Visit
from fabric.core.errors import Unavailable
from tests.unit.control.test_terminals import LEAVES, End, settled
from tests.unit.control.world import BASE, World

OWN = {"Origin": BASE}
NOW = 2_000_000_000.0


class Workload:
    """The end of a workload, whose server listens on a socket of the file system."""

    def __init__(self, tunnels: Tunnels, name: str, server: Path) -> None:
        self.tunnels, self.name, self.server, self.end = tunnels, name, server, Dialling(self._asked)
        self.tasks = [asyncio.create_task(tunnels.serve(name, self.end))]
        self.end.say(Serves(token="the-servers-own").model_dump_json())

    def _asked(self, text: str) -> None:
        self.tasks.append(asyncio.create_task(self._carry(Opens.model_validate_json(text).stream)))

    async def _carry(self, stream: str) -> None:
        reader, writer = await asyncio.open_unix_connection(self.server)
        end = Piping(writer)
        back = asyncio.create_task(_pump(reader, end))
        with suppress(ConnectionError):
            await self.tunnels.carry(self.name, stream, end)
        back.cancel()
        writer.close()

    async def leave(self) -> None:
        self.end.leave()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Dialling(End):
    """Hears what is asked for."""

    def __init__(self, asked: Callable[[str], None]) -> None:
        super().__init__()
        self._asked = asked

    async def send_text(self, data: str) -> None:
        await super().send_text(data)
        self._asked(data)


class Piping(End):
    """A stream of a workload: what control sends goes to the server."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__()
        self._writer = writer

    async def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


async def _pump(reader: asyncio.StreamReader, end: End) -> None:
    while piece := await reader.read(4096):
        end.say(piece)
    end.leave()


class FakeServer:
    """Answers with what it was asked, and remembers it."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.answer = "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\n"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                length = int(
                    dict(line.lower().split(": ") for line in head.splitlines()[1:-1]).get("content-length", 0)
                )
                body = await reader.readexactly(length) or b"page"
                writer.write(f"{self.answer}Content-Length: {len(body)}\r\n\r\n".encode() + body)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[FakeServer, Path]]:
    fake, path = FakeServer(), tmp_path / "s"
    server = await asyncio.start_unix_server(fake.connected, path)
    yield fake, path
    server.close()
    await settled()


class Site:
    """Control's routes of notebooks alone, in a world where Ada and Bob have a job each."""

    def __init__(self, world: World) -> None:
        for name in ("ada", "bob"):
            world.person(name, "admin", "alpha")
        for name, owner in (("mine", "ada"), ("theirs", "bob")):
            answer = world.client(owner).post("/api/fabric/workloads", json={"spec": {"name": name, "entrypoint": "x"}})
            assert answer.is_success
        self.world = world
        settings = HttpSettings(standing_s=0.01)
        self.proxy = NotebookProxy(world.service, settings)
        self.app = FastAPI()
        self.app.include_router(self.proxy.router(Guard(world.service, settings)))
        errors.install(self.app)

    @asynccontextmanager
    async def browser(self, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """Somebody who asks."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers) as client:
            yield client


@pytest.fixture
async def site(make_world: Callable[..., World]) -> AsyncIterator[Site]:
    site = Site(make_world(anonymous=False))
    yield site
    await site.proxy.close()


async def test_requests_reach_the_server_with_its_own_token_and_without_our_keys(
    site: Site, served: tuple[FakeServer, Path]
) -> None:
    fake, path = served
    workload = Workload(site.proxy._tunnels, "mine", path)
    await settled()
    async with site.browser("ada") as ada:
        answers = [await ada.get("/notebook/mine/lab?a=b%2Fc", headers={"Cookie": "fabric_console=x", "Referer": BASE})]
        answers.append(await ada.post("/notebook/mine/api/contents", content=b"x" * 100_000))
    assert [(answer.status_code, len(answer.content)) for answer in answers] == [(200, 4), (200, 100_000)]
    assert "set-cookie" not in answers[0].headers
    policy = answers[0].headers["content-security-policy"]
    assert "connect-src 127.0.0.1:8270/notebook/mine/ ws://127.0.0.1:8270/notebook/mine/" in policy
    assert fake.heads[0].startswith("GET /notebook/mine/lab?a=b%2Fc HTTP/1.1\r\n")
    said = "".join(fake.heads).lower()
    assert "authorization: token the-servers-own" in said
    assert not [word for word in ("bearer", "cookie", "referer", "origin") if word in said]
    await workload.leave()


@pytest.mark.parametrize(
    ("to", "location"),
    [
        ("/notebook/mine/lab?x=1", "/notebook/mine/lab?x=1"),
        ("http://localhost/notebook/mine/tree", "/notebook/mine/tree"),
        ("/notebook/mine-too/lab", None),
        ("/notebook/mine/../theirs/lab", None),
        ("http://evil.example/", None),
    ],
)
async def test_no_redirect_leads_out(
    site: Site, served: tuple[FakeServer, Path], to: str, location: str | None
) -> None:
    served[0].answer = f"HTTP/1.1 302 Found\r\nLocation: {to}\r\n"
    workload = Workload(site.proxy._tunnels, "mine", served[1])
    await settled()
    async with site.browser("ada") as ada:
        answer = await ada.get("/notebook/mine/")
    assert (answer.status_code, answer.headers.get("location")) == (302, location)
    await workload.leave()


async def test_a_browser_comes_with_a_ticket_and_changes_things_from_its_own_pages_alone(
    site: Site, served: tuple[FakeServer, Path]
) -> None:
    workload = Workload(site.proxy._tunnels, "mine", served[1])
    await settled()
    async with site.browser("ada") as ada, site.browser() as browser:
        link = (await ada.post(LINK.format(name="mine"), json={})).json()["path"]
        entered = await browser.get(link)
        assert (entered.status_code, entered.headers["location"]) == (303, "/notebook/mine/")
        assert f"{VISIT_COOKIE}=" in entered.headers["set-cookie"]
        assert "Path=/notebook/mine/" in entered.headers["set-cookie"]
        assert (await browser.get("/notebook/mine/lab")).text == "page"
        changed = [
            (await browser.post("/notebook/mine/api/kernels", headers=headers)).status_code
            for headers in (OWN, {}, {"Origin": "http://evil.example"}, {"Origin": "null"})
        ]
        assert changed == [200, 403, 403, 403]
        assert (await browser.get(link)).status_code == 404
        site.world.records.revoke("ada's")
        assert (await browser.get("/notebook/mine/lab")).status_code == 401
    await workload.leave()


@pytest.mark.parametrize(
    ("origin", "status"),
    [(BASE, 503), ("http://evil.example", 403), ("http://127.0.0.1:9999", 403), (None, 403)],
)
def test_pages_of_others_open_no_web_socket_with_a_visit(
    make_world: Callable[..., World], origin: str | None, status: int
) -> None:
    site = Site(make_world(anonymous=False))
    word, _ = site.proxy._visits.enter(site.proxy._visits.ticket(Visit("mine", "ada")))
    headers = {"Host": "127.0.0.1:8270", "Cookie": f"{VISIT_COOKIE}={word}"} | ({"Origin": origin} if origin else {})
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        TestClient(site.app).websocket_connect("/notebook/mine/api/kernels/1/channels", headers=headers),
    ):
        pass
    assert refused.value.status_code == status


async def test_nobody_but_its_owner_comes_near_it(site: Site, served: tuple[FakeServer, Path]) -> None:
    fake, path = served
    workload = Workload(site.proxy._tunnels, "mine", path)
    await settled()
    site.world.issue("own", "workload", "alpha", workload="mine")
    site.world.issue("root", "admin")
    for key, status in (("bob", 403), ("root", 403), ("own", 403), (None, 401)):
        async with site.browser(key) as other:
            assert (await other.get("/notebook/mine/lab")).status_code == status
            assert (await other.post(LINK.format(name="mine"), json={})).status_code == status
    assert fake.heads == []
    await workload.leave()


async def test_what_serves_nothing_or_has_ended_says_so(site: Site) -> None:
    async with site.browser("ada") as ada:
        assert (await ada.post(LINK.format(name="mine"), json={})).status_code == 503
        assert (await ada.get("/notebook/nobody/lab")).status_code == 404
        site.world.run("mine")
        site.world.end("mine")
        assert (await ada.get("/notebook/mine/lab")).status_code == 409


async def test_a_workload_that_leaves_ends_what_goes_through_it(tmp_path: Path) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.read()

    tunnels, silent = Tunnels(), tmp_path / "s"
    server = await asyncio.start_unix_server(say_nothing, silent)
    workload = Workload(tunnels, "mine", silent)
    await settled()
    way = tunnels.way("mine")
    assert (way.token, way.path.parent.stat().st_mode & 0o777) == ("the-servers-own", 0o700)
    assert "the-servers-own" not in repr(way)
    reader, writer = await asyncio.open_unix_connection(way.path)
    writer.write(b"hello")
    await asyncio.sleep(0.02)
    await workload.leave()
    with suppress(ConnectionError):
        assert await reader.read() == b""
    assert not way.path.exists()
    with pytest.raises(Unavailable):
        tunnels.way("mine")
    writer.close()
    server.close()


async def test_streams_that_nobody_asked_for_are_closed() -> None:
    tunnels, end = Tunnels(), End()
    await tunnels.carry("mine", "made-up", end)
    assert end.closed == REFUSED


async def test_a_workload_that_does_not_say_what_opens_its_server_is_closed() -> None:
    tunnels, end = Tunnels(), End()
    end.say("hello")
    await tunnels.serve("mine", end)
    assert end.closed == REFUSED


async def test_a_newer_call_takes_the_place_of_the_last_one(served: tuple[FakeServer, Path]) -> None:
    tunnels = Tunnels()
    first = Workload(tunnels, "mine", served[1])
    await settled()
    second = Workload(tunnels, "mine", served[1])
    await settled()
    assert (first.end.closed, second.end.closed) == (REPLACED, None)
    assert tunnels.way("mine").path.exists()
    await first.leave()
    await second.leave()


class Browser(End):
    """A browser's web socket, not yet accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.scope = {
            "query_string": b"session_id=1", "subprotocols": ["v1.kernel"], "raw_path": b"/notebook/mine/api/x%20y",
        }  # fmt: skip
        self.accepted: str | None = None

    async def accept(self, subprotocol: str | None) -> None:
        self.accepted = subprotocol


def left(folder: Path, age_s: float = 100.0) -> Path:
    """A folder as a process leaves it that was killed."""
    folder.mkdir()
    (folder / "socket").touch()
    os.utime(folder, (NOW - age_s, NOW - age_s))
    return folder


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for that of a socket, which may have a hundred characters in all."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        yield Path(folder)


async def test_what_killed_processes_left_is_swept(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    tunnels, end = Tunnels(), End()
    serving = asyncio.create_task(tunnels.serve("mine", end))
    end.say(Serves(token="x").model_dump_json())
    await settled()
    held = tunnels.way("mine").path.parent
    os.utime(held, (NOW - 100.0, NOW - 100.0))
    others, young = left(short / "fabric-0123456789"), left(short / f"{SOCKETS}young", age_s=10.0)
    dead = left(short / f"{SOCKETS}dead")
    link = short / f"{SOCKETS}link"
    link.symlink_to(others)
    assert held.name.startswith(SOCKETS)
    sweep_sockets(NOW)
    assert not dead.exists()
    assert {held, others, young, link} == set(short.iterdir())
    assert [folder.joinpath("socket").exists() for folder in (held, others, young)] == [True] * 3
    end.leave()
    await serving
    assert not held.exists()


@pytest.mark.slow
async def test_a_web_socket_is_joined_with_its_path_its_protocol_and_its_end(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def echo(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        seen.append((request.path, request.headers["Authorization"], request.headers.get("Origin")))
        async for message in connection:
            await connection.send(message)
            if message == "bye":
                await connection.close(4000, "kernel died")

    browser, path = Browser(), tmp_path / "s"
    async with unix_serve(echo, str(path), subprotocols=["v1.kernel"]):
        joining = asyncio.create_task(joined(browser, Way(path, "the-servers-own")))  # type: ignore[arg-type]
        browser.say(b"\x00\x01", "words", "bye")
        await asyncio.wait_for(joining, 5)
    assert (browser.accepted, browser.got, browser.closed) == ("v1.kernel", [b"\x00\x01", "words", "bye"], 4000)
    assert seen == [("/notebook/mine/api/x%20y?session_id=1", "token the-servers-own", None)]


async def test_where_the_server_opens_none_the_browser_is_not_accepted(tmp_path: Path) -> None:
    browser = Browser()
    with pytest.raises(Unavailable, match="opens no web socket"):
        await joined(browser, Way(tmp_path / "nobody", "t"))  # type: ignore[arg-type]
    assert (browser.accepted, LEAVES["type"]) == (None, "websocket.disconnect")
