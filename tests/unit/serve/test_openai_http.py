"""One model over HTTP, with the echo engine behind it."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from fabric.api.openai import DONE
from fabric.core.errors import Unavailable
from fabric.serve.endpoints import SECRET_HEADER, ReplicaSpec
from fabric.serve.engines.echo import ByteTokeniser, EchoSource
from fabric.serve.engines.engine import Engine
from fabric.serve.openai_http import Replica, build_http
from tests.asgi import client

CHAT = {"model": "parrot", "messages": [{"role": "user", "content": "hello"}]}
COMPLETE = {"model": "parrot", "prompt": "hello"}


class World:
    """A replica and the engine in it."""

    def __init__(self, token_s: float = 0.0) -> None:
        self.source = EchoSource(token_s=token_s)
        spec = ReplicaSpec(model_folder="", names=("parrot", "parrot@champion"), engine="echo", created=5)
        self.replica = Replica(Engine(self.source, ByteTokeniser(), 64), spec, {"reason": "a test"})

    async def app(self, secret: str = "") -> ASGIApp:
        await self.replica.warm_up()
        return build_http(self.replica, secret)


@pytest.fixture
def world() -> World:
    return World()


async def post(world: World, path: str, body: Any) -> httpx.Response:
    async with client(await world.app()) as http:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await http.post(path, content=content)


async def events(world: World, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream, which must end with [DONE]."""
    answer = await post(world, path, body | {"stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *found, done, rest = answer.content.split(b"\n\n")
    assert (done + b"\n\n", rest) == (DONE, b"")
    return [json.loads(each.removeprefix(b"data: ")) for each in found]


async def test_a_chat_answer_has_openais_shape(world: World) -> None:
    answer = (await post(world, "/v1/chat/completions", CHAT)).json()
    assert answer.pop("id")
    assert answer.pop("created") > 0
    assert answer == {
        "object": "chat.completion",
        "model": "parrot",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11},
    }


async def test_a_completion_has_openais_shape(world: World) -> None:
    answer = (await post(world, "/v1/completions", COMPLETE | {"max_tokens": 3})).json()
    assert (answer["object"], answer["choices"], answer["usage"]) == (
        "text_completion",
        [{"index": 0, "text": "hel", "logprobs": None, "finish_reason": "length"}],
        {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
    )


async def test_a_completion_is_16_tokens_long_if_nothing_is_said(world: World) -> None:
    answer = (await post(world, "/v1/completions", COMPLETE | {"prompt": "x" * 40})).json()
    assert answer["usage"]["completion_tokens"] == 16


async def test_a_streamed_chat_says_who_speaks_then_text_then_why_it_ended(world: World) -> None:
    found = await events(world, "/v1/chat/completions", CHAT)
    deltas = [event["choices"][0]["delta"] for event in found]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == "hello"
    assert [event["choices"][0]["finish_reason"] for event in found] == [None] * 6 + ["stop"]
    assert len({event["id"] for event in found}) == 1


async def test_a_streamed_completion_gives_the_same_text(world: World) -> None:
    found = await events(world, "/v1/completions", COMPLETE)
    assert "".join(event["choices"][0]["text"] for event in found) == "hello"


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/completions", COMPLETE)])
async def test_a_stream_tells_token_counts_if_asked(world: World, path: str, body: dict[str, Any]) -> None:
    *others, last = await events(world, path, body | {"stream_options": {"include_usage": True}})
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 6)
    assert all(event["usage"] is None for event in others)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_token_ids_are_where_vllm_puts_them(world: World, stream: bool) -> None:
    prompt, answer = list(b"hello"), [*b"hello", 256]
    if not stream:
        chat = (await post(world, "/v1/chat/completions", CHAT | {"return_token_ids": True})).json()
        completion = (await post(world, "/v1/completions", COMPLETE | {"return_token_ids": True})).json()
        assert (chat["prompt_token_ids"], chat["choices"][0]["token_ids"]) == (prompt, answer)
        assert (completion["choices"][0]["prompt_token_ids"], completion["choices"][0]["token_ids"]) == (prompt, answer)
        return
    chats = await events(world, "/v1/chat/completions", CHAT | {"return_token_ids": True})
    completions = await events(world, "/v1/completions", COMPLETE | {"return_token_ids": True})
    assert chats[0]["prompt_token_ids"] == completions[0]["choices"][0]["prompt_token_ids"] == prompt
    for found in (chats, completions):
        assert [token for event in found for token in event["choices"][0].get("token_ids", ())] == answer


async def test_stop_texts_end_an_answer(world: World) -> None:
    answer = (await post(world, "/v1/chat/completions", CHAT | {"stop": "lo"})).json()
    assert (answer["choices"][0]["message"]["content"], answer["choices"][0]["finish_reason"]) == ("hel", "stop")
    assert answer["usage"]["completion_tokens"] == 5


async def test_an_alias_is_answered_with_the_models_own_name(world: World) -> None:
    answer = (await post(world, "/v1/chat/completions", CHAT | {"model": "parrot@champion"})).json()
    assert answer["model"] == "parrot"


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "code"),
    [
        ("/v1/chat/completions", CHAT | {"model": "crow"}, 404, "model", "model_not_found"),
        ("/v1/completions", COMPLETE | {"model": "crow"}, 404, "model", "model_not_found"),
        ("/v1/completions", COMPLETE | {"prompt": "x" * 64}, 400, None, "context_length_exceeded"),
        ("/v1/completions", COMPLETE | {"max_tokens": 60}, 400, None, "context_length_exceeded"),
        ("/v1/completions", COMPLETE | {"prompt": [1000]}, 400, "prompt", None),
        ("/v1/completions", COMPLETE | {"prompt": ""}, 400, "prompt", None),
        ("/v1/chat/completions", b"{", 400, None, None),
        ("/v1/chat/completions", {"model": "parrot"}, 400, "messages", None),
        ("/v1/chat/completions", CHAT | {"n": 3}, 400, "n", None),
        ("/v1/embeddings", {}, 404, None, "unknown_url"),
    ],
)
async def test_every_refusal_is_an_openai_error_object(
    world: World, path: str, body: Any, status: int, param: str | None, code: str | None
) -> None:
    answer = await post(world, path, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code)
    assert error["message"]


