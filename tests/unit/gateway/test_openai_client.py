"""OpenAI's own client, through the gateway, to the echo engine."""

from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from tests.asgi import OpenAITransport
from tests.unit.gateway.world import KEY, Service, World, snapshot

USER: Any = [{"role": "user", "content": "hello"}]


async def made(world: World, key: str = KEY) -> AsyncOpenAI:
    http = httpx2.AsyncClient(transport=OpenAITransport(await world.ready()))
    return AsyncOpenAI(base_url="http://gateway/v1", api_key=key, http_client=http, max_retries=0)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncOpenAI:
    return await made(World(tmp_path, {"s1": Service()}))


async def test_it_chats(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="parrot@champion", messages=USER, temperature=0)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("hello", "stop")
    assert answer.usage is not None
    assert (answer.model, answer.usage.total_tokens) == ("parrot", 11)


async def test_it_streams_a_chat(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="parrot", messages=USER, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "hello"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6


async def test_it_completes_and_streams_a_completion(client: AsyncOpenAI) -> None:
    whole = await client.completions.create(model="parrot", prompt="abc", max_tokens=2)
    stream = await client.completions.create(model="parrot", prompt="abc", max_tokens=2, stream=True)
    assert whole.choices[0].text == "".join([c.choices[0].text async for c in stream]) == "ab"


async def test_it_is_told_token_ids(client: AsyncOpenAI) -> None:
    answer = await client.completions.create(model="parrot", prompt="ab", extra_body={"return_token_ids": True})
    assert answer.choices[0].model_dump()["token_ids"] == [97, 98, 256]


async def test_an_answer_can_be_sent_back(client: AsyncOpenAI) -> None:
    first = await client.chat.completions.create(model="parrot", messages=USER)
    turns: Any = [*USER, first.choices[0].message, {"role": "user", "content": "again"}]
    second = await client.chat.completions.create(model="parrot", messages=turns)
    assert second.choices[0].message.content == "again"


async def test_it_lists_and_retrieves_models(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["parrot", "parrot@champion"]
    assert (await client.models.retrieve("parrot@champion")).owned_by == "zoo"


async def test_an_unknown_model_raises_not_found_and_names_the_known(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="parrot@champion") as refused:
        await client.chat.completions.create(model="crow", messages=USER)
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


async def test_a_bad_request_names_the_parameter(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="parrot", messages=USER, n=2)
    assert refused.value.param == "n"


async def test_a_wrong_key_raises_authentication_error(tmp_path: Path) -> None:
    client = await made(World(tmp_path, {"s1": Service()}), key="sk-wrong")
    with pytest.raises(openai.AuthenticationError) as refused:
        await client.models.list()
    assert refused.value.code == "invalid_api_key"


async def test_a_model_without_replicas_raises_unavailable(tmp_path: Path) -> None:
    client = await made(World(tmp_path, {}, told=snapshot()))
    with pytest.raises(openai.InternalServerError) as refused:
        await client.chat.completions.create(model="parrot", messages=USER)
    assert refused.value.status_code == 503


async def test_a_stream_that_breaks_off_raises_after_its_text(tmp_path: Path) -> None:
    service = Service(token_s=0.02)
    client = await made(World(tmp_path, {"s1": service}))
    stream = await client.completions.create(model="parrot", prompt="hello", stream=True)
    texts = [(await anext(stream)).choices[0].text]
    service.source.close()
    with pytest.raises(openai.APIError, match="closed"):
        texts += [chunk.choices[0].text async for chunk in stream]
    assert texts == ["h"]
