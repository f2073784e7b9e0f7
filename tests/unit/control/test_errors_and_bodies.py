"""Errors as answers, and limits of bodies."""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from fabric.api.admin import ErrorBody
from fabric.control.http.bodies import BodyLimit
from fabric.control.http.errors import answer_to, status_of
from fabric.core import errors
from fabric.core.errors import ERRORS, FabricError
from tests.unit.control.world import World


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("internal", 500), ("bad_input", 400), ("bad_config", 400), ("bad_package", 400), ("does_not_fit", 400),
        ("not_found", 404), ("conflict", 409), ("denied", 403), ("unauthenticated", 401), ("unavailable", 503),
        ("storage_full", 503), ("cluster_lost", 503), ("corrupt", 500),
    ],
)  # fmt: skip
def test_every_class_of_errors_has_a_status(code: str, status: int) -> None:
    assert status_of(ERRORS[code]("x")) == status


def test_the_table_above_has_every_class() -> None:
    classes = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, FabricError)}
    assert classes == set(ERRORS.values())


def connection(path: str) -> Request:
    headers = [(b"host", b"127.0.0.1:8270")]
    return Request({"type": "http", "path": path, "query_string": b"", "headers": headers, "server": ("x", 1)})


def test_fields_arrive_as_data() -> None:
    answer = answer_to(connection("/api/fabric/nodes"), errors.DoesNotFit("too much", asked=3, most=2))
    body = ErrorBody.model_validate_json(bytes(answer.body))
    assert (body.code, body.fields) == ("does_not_fit", {"asked": 3, "most": 2})


@pytest.mark.parametrize("path", ["/api/fabric/nodes", "/api/jobs/"])
@pytest.mark.parametrize(
    "mistake", [ZeroDivisionError("secret"), errors.Corrupt("secret place"), FabricError("secret")]
)
def test_a_mistake_of_ours_is_an_incident_and_tells_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str, mistake: Exception
) -> None:
    def fail(*args: Any, **more: Any) -> None:
        raise mistake

    monkeypatch.setattr(world.records, "list", fail)
    monkeypatch.setattr(world.records, "active", fail)
    with caplog.at_level(logging.ERROR):
        answer = world.client().get(path)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    incident = answer.text.partition("incident ")[2][:8]
    assert f"incident {incident}" in caplog.text
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing/here", 404),
        ("PUT", "/api/fabric/nodes", 405),
        ("GET", "/api/fabric/", 404),
        ("GET", "/docs", 404),
    ],
)
def test_unknown_paths_and_methods_are_errors_of_ours(world: World, method: str, path: str, status: int) -> None:
    answer = world.client().request(method, path)
    assert answer.status_code == status
    ErrorBody.model_validate_json(answer.content)


@pytest.mark.parametrize("path", ["/api/jobs/", "/api/fabric/workloads"])
def test_a_body_that_is_too_large_is_refused(world: World, path: str) -> None:
    answer = world.client().post(path, content=b"x" * (2**20 + 1))
    assert (answer.status_code, "larger than 1048576 bytes" in answer.text) == (413, True)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 100_000, b"\xff", b'{"spec": {"walltime_s": 1e999}}'])
def test_a_body_that_is_no_json_object_is_refused(world: World, body: bytes) -> None:
    answer = world.client().post("/api/fabric/workloads", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")


@pytest.mark.parametrize("path", ["/api/fabric/workloads", "/api/fabric/workloads/x/scale", "/api/jobs/"])
def test_a_body_that_does_not_arrive_is_given_up_and_the_next_request_is_let_in(
    make_world: Callable[..., World], path: str
) -> None:
    async def breaks_off() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async def asked() -> None:
        async with make_world(at_work=1, most_waiting=0, max_body_s=0.01).asynchronous() as client:
            late = await client.post(path, content=breaks_off())
            assert (late.status_code, late.headers["connection"]) == (408, "close")
            assert "has not arrived within 0.01 s" in late.text
            assert (await client.post(path, content=b"no json")).status_code == 400

    asyncio.run(asked())


async def limited(app: Callable[[Scope, Receive, Send], Any], receive: Receive) -> list[Message]:
    """What `app` answers to a request whose body may take no time."""
    answer: list[Message] = []

    async def send(message: Message) -> None:
        answer.append(message)

    await BodyLimit(app, 1024, 0.001, ())({"type": "http", "path": "/"}, receive, send)
    return answer


def test_whoever_is_answered_already_is_taken_for_gone_if_its_body_does_not_arrive() -> None:
    async def following(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send(await receive())

    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    assert asyncio.run(limited(following, never))[1] == {"type": "http.disconnect"}


def test_whoever_has_sent_all_may_wait_for_the_answer_as_long_as_it_takes() -> None:
    messages: list[Message] = [{"type": "http.request", "body": b"x"}, {"type": "http.disconnect"}]

    async def working(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            await send(await receive())

    async def slower_each_time() -> Message:
        await asyncio.sleep(0.0 if len(messages) == 2 else 0.01)
        return messages.pop(0)

    expected = list(messages)
    assert asyncio.run(limited(working, slower_each_time)) == expected
