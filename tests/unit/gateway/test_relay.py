"""What becomes of a request between client and service."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from fabric.api.openai import DONE
from fabric.gateway.settings import GatewaySettings
from tests.asgi import client
from tests.unit.gateway.world import KEY, SECRET, Service, World, snapshot

AUTH = {"Authorization": f"Bearer {KEY}"}
ASK: dict[str, Any] = {"model": "parrot", "prompt": "hello"}
STREAM = ASK | {"stream": True}


async def ask(world: World, body: Any = None, path: str = "/v1/completions") -> httpx.Response:
    async with client(await world.ready(), **AUTH) as http:
        return await http.post(path, content=body if isinstance(body, bytes) else json.dumps(body or ASK).encode())


def text_of(content: bytes) -> str:
    """The text of a stream, whose events must all be whole and whose last one must be [DONE]."""
    *events, done, rest = content.split(b"\n\n")
    assert (done + b"\n\n", rest) == (DONE, b"")
    parsed = [json.loads(event.removeprefix(b"data: ")) for event in events]
    return "".join(event["choices"][0]["text"] for event in parsed if "choices" in event)


def error_of(content: bytes) -> dict[str, Any]:
    """The error event before [DONE]."""
    error: dict[str, Any] = json.loads(content.split(b"\n\n")[-3].removeprefix(b"data: "))["error"]
    return error


def sends(*parts: bytes, kind: str = "text/event-stream", status: int = 200, breaks: bool = False) -> ASGIApp:
    """A service that sends these bytes, and breaks off after them if it `breaks`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if not breaks:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
    """A service that never answers."""
    await asyncio.Event().wait()


async def vanishes(scope: Scope, receive: Receive, send: Send) -> None:
    """A service that closes the connection without an answer."""


async def test_an_answer_is_passed_on_byte_for_byte(tmp_path: Path) -> None:
    parts = (b'data: {"choices":[{"text":"a"}]}\n\n', b'data: {"choices":[{"text":"b"}]}\n\ndata: [DONE]\n\n')
    answer = await ask(World(tmp_path, {"s1": sends(*parts)}), STREAM)
    assert (answer.status_code, answer.content) == (200, b"".join(parts))
    assert answer.headers["content-type"] == "text/event-stream"


async def test_the_service_gets_its_secret_and_not_the_clients_key(tmp_path: Path) -> None:
    service = Service()
    answer = await ask(World(tmp_path, {"s1": service}))
    [headers] = service.headers
    assert headers["x-fabric-service"] == SECRET
    assert headers["x-request-id"] == answer.headers["x-request-id"]
    assert KEY not in json.dumps(headers)


async def test_an_alias_becomes_the_models_own_name(tmp_path: Path) -> None:
    answer = await ask(World(tmp_path, {"s1": Service()}), ASK | {"model": "parrot@champion"})
    assert (answer.status_code, answer.json()["model"]) == (200, "parrot")


async def test_the_first_event_is_there_before_the_second_is_made(tmp_path: Path) -> None:
    app = await World(tmp_path, {"s1": Service(token_s=0.05)}).ready()
    loop = asyncio.get_running_loop()
    async with client(app, **AUTH) as http, http.stream("POST", "/v1/completions", json=STREAM) as answer:
        came = [loop.time() async for _ in answer.aiter_raw()]
    assert came[-1] - came[0] > 0.15


@pytest.mark.parametrize(
    "cut",
    [
        (b'data: {"choices":[{"text":"a"}]}\n\n',),
        (b'data: {"choices":[{"text":"a"}]}\n\ndata: {"choi',),
        (b'data: {"choices":[{"te', b'xt":"a"}]}\n\ndata: {"choices":[{"text":"b"}]}\n'),
    ],
    ids=["between events", "inside an event", "before the empty line"],
)
@pytest.mark.parametrize("breaks", [True, False], ids=["connection lost", "ended without DONE"])
async def test_a_stream_that_breaks_off_ends_with_an_error_event(
    tmp_path: Path, cut: tuple[bytes, ...], breaks: bool
) -> None:
    answer = await ask(World(tmp_path, {"s1": sends(*cut, breaks=breaks)}), STREAM)
    assert text_of(answer.content) == "a"
    assert error_of(answer.content)["code"] == "stream_broken"


