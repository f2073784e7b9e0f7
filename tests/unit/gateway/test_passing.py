"""Requests to a project's own Serve applications, passed on as they are."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from fabric.api.gateway import ServedDeployment
from tests.asgi import client
from tests.unit.gateway.world import KEY, World, endpoints, key, snapshot

AUTH = {"Authorization": f"Bearer {KEY}"}


async def mirror(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells what it was sent."""
    request = Request(scope, receive)
    body = await request.body()
    seen = {
        "method": request.method, "path": scope["raw_path"].decode(), "query": scope["query_string"].decode(),
        "headers": dict(request.headers), "body": body.decode(),
    }  # fmt: skip
    response = JSONResponse(seen, 207, {"x-own": "1"})
    response.headers.append("set-cookie", "a=1")
    response.headers.append("set-cookie", "b=2")
    await response(scope, receive, send)


def world(folder: Path, app: Any = mirror, *, ready: bool = True) -> World:
    found = ServedDeployment(
        name="shop", project="physics", workload="serve-shop", endpoints=endpoints("replica") if ready else ()
    )
    return World(folder, {"replica": app}, snapshot(deployments=(found,), keys=(key(), everywhere("sk-root"))))


def everywhere(text: str) -> Any:
    return key(text).model_copy(update={"project": "default", "everywhere": True})


async def ask(where: World, method: str, path: str, *, headers: Any = AUTH, **more: Any) -> httpx.Response:
    async with client(await where.ready(), **headers) as http:
        return await http.request(method, path, **more)


def run(where: World, method: str, path: str, **more: Any) -> httpx.Response:
    return asyncio.run(ask(where, method, path, **more))


def test_a_cookie_that_one_caller_was_given_does_not_go_out_with_anothers_request(tmp_path: Path) -> None:
    async def one_after_the_other() -> httpx.Response:
        gateway = await world(tmp_path).ready()
        for _ in range(2):
            async with client(gateway, **AUTH) as somebody:
                answer = await somebody.get("/serve/physics/shop/")
        return answer

    assert "cookie" not in asyncio.run(one_after_the_other()).json()["headers"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_every_method_is_passed_on_with_path_query_and_body_as_they_were(tmp_path: Path, method: str) -> None:
    answer = run(world(tmp_path), method, "/serve/physics/shop/a%2Fb/c?q=1&q=2", content=b"body")
    seen = answer.json()
    assert (seen["method"], seen["path"], seen["query"], seen["body"]) == (method, "/a%2Fb/c", "q=1&q=2", "body")
    assert (answer.status_code, answer.headers["x-own"]) == (207, "1")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize("path", ["/serve/physics/shop", "/serve/physics/shop/"])
def test_the_root_of_a_deployment_is_its_applications_root(tmp_path: Path, path: str) -> None:
    assert run(world(tmp_path), "GET", path).json()["path"] == "/"


def test_our_key_is_taken_off_and_the_rest_of_the_headers_stays(tmp_path: Path) -> None:
    own = {"X-Mine": "1", "X-Fabric-Service": "forged", "X-Ray-Authorization": "Bearer y"}
    seen = run(world(tmp_path), "GET", "/serve/physics/shop/x", headers=AUTH | own).json()["headers"]
    assert (seen["x-mine"], seen["x-forwarded-prefix"]) == ("1", "/serve/physics/shop")
    assert not {"authorization", "x-ray-authorization", "x-fabric-service"} & seen.keys()
    assert KEY not in str(seen)


def test_an_answer_is_passed_on_in_a_stream(tmp_path: Path) -> None:
    more = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        async def pieces() -> Any:
            yield b"first"
            await more.wait()
            yield b"last"

        await StreamingResponse(pieces(), media_type="text/plain")(scope, receive, send)

    async def reads() -> list[bytes]:
        found = []
        async with (
            client(await world(tmp_path, slow).ready(), **AUTH) as http,
            http.stream("GET", "/serve/physics/shop/") as answer,
        ):
            async for piece in answer.aiter_raw():
                found.append(piece)
                more.set()
        return found

    assert asyncio.run(asyncio.wait_for(reads(), 5)) == [b"first", b"last"]


@pytest.mark.parametrize(
    ("path", "headers", "status", "words"),
    [
        ("/serve/physics/lab/", AUTH, 404, "Deployed: shop"),
        ("/serve/chemistry/shop/", AUTH, 403, "is for project physics"),
        ("/serve/physics/shop/", {"Authorization": "Bearer wrong"}, 401, "not valid"),
        ("/serve/physics/shop/", {}, 401, "no API key"),
        ("/serve/physics/shop/", {"Authorization": "Bearer sk-root"}, 207, ""),
    ],
)
def test_only_keys_of_the_project_or_of_the_whole_site_get_through(
    tmp_path: Path, path: str, headers: dict[str, str], status: int, words: str
) -> None:
    answer = run(world(tmp_path), "GET", path, headers=headers)
    assert (answer.status_code, words in answer.text) == (status, True)


def test_one_that_is_not_ready_or_does_not_answer_is_said_to_be_tried_again(tmp_path: Path) -> None:
    waiting = run(world(tmp_path, ready=False), "GET", "/serve/physics/shop/")
    assert (waiting.status_code, "fabric explain serve-shop" in waiting.text) == (503, True)

    async def hangs_up(scope: Scope, receive: Receive, send: Send) -> None:
        """Ends without an answer."""

    async def late(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("late", request=request)

    answer = run(world(tmp_path, hangs_up), "GET", "/serve/physics/shop/")
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    silent = world(tmp_path)
    silent.transport.handle_async_request = late  # type: ignore[method-assign]
    assert run(silent, "GET", "/serve/physics/shop/").status_code == 504


def test_an_answer_without_a_body_stays_one(tmp_path: Path) -> None:
    async def empty(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(status_code=204)(scope, receive, send)

    assert run(world(tmp_path, empty), "DELETE", "/serve/physics/shop/x").content == b""


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", b"body"), ("DELETE", b"")])
async def test_a_client_that_leaves_before_any_byte_frees_a_silent_application(
    tmp_path: Path, method: str, body: bytes | None
) -> None:
    took, left = asyncio.Event(), asyncio.Event()

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        assert await Request(scope, receive).body() == (body or b"")
        took.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with client(await world(tmp_path, silent).ready(), **AUTH) as http:
        asking = asyncio.create_task(http.request(method, "/serve/physics/shop/", content=body))
        await asyncio.wait_for(took.wait(), 10)
        asking.cancel()
        await asyncio.wait_for(left.wait(), 10)


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_failure_of_ours(tmp_path: Path) -> None:
    app, sent = await world(tmp_path).ready(), list[Any]()
    messages = iter([{"type": "http.request", "body": b"half", "more_body": True}])

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    path = "/serve/physics/shop/"
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "root_path": "", "scheme": "http",
        "query_string": b"", "server": ("gateway", 80), "client": ("127.0.0.1", 1), "http_version": "1.1",
        "headers": [(b"authorization", AUTH["Authorization"].encode()), (b"content-length", b"8")],
        "asgi": {"version": "3.0"},
    }  # fmt: skip
    await asyncio.wait_for(app(scope, receive, send), 10)
    assert [message["status"] for message in sent if "status" in message] == [499]
