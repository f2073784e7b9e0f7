"""Who is logged in, and how often a log-in may fail."""

import asyncio

from fabric.console.sessions import Failures, Sessions
from fabric.sdk import AsyncClient


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def client() -> AsyncClient:
    return AsyncClient("http://127.0.0.1:1", "k")


async def test_a_session_lasts_while_it_is_used_and_ends_when_told() -> None:
    clock = Clock()
    sessions = Sessions(10.0, clock)
    word = sessions.begin(client(), "k", "somebody")
    for _ in range(3):
        clock.at += 9
        found = sessions.find(word)
        assert found is not None
        assert "k'" not in repr(found)
    assert (sessions.find("other"), sessions.find(None)) == (None, None)
    await sessions.end(word)
    assert sessions.find(word) is None
    forgotten = sessions.begin(client(), "k", "somebody")
    clock.at += 11
    assert sessions.find(forgotten) is None


async def test_connections_of_those_who_left_are_closed_when_somebody_comes() -> None:
    clock, closed = Clock(), []

    class Remembering(AsyncClient):
        async def close(self) -> None:
            closed.append(self)

    sessions = Sessions(10.0, clock)
    gone = Remembering("http://127.0.0.1:1", "k")
    sessions.begin(gone, "k", "somebody")
    clock.at += 11
    word = sessions.begin(client(), "k", "another")
    await asyncio.sleep(0)
    assert closed == [gone]
    assert sessions.find(word) is not None


def test_failures_are_counted_by_source_and_forgotten_in_time() -> None:
    clock = Clock()
    failures = Failures(2, 100.0, clock)
    failures.add("a")
    clock.at = 30
    failures.add("a")
    assert (failures.wait_s("a"), failures.wait_s("b")) == (70.0, 0.0)
    clock.at = 101
    assert failures.wait_s("a") == 0.0
