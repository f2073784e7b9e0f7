"""What stays open is closed within moments of its key being revoked or expiring, or of its owner losing the role."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from starlette.datastructures import Headers
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from fabric.api.terminal import REFUSED, SERVED, TERMINAL, Told
from fabric.control.callers import Caller, Permission, Role
from fabric.control.http.standing import LetsIn, Standing
from fabric.core.errors import Denied, Unauthenticated, Unavailable
from tests.unit.control.world import START, World

Loss = Callable[[World], object]


def is_revoked(world: World) -> None:
    world.records.revoke("ada's")


def expires(world: World) -> None:
    world.clock.at += 100


def loses_the_role(world: World) -> None:
    world.records.set_member("ada", "alpha", "viewer")


def leaves_the_project(world: World) -> None:
    world.records.remove_member("ada", "alpha")


def is_disabled(world: World) -> None:
    world.records.disable_user("ada")


@pytest.fixture
def shared(make_world: Callable[..., World]) -> World:
    """Where Ada has a key for ten more seconds, and work that runs."""
    world = make_world(anonymous=False, standing_s=0.01)
    world.person("ada", "member", "alpha", expires=START + 10)
    world.client("ada").post("/api/fabric/workloads", json={"spec": {"name": "mine", "entrypoint": "x"}})
    world.run("mine")
    world.issue("own", "workload", "alpha", workload="mine")
    return world


@contextmanager
def on_one_loop(*clients: TestClient) -> Iterator[None]:
    """Let clients that reach each other through control share an event loop, as they do in life."""
    with start_blocking_portal() as portal:
        for client in clients:
            client.portal = portal
        yield


def end_of(socket: WebSocketTestSession) -> tuple[int, str]:
    """How control closes a socket."""

    def read() -> None:
        while True:
            socket.receive_text()

    with pytest.raises(WebSocketDisconnect) as closed:
        read()
    return closed.value.code, closed.value.reason


@pytest.mark.parametrize("loss", [is_revoked, expires, loses_the_role, leaves_the_project, is_disabled])
def test_a_terminal_is_closed_and_its_shell_hears_that_nobody_looks(shared: World, loss: Loss) -> None:
    own, ada = shared.client("own"), shared.client("ada")
    with on_one_loop(own, ada), own.websocket_connect(SERVED.format(name="mine")) as shell:
        with ada.websocket_connect(TERMINAL.format(name="mine")) as typist:
            assert Told.model_validate_json(shell.receive_text()).attached
            typist.send_bytes(b"ls\n")
            assert shell.receive_bytes() == b"ls\n"
            loss(shared)
            code, reason = end_of(typist)
            assert (code, "ada" in reason) == (REFUSED, True)
        assert Told.model_validate_json(shell.receive_text()).attached is False


@pytest.mark.parametrize("loss", [is_revoked, expires, leaves_the_project])
def test_a_followed_log_is_closed(shared: World, loss: Loss) -> None:
    with shared.client("ada").websocket_connect("/api/jobs/mine/logs/tail") as reader:
        shared.write("mine", "words\n")
        assert reader.receive_text() == "words\n"
        loss(shared)
        assert end_of(reader)[0] == REFUSED


def test_who_may_still_read_goes_on_reading_though_he_may_do_less(shared: World) -> None:
    with shared.client("ada").websocket_connect("/api/jobs/mine/logs/tail") as reader:
        loses_the_role(shared)
        time.sleep(0.05)
        shared.write("mine", "words\n")
        assert reader.receive_text() == "words\n"
        shared.end("mine")
        assert end_of(reader)[0] == 1000


class FakeSocket:
    """An accepted web socket of somebody."""

    def __init__(self, key: str | None) -> None:
        self.headers = Headers({"Authorization": f"Bearer {key}"} if key else {})
        self.closed: tuple[int, str] | None = None

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


class FakeLogins:
    """Answers as a test says, and counts."""

    def __init__(self, *answers: Caller | Exception) -> None:
        self.answers, self.asked = list(answers), 0

    def caller_of(self, key: str, project: str | None = None) -> Caller:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


MEMBER = Caller("k", Role.MEMBER, "alpha")


async def stays(
    logins: FakeLogins, *sockets: FakeSocket, looks: int = 2, still: Callable[[Caller], Any] = lambda caller: None
) -> int:
    """Keep sockets open until they are closed, or for so many looks; how many were not closed."""
    standing, left = Standing(logins, 0.005), 0

    async def work() -> None:
        nonlocal left
        while logins.asked < looks:
            await asyncio.sleep(0.001)
        left += 1

    async with anyio.create_task_group() as tasks:
        for socket in sockets:
            lets_in = LetsIn.of(socket, Permission.CHANGE, still)  # type: ignore[arg-type]
            tasks.start_soon(standing.while_let_in, socket, lets_in, work())  # type: ignore[arg-type]
    return left


async def test_what_nobody_can_look_up_now_stays_open() -> None:
    logins = FakeLogins(Unavailable("the database is away"), MEMBER)
    assert (await stays(logins, FakeSocket("k"), looks=3), logins.asked) == (1, 3)


async def test_many_sockets_of_one_key_share_a_look() -> None:
    logins = FakeLogins(MEMBER)
    assert await stays(logins, *(FakeSocket("k") for _ in range(20)), looks=1) == 20
    assert logins.asked == 1


async def test_without_a_key_there_is_nothing_to_be_revoked() -> None:
    logins = FakeLogins(Unauthenticated("no"))
    assert (await stays(logins, FakeSocket(None), looks=0), logins.asked) == (1, 0)


async def test_a_long_reason_is_cut_to_what_a_web_socket_may_say() -> None:
    socket = FakeSocket("k")

    def still(caller: Caller) -> None:
        raise Denied("ü" * 200)

    assert await stays(FakeLogins(MEMBER), socket, still=still) == 0
    assert socket.closed == (REFUSED, "ü" * 61)