async def test_a_stream_that_breaks_off_is_not_asked_for_again(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": sends(b"data: {}\n\n", breaks=True), "s2": Service()})
    await ask(world, STREAM)
    assert world.transport.asked == ["s1"]


async def test_an_answer_that_is_cut_off_is_told_as_an_error(tmp_path: Path) -> None:
    answer = await ask(World(tmp_path, {"s1": sends(b'{"id": "x', kind="application/json", breaks=True)}))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "stream_broken")


@pytest.mark.parametrize("broken", [None, vanishes, sends(b"no replica", kind="text/plain", status=503)])
async def test_before_the_first_byte_another_endpoint_is_tried(tmp_path: Path, broken: ASGIApp | None) -> None:
    services: dict[str, ASGIApp] = {"s2": Service()} | ({"s1": broken} if broken else {})
    world = World(tmp_path, services, told=snapshot("s1", "s2"))
    answer = await ask(world, STREAM)
    assert (text_of(answer.content), world.transport.asked[:2]) == ("hello", ["s1", "s2"])


async def test_an_endpoint_that_did_not_answer_is_tried_last_for_a_while(tmp_path: Path) -> None:
    world = World(tmp_path, {"s2": Service()}, told=snapshot("s1", "s2"))
    await ask(world)
    await ask(world)
    assert world.transport.asked == ["s1", "s2", "s2"]


