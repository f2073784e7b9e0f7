"""How requests are timed."""

import asyncio

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from fabric.telemetry.http import Timed, request_histogram
from tests.asgi import client


class Small:
    """An application with a route of each kind."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        took = request_histogram(self.registry, "took_seconds")
        self.app = FastAPI()
        self.app.add_route("/plain/{name}", lambda request: PlainTextResponse("x"), ["GET"])
        self.app.get("/fails")(self.fails)
        self.app.get("/streams")(self.streams)
        self.app.add_middleware(Timed, took=lambda: took)

    async def fails(self) -> None:
        raise ZeroDivisionError

    async def streams(self) -> StreamingResponse:
        async def pieces() -> object:
            yield b"a"
            await asyncio.sleep(0.03)
            yield b"b"

        return StreamingResponse(pieces())  # type: ignore[arg-type]

    def count(self, route: str, method: str, status: str) -> float:
        labels = {"route": route, "method": method, "status": status}
        return self.registry.get_sample_value("took_seconds_count", labels) or 0.0


async def test_a_route_of_starlette_is_known_by_its_template() -> None:
    small = Small()
    async with client(small.app) as http:
        for name in "abc":
            await http.get(f"/plain/{name}")
    assert small.count("/plain/{name}", "GET", "2xx") == 3


async def test_what_was_not_foreseen_counts_as_500_and_goes_on() -> None:
    small = Small()
    async with client(small.app) as http:
        with pytest.raises(ZeroDivisionError):
            await http.get("/fails")
    assert small.count("/fails", "GET", "5xx") == 1


async def test_a_stream_is_timed_to_its_first_byte() -> None:
    small = Small()
    async with client(small.app) as http:
        assert (await http.get("/streams")).content == b"ab"
    labels = {"route": "/streams", "method": "GET", "status": "2xx"}
    assert 0 < (small.registry.get_sample_value("took_seconds_sum", labels) or 0.0) < 0.03


async def test_paths_that_lead_nowhere_make_no_series_of_their_own() -> None:
    small = Small()
    async with client(small.app) as http:
        for number in range(20):
            await http.get(f"/guess-{number}")
            await http.request(f"GUESS{number}", "/plain/a")
    assert small.count("other", "GET", "4xx") == 20
    assert "guess" not in generate_latest(small.registry).decode().lower()


async def test_what_is_no_request_is_let_through_untimed() -> None:
    seen: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> None:
        pytest.fail("nothing is sent")

    await Timed(inner, lambda: pytest.fail("nothing is noted"))({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]
    assert seen == ["lifespan"]
