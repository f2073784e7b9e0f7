"""However much is asked, what is let in is answered soon, and everybody else is told at once to come again."""

import asyncio

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from fabric.control.http.errors import RETRY_AFTER_S
from fabric.control.http.lanes import HELD, QUESTIONS, SUBMISSIONS, Lane, Lanes, TooBusy, lane_of, lanes_of
from fabric.control.http.settings import HttpSettings
from tests.asgi import client


def lane(at_work: int = 1, most_waiting: int = 2, patience_s: float = 60.0) -> Lane:
    return Lane("requests", at_work=at_work, most_waiting=most_waiting, patience_s=patience_s)


async def turn(times: int = 3) -> None:
    """Let everything go on that can."""
    for _ in range(times):
        await asyncio.sleep(0)


def test_who_waits_comes_in_in_the_order_of_coming() -> None:
    async def world() -> None:
        narrow, came = lane(), []

        async def ask(name: str) -> None:
            await narrow.enter()
            came.append(name)

        tasks = [asyncio.create_task(ask(name)) for name in "abc"]
        await turn()
        assert (came, narrow.working, narrow.waiting) == (["a"], 1, 2)
        for left in ("ab", "abc"):
            narrow.leave()
            await turn()
            assert "".join(came) == left
        narrow.leave()
        assert (narrow.working, narrow.waiting) == (0, 0)
        await asyncio.gather(*tasks)

    asyncio.run(world())


def test_who_finds_too_many_waiting_is_turned_away_at_once() -> None:
    async def world() -> None:
        narrow = lane(most_waiting=1)
        await narrow.enter()
        waits = asyncio.create_task(narrow.enter())
        await turn()
        with pytest.raises(TooBusy, match="too many requests at the same time: 1 are being answered and 1 wait"):
            await narrow.enter()
        narrow.leave()
        await waits

    asyncio.run(world())


def test_who_has_waited_too_long_is_turned_away_and_the_turn_is_the_next_ones() -> None:
    async def world() -> None:
        hasty = lane(patience_s=0.0)
        await hasty.enter()
        with pytest.raises(TooBusy, match="has waited 0 s for its turn"):
            await hasty.enter()
        assert hasty.waiting == 0
        hasty.leave()
        await hasty.enter()
        assert hasty.working == 1

    asyncio.run(world())


@pytest.mark.parametrize("turn_came", [False, True])
def test_who_hangs_up_while_waiting_keeps_nobody_out(turn_came: bool) -> None:
    async def world() -> None:
        narrow = lane()
        await narrow.enter()
        gone = asyncio.create_task(narrow.enter())
        await turn()
        if turn_came:
            narrow.leave()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        if not turn_came:
            narrow.leave()
        assert (narrow.working, narrow.waiting) == (0, 0)

    asyncio.run(world())


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ("POST /api/fabric/workloads", SUBMISSIONS),
        ("POST /api/jobs/", SUBMISSIONS),
        ("GET /api/fabric/workloads", QUESTIONS),
        ("POST /api/fabric/workloads/a/stop", QUESTIONS),
        ("POST /api/fabric/workloads/a/report", QUESTIONS),
        ("GET /api/fabric/workloads/a/logs", HELD),
        ("GET /api/jobs/a/logs", HELD),
        ("GET /api/gateway/snapshot", HELD),
        ("GET /mlflow/api", HELD),
        ("GET /dashboard/a/index.html", HELD),
        ("PUT /api/packages/gcs/_ray_pkg_1.zip", HELD),
        ("GET /api/fabric/health", None),
        ("GET /metrics", None),
    ],
)
def test_new_work_questions_and_what_stays_open_do_not_stand_in_each_others_way(asked: str, kind: str | None) -> None:
    method, _, path = asked.partition(" ")
    assert lane_of({"type": "http", "method": method, "path": path}) == kind


def test_web_sockets_stay_open_and_the_words_of_a_server_are_no_requests() -> None:
    assert lane_of({"type": "websocket", "path": "/api/jobs/a/logs/tail"}) == HELD
    assert lane_of({"type": "lifespan"}) is None


def test_whoever_is_turned_away_is_told_when_to_come_again_and_nothing_is_read_of_what_was_sent() -> None:
    async def world() -> None:
        busy, free = asyncio.Event(), asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            busy.set()
            await free.wait()
            await PlainTextResponse("done")(scope, receive, send)

        lanes = lanes_of(HttpSettings(at_work=1, most_waiting=0))
        async with client(Lanes(slow, lanes)) as people:
            first = asyncio.create_task(people.post("/api/jobs/", content=b"x"))
            await busy.wait()
            refused = await people.post("/api/fabric/workloads", content=b"no json")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, str(RETRY_AFTER_S))
            assert refused.json()["code"] == "unavailable"
            assert "too many submissions at the same time" in refused.json()["message"]
            free.set()
            assert (await people.get("/api/fabric/nodes")).text == "done", "questions have a lane of their own"
            assert (await first).text == "done"
            assert (await people.post("/api/jobs/")).text == "done", "the turn was given back"

    asyncio.run(world())


def test_a_mistake_while_answering_gives_the_turn_back() -> None:
    async def world() -> None:
        async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
            raise ZeroDivisionError

        lanes = lanes_of(HttpSettings(at_work=1, most_waiting=0))
        app = Lanes(wrong, lanes)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await app({"type": "http", "method": "GET", "path": "/api/fabric/nodes"}, None, None)  # type: ignore[arg-type]
        assert lanes[QUESTIONS].working == 0

    asyncio.run(world())
