"""Conversations through the gateway."""

import json
from collections.abc import Callable

import httpx
import pytest

from fabric.console.chatting import Chatting
from fabric.core.errors import FabricError, Unavailable

Answers = Callable[[httpx.Request], httpx.Response]


def chatting(answers: Answers) -> Chatting:
    return Chatting("http://gateway", "k", httpx.MockTransport(answers))


def events(*values: object) -> httpx.Response:
    lines = [f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n" for value in values]
    return httpx.Response(200, text="".join(lines))


def piece(text: str | None) -> dict[str, object]:
    return {"choices": [{"delta": {"content": text}}]}


async def said(answers: Answers) -> str:
    return "".join([text async for text in chatting(answers).answer("tale", [("user", "hello")])])


async def test_an_answer_comes_in_pieces_and_with_the_persons_key() -> None:
    asked: list[httpx.Request] = []

    def answers(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return events(piece(None), piece("Once "), piece("upon"), {"choices": []}, "[DONE]")

    assert await said(answers) == "Once upon"
    body = json.loads(asked[0].content)
    assert asked[0].headers["authorization"] == "Bearer k"
    assert (body["model"], body["messages"]) == ("tale", [{"role": "user", "content": "hello"}])


async def test_models_are_those_that_are_served() -> None:
    served = {"data": [{"id": "tale"}, {"id": "tale@champion"}]}
    assert await chatting(lambda _: httpx.Response(200, json=served)).models() == ("tale", "tale@champion")
    with pytest.raises(FabricError, match="not understood"):
        await chatting(lambda _: httpx.Response(200, text="<html>")).models()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(404, json={"error": {"message": "no model tale"}}), "no model tale"),
        (httpx.Response(502, text="<html>"), "answered 502"),
        (events(piece("Once"), {"error": {"message": "the replica left"}}), "the replica left"),
        (events("nonsense"), "not understood"),
        (events({"choices": [7]}), "not understood"),
    ],
)
async def test_what_goes_wrong_is_said_in_words(answer: httpx.Response, words: str) -> None:
    with pytest.raises(FabricError, match=words):
        await said(lambda _: answer)


async def test_a_gateway_that_is_away_is_no_answer() -> None:
    def refuses(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Unavailable, match="gateway does not answer"):
        await said(refuses)
