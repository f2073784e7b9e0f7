"""What requests may say, and how refusals read."""

import json
from typing import Any

import pytest

from fabric.api.openai import ChatRequest, CompletionRequest, answer_to, event, parse
from fabric.core.errors import BadInput, Corrupt, Denied, FabricError, NotFound, Unauthenticated, Unavailable

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
COMPLETE = {"model": "m", "prompt": "hi"}


def chat(**more: Any) -> ChatRequest:
    return parse(ChatRequest, json.dumps(CHAT | more).encode())


def complete(**more: Any) -> CompletionRequest:
    return parse(CompletionRequest, json.dumps(COMPLETE | more).encode())


def test_a_request_that_says_little_gets_openais_defaults() -> None:
    request = chat()
    assert (request.temperature, request.top_p, request.stop, request.stream, request.answer_tokens) == (
        1.0, 1.0, (), False, None,
    )  # fmt: skip


def test_text_parts_of_a_message_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert chat(messages=[{"role": "user", "content": parts}]).messages[0].content == "ab"


def test_an_answer_may_be_sent_back_as_a_message_with_its_unused_fields() -> None:
    answer: dict[str, Any] = {
        "role": "assistant",
        "content": "yes",
        "refusal": None,
        "tool_calls": None,
        "annotations": [],
        "audio": None,
    }
    assert chat(messages=[*CHAT["messages"], answer]).messages[1].content == "yes"


@pytest.mark.parametrize("prompt", ["hi", ["hi"]])
def test_a_list_of_one_prompt_is_that_prompt(prompt: Any) -> None:
    assert complete(prompt=prompt).prompt == "hi"


@pytest.mark.parametrize("prompt", [[1, 2], [[1, 2]]])
def test_a_prompt_may_be_token_ids(prompt: Any) -> None:
    assert complete(prompt=prompt).prompt == (1, 2)


@pytest.mark.parametrize(("stop", "stops"), [("x", ("x",)), (["x", "y"], ("x", "y")), (None, ())])
def test_stop_is_one_text_or_several(stop: Any, stops: tuple[str, ...]) -> None:
    assert complete(stop=stop).stop == stops


def test_the_newer_name_of_the_longest_answer_goes_first() -> None:
    assert chat(max_tokens=5, max_completion_tokens=7).answer_tokens == 7


@pytest.mark.parametrize(
    "harmless",
    [
        {"n": 1}, {"tools": []}, {"tool_choice": "auto"}, {"response_format": {"type": "text"}}, {"logprobs": False},
        {"presence_penalty": 0}, {"frequency_penalty": 0.0}, {"user": "u"}, {"metadata": {"a": "b"}}, {"seed": None},
    ],
    ids=str,
)  # fmt: skip
def test_what_asks_for_nothing_is_taken(harmless: dict[str, Any]) -> None:
    assert chat(**harmless) == chat()


@pytest.mark.parametrize(
    ("wrong", "param", "says"),
    [
        ({"n": 2}, "n", "not supported"),
        ({"tools": [{"type": "function"}]}, "tools", "not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "not supported"),
        ({"logprobs": True}, "logprobs", "not supported"),
        ({"temprature": 0}, "temprature", "not a known parameter"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": "5"}, "max_tokens", "valid integer"),
        ({"stop": [""]}, "stop", "at least 1 character"),
        ({"stop": ["x"] * 17}, "stop", "at most 16"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages", "'system'"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "only text parts"),
        ({"stream": 1}, "stream", "valid boolean"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused_and_named(wrong: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as refused:
        chat(**wrong)
    assert refused.value.fields["param"] == param


@pytest.mark.parametrize("prompt", [["a", "b"], [[1], [2]], [], {}, [1, 2.5], [-1], None, 5])
def test_a_prompt_that_is_not_one_text_or_token_list_is_refused(prompt: Any) -> None:
    with pytest.raises(BadInput, match="prompt"):
        complete(prompt=prompt)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput):
        parse(ChatRequest, body)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadInput("x"), 400, None),
        (BadInput("x", code="context_length_exceeded"), 400, "context_length_exceeded"),
        (NotFound("x"), 404, "model_not_found"),
        (Unauthenticated("x"), 401, "invalid_api_key"),
        (Denied("x"), 403, "denied"),
        (Unavailable("x"), 503, "unavailable"),
        (Corrupt("x"), 500, "internal"),
        (FabricError("x"), 500, "internal"),
    ],
    ids=str,
)
def test_every_error_has_a_status_and_openais_four_fields(error: FabricError, status: int, code: str | None) -> None:
    found, body = answer_to(error)
    assert (found, body["error"]["code"], set(body["error"])) == (status, code, {"message", "type", "param", "code"})


def test_an_event_is_one_line_and_an_empty_one() -> None:
    assert event({"a": "é\n"}) == 'data: {"a":"é\\n"}\n\n'.encode()
