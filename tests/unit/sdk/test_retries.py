"""What is repeated, for how long, and what is not."""

import httpx
import pytest

from fabric.core.errors import Conflict, NotFound, Unavailable
from fabric.sdk import AsyncClient
from tests.unit.sdk.fakes import ADDRESS, FakeControl, answer, refusal, view

ONE = "GET /api/fabric/workloads/a"
SUBMIT = "POST /api/fabric/workloads"
SPEC = {"entrypoint": "python scripts/train.py --fast"}


def client(control: FakeControl, patience_s: float = 5.0) -> AsyncClient:
    return AsyncClient(ADDRESS, "key", transport=control.transport, patience_s=patience_s)


@pytest.mark.parametrize(
    "first",
    [
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("gone"),
        httpx.ReadTimeout("slow"),
        refusal(503, "unavailable"),
        refusal(429, "unavailable"),
        httpx.Response(502, text="proxy"),
    ],
    ids=lambda first: type(first).__name__ if isinstance(first, Exception) else str(first.status_code),
)
async def test_a_call_is_repeated_while_nobody_answers(control: FakeControl, first: httpx.Response | Exception) -> None:
    control.on(ONE, first, first, answer(view("a")))
    async with client(control) as fabric:
        assert (await fabric.get("a")).name == "a"
    assert len(control.asked) == 3


async def test_patience_ends_with_the_last_failure(control: FakeControl) -> None:
    control.on(ONE, httpx.ConnectError("refused"))
    async with client(control, patience_s=0.02) as fabric:
        with pytest.raises(Unavailable, match="no fabric answers"):
            await fabric.get("a")
    assert len(control.asked) > 2


async def test_a_server_that_asks_for_more_time_than_there_is_patience_is_not_asked_again(control: FakeControl) -> None:
    busy = refusal(503, "unavailable", "busy")
    busy.headers["Retry-After"] = "60"
    control.on(ONE, busy)
    async with client(control) as fabric:
        with pytest.raises(Unavailable, match="busy"):
            await fabric.get("a")
    assert len(control.asked) == 1


async def test_a_refusal_is_final(control: FakeControl) -> None:
    control.on(ONE, refusal(404, "not_found"))
    async with client(control) as fabric:
        with pytest.raises(NotFound):
            await fabric.get("a")
    assert len(control.asked) == 1


async def test_all_repetitions_of_a_submission_are_the_same_and_another_one_is_not(control: FakeControl) -> None:
    control.on(SUBMIT, httpx.ReadError("reset"), answer(view("train-1"), 201))
    async with client(control) as fabric:
        await fabric.submit(SPEC)
        await fabric.submit(SPEC)
    first, again, other = control.asked
    assert first.content == again.content != other.content
    keys = [request.headers["Idempotency-Key"] for request in control.asked]
    assert keys[0] == keys[1] != keys[2]
    assert {request.headers["Authorization"] for request in control.asked} == {"Bearer key"}


async def test_a_name_that_somebody_else_has_is_a_conflict(control: FakeControl) -> None:
    control.on(SUBMIT, refusal(409, "conflict", "a exists"))
    async with client(control) as fabric:
        with pytest.raises(Conflict):
            await fabric.submit({**SPEC, "name": "a"})