async def test_an_unknown_model_is_answered_with_those_there_are(world: World) -> None:
    answer = await post(world, "/v1/completions", COMPLETE | {"model": "crow"})
    assert "parrot, parrot@champion" in answer.json()["error"]["message"]


async def test_models_are_listed_and_found_by_name(world: World) -> None:
    async with client(await world.app()) as http:
        cards = (await http.get("/v1/models")).json()["data"]
        one = (await http.get("/v1/models/parrot@champion")).json()
        none = await http.get("/v1/models/crow")
    assert [card["id"] for card in cards] == ["parrot", "parrot@champion"]
    assert one == {
        "id": "parrot@champion", "object": "model", "created": 5, "owned_by": "fabric", "root": "parrot",
    }  # fmt: skip
    assert (none.status_code, none.json()["error"]["code"]) == (404, "model_not_found")


async def test_health_waits_for_a_real_token_and_names_the_engine(world: World) -> None:
    async with client(build_http(world.replica)) as http:
        before = await http.get("/health")
        await world.replica.warm_up()
        after = await http.get("/health")
        world.source.close()
        broken = await http.get("/health")
    assert (before.status_code, after.status_code, broken.status_code) == (503, 200, 503)
    assert after.json() == {"status": "ok", "model": "parrot", "engine": "echo", "reason": "a test", "running": 0}


async def test_without_the_secret_only_health_answers(world: World) -> None:
    app = await world.app(secret="s3cret")
    async with client(app) as http:
        refused = [await http.get("/v1/models", headers={SECRET_HEADER: given}) for given in ("", "s3cre", "s3crets")]
        refused.append(await http.get("/v1/models"))
        let_in = await http.get("/v1/models", headers={SECRET_HEADER: "s3cret"})
        health = await http.get("/health")
    assert [answer.status_code for answer in refused] == [401] * 4
    assert "s3cret" not in "".join(answer.text for answer in refused)
    assert (let_in.status_code, health.status_code) == (200, 200)


class BreaksHalfWay(EchoSource):
    """An engine that fails after two tokens."""

    async def tokens(self, *args: Any) -> Any:
        count = 0
        async for piece in super().tokens(*args):
            if (count := count + 1) > 2 and self.broken:
                raise Unavailable("the engine failed")
            yield piece

    broken = True


async def test_a_stream_that_fails_half_way_says_so_and_ends(world: World) -> None:
    world.replica = Replica(
        Engine(BreaksHalfWay(), ByteTokeniser(), 64), ReplicaSpec(model_folder="", names=("parrot",), engine="echo")
    )
    *texts, last = await events(world, "/v1/completions", COMPLETE)
    assert "".join(event["choices"][0]["text"] for event in texts) == "he"
    assert (last["error"]["code"], last["error"]["message"]) == ("unavailable", "the engine failed")


async def test_an_engine_that_cannot_answer_is_told_by_status_even_to_streams(world: World) -> None:
    app = await world.app()
    world.source.close()
    async with client(app) as http:
        answer = await http.post("/v1/completions", json=COMPLETE | {"stream": True})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_client_that_leaves_frees_the_engine(stream: bool) -> None:
    world = World(token_s=1.0)  # the whole answer takes longer than anybody here waits
    body = COMPLETE | {"max_tokens": 50, "ignore_eos": True, "stream": stream}
    async with client(await world.app()) as http:
        asking = asyncio.create_task(_first_bytes(http, body))
        async with asyncio.timeout(20):
            while world.source.num_running == 0:
                await asyncio.sleep(
                    0
                )  # every turn of the loop: a streamed answer may begin and be left within a millisecond
        if stream:
            await asking
        else:
            asking.cancel()
        async with asyncio.timeout(20):
            while world.source.num_running:
                await asyncio.sleep(0.001)


async def _first_bytes(http: httpx.AsyncClient, body: dict[str, Any]) -> bytes:
    async with http.stream("POST", "/v1/completions", json=body) as answer:
        return await anext(answer.aiter_raw())