async def test_a_connection_that_was_closed_while_idle_is_replaced(tmp_path: Path) -> None:
    service, calls = Service(), []

    async def closes_once(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(scope["path"])
        if len(calls) > 1:
            await service(scope, receive, send)

    answer = await ask(World(tmp_path, {"s1": closes_once}))
    assert (answer.status_code, len(calls)) == (200, 2)


@pytest.mark.parametrize(
    ("services", "hosts"),
    [({}, ()), ({}, ("s1", "s2")), ({"s1": vanishes}, ("s1",))],
    ids=["no endpoint", "none answers", "it hangs up"],
)
async def test_a_model_that_nobody_answers_for_is_503_with_a_time_to_come_back(
    tmp_path: Path, services: dict[str, ASGIApp], hosts: tuple[str, ...]
) -> None:
    answer = await ask(World(tmp_path, services, told=snapshot(*hosts)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_endpoint")
    assert int(answer.headers["retry-after"]) > 0


async def test_plain_text_of_serves_proxy_becomes_an_error_object(tmp_path: Path) -> None:
    answer = await ask(World(tmp_path, {"s1": sends(b"Internal Server Error", kind="text/plain", status=500)}))
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
    assert "Internal Server Error" in answer.json()["error"]["message"]


async def test_a_services_own_error_objects_are_passed_on(tmp_path: Path) -> None:
    answer = await ask(World(tmp_path, {"s1": Service()}), ASK | {"prompt": "x" * 300})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_a_service_that_stays_silent_is_given_up(tmp_path: Path) -> None:
    async def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("silence", request=request)

    world = World(tmp_path, {"s1": hangs})
    world.transport.handle_async_request = silent  # type: ignore[method-assign]
    answer = await ask(world)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")


@pytest.mark.parametrize("body", [ASK | {"max_tokens": 200, "ignore_eos": True, "stream": s} for s in (False, True)])
async def test_a_client_that_leaves_frees_the_service_within_a_second(tmp_path: Path, body: dict[str, Any]) -> None:
    service = Service(token_s=0.01)
    world = World(tmp_path, {"s1": service})
    app = await world.ready()
    async with client(app, **AUTH) as http:
        asking = asyncio.create_task(_first_bytes(http, body))
        if body["stream"]:
            assert await asking, "it was running; it may have ended before anybody could have seen that"
        else:
            await _until(lambda: service.source.num_running == 1, within_s=10.0)
            asking.cancel()
        await _until(lambda: service.source.num_running == 0)
    await _until(lambda: world.gateway.upstream.in_flight.total() == 0)


async def test_a_client_that_leaves_before_any_byte_frees_a_silent_service(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": hangs})
    app = await world.ready()
    async with client(app, **AUTH) as http:
        asking = asyncio.create_task(_first_bytes(http, STREAM))
        await _until(lambda: world.gateway.upstream.in_flight.total() == 1)
        asking.cancel()
        await _until(lambda: world.gateway.upstream.in_flight.total() == 0)


async def test_a_gateway_that_ends_still_ends_its_streams_properly(tmp_path: Path) -> None:
    app = await World(tmp_path, {"s1": Service(token_s=0.02)}).ready()
    sent: list[bytes] = []
    body = json.dumps(STREAM | {"max_tokens": 200, "ignore_eos": True}).encode()
    asked = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in asked:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    scope = {
        "type": "http", "method": "POST", "path": "/v1/completions", "raw_path": b"/v1/completions", "root_path": "",
        "query_string": b"", "headers": [(b"authorization", AUTH["Authorization"].encode())], "scheme": "http",
        "server": ("gateway", 80), "client": ("127.0.0.1", 1), "http_version": "1.1", "asgi": {"version": "3.0"},
    }  # fmt: skip
    serving: asyncio.Task[None] = asyncio.create_task(app(scope, receive, send))  # type: ignore[arg-type] # ASGI
    await _until(lambda: len(sent) > 3)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    content = b"".join(sent)
    assert text_of(content).startswith("hel")
    assert "the gateway is ending" in error_of(content)["message"]


async def test_requests_go_to_the_endpoint_with_the_fewest_under_way(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": Service(token_s=0.005), "s2": Service(token_s=0.005)})
    app = await world.ready()
    async with client(app, **AUTH) as http:
        await asyncio.gather(*(http.post("/v1/completions", json=ASK) for _ in range(6)))
    assert sorted(world.transport.asked) == ["s1"] * 3 + ["s2"] * 3


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({}, ASK, 401, "invalid_api_key"),
        ({"Authorization": "Bearer sk-bad"}, ASK, 401, "invalid_api_key"),
        ({"Authorization": "Bearer sk-bad"}, b"{", 401, "invalid_api_key"),
        (AUTH, ASK | {"model": "crow"}, 404, "model_not_found"),
        (AUTH, {"prompt": "x"}, 400, None),
        (AUTH, {"model": 3}, 400, None),
        (AUTH, [], 400, None),
        (AUTH, b"{", 400, None),
        (AUTH, b"\xff\xfe", 400, None),
        (AUTH, ASK | {"prompt": "x" * 5000}, 413, None),
    ],
)
async def test_what_is_refused_never_reaches_a_service(
    tmp_path: Path, headers: dict[str, str], body: Any, status: int, code: str | None
) -> None:
    world = World(tmp_path, {"s1": Service()}, settings=GatewaySettings(max_body_bytes=4000))
    async with client(await world.ready(), **headers) as http:
        answer = await http.post("/v1/completions", content=body if isinstance(body, bytes) else json.dumps(body))
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert world.transport.asked == []


@pytest.mark.parametrize(("path", "method"), [("/v1/embeddings", "POST"), ("/v2", "GET"), ("/v1/completions", "GET")])
async def test_an_unknown_route_is_an_openai_error_object(tmp_path: Path, path: str, method: str) -> None:
    async with client(await World(tmp_path, {}).ready(), **AUTH) as http:
        answer = await http.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) in {(404, "unknown_url"), (405, "unknown_url")}


async def test_models_need_a_key_too(tmp_path: Path) -> None:
    app = await World(tmp_path, {}).ready()
    async with client(app) as http:
        assert (await http.get("/v1/models")).status_code == 401
        assert (await http.get("/v1/models/parrot")).status_code == 401


async def _first_bytes(http: httpx.AsyncClient, body: dict[str, Any]) -> bytes:
    async with http.stream("POST", "/v1/completions", json=body) as answer:
        return await anext(answer.aiter_raw())


async def _until(so: Callable[[], bool], within_s: float = 1.0) -> None:
    async with asyncio.timeout(within_s):
        while not so():
            await asyncio.sleep(0.001)
