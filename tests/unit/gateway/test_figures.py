"""What the gateway counts, and what of it Prometheus is told."""

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fabric.gateway.counts import Counts, counts_of, noted, to_ask_for
from fabric.gateway.figures import Figures
from tests.asgi import client
from tests.unit.gateway.test_relay import sends
from tests.unit.gateway.world import KEY, Service, World, key, snapshot

ASK: dict[str, Any] = {"model": "parrot", "prompt": "hello"}
STREAM = ASK | {"stream": True}
ALL = KEY + "-of-all"
"""A key of the whole site."""


def world_of(folder: Path, service: Any) -> World:
    everywhere = key(ALL).model_copy(update={"everywhere": True})
    return World(folder, {"s1": service}, told=snapshot("s1", keys=(key(), everywhere)))


async def figures_of(world: World) -> dict[tuple[str, ...], float]:
    """Samples by name and the values of their labels, in the order of the labels' names."""
    async with client(await world.ready(), Authorization=f"Bearer {ALL}") as http:
        text = (await http.get("/metrics")).text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def post(world: World, *bodies: dict[str, Any]) -> list[bytes]:
    async with client(await world.ready(), Authorization=f"Bearer {KEY}") as http:
        return [(await http.post("/v1/completions", json=body)).content for body in bodies]


async def test_requests_tokens_and_first_tokens_are_counted_by_model(tmp_path: Path) -> None:
    world = world_of(tmp_path, Service())
    await post(world, ASK, STREAM, STREAM, ASK | {"model": "parrot@champion"}, ASK | {"top_p": 7}, ASK | {"model": "x"})
    found = await figures_of(world)
    assert found["fabric_gateway_requests_total", "parrot", "2xx"] == 4
    assert found["fabric_gateway_requests_total", "parrot", "4xx"] == 1
    assert found["fabric_gateway_tokens_total", "in", "parrot"] == 4 * 5
    assert found["fabric_gateway_tokens_total", "out", "parrot"] == 4 * 6  # with the end of the text
    assert found["fabric_gateway_first_token_seconds_count", "parrot"] == 2
    assert found["fabric_gateway_streams", "parrot"] == found["fabric_gateway_requests_in_flight",] == 0
    assert found["fabric_gateway_control_answers",] == 1
    assert found["fabric_gateway_http_request_seconds_count", "POST", "/v1/completions", "4xx"] == 2
    assert not [name for name in found if "x" in name]


async def test_counts_that_the_client_did_not_ask_for_are_taken_out(tmp_path: Path) -> None:
    world = world_of(tmp_path, Service())
    without, asked = await post(world, STREAM, STREAM | {"stream_options": {"include_usage": True}})
    assert b'"usage":{' not in without
    assert without.endswith(b"data: [DONE]\n\n")
    assert json.loads(asked.split(b"\n\n")[-3].removeprefix(b"data: "))["usage"]["completion_tokens"] == 6


async def test_a_stream_without_counts_is_passed_on_and_counts_nothing(tmp_path: Path) -> None:
    part = b'data: {"choices":[{"text":"a"}]}\n\ndata: [DONE]\n\n'
    world = world_of(tmp_path, sends(part))
    assert await post(world, STREAM) == [part]
    assert "fabric_gateway_tokens_total" not in {name for name, *_ in await figures_of(world)}


async def test_figures_are_for_keys_of_the_whole_site(tmp_path: Path) -> None:
    world = world_of(tmp_path, Service())
    for shown, status in (({}, 401), ({"Authorization": f"Bearer {KEY}"}, 403), ({"Authorization": "Bearer x"}, 401)):
        async with client(await world.ready(), **shown) as http:
            assert (await http.get("/metrics")).status_code == status


def test_a_client_that_left_before_the_answer_is_told_apart() -> None:
    figures = Figures(lambda: 0, lambda: False)
    figures.meter("m").left()
    late = figures.meter("m")
    late.answered(200)
    late.left()
    text = figures.text().decode()
    assert 'fabric_gateway_requests_total{model="m",status="left"} 1.0' in text
    assert 'fabric_gateway_requests_total{model="m",status="2xx"} 1.0' in text
    assert "fabric_gateway_control_answers 0.0" in text


TOLD = b'data: {"choices":[],"usage": {"prompt_tokens":3,"completion_tokens":4}}\r\n\r\n'
WITH_CHOICE = b'data: {"choices":[{"text":"x"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
LIKE_ONE = b'data: {"choices":[{"text":"\\"usage\\":{"}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("events", "hidden", "passed", "counts"),
    [
        (LIKE_ONE + TOLD + DONE, True, LIKE_ONE + DONE, Counts(3, 4)),
        (LIKE_ONE + TOLD + DONE, False, LIKE_ONE + TOLD + DONE, Counts(3, 4)),
        (WITH_CHOICE + TOLD, True, WITH_CHOICE, Counts(3, 4)),
        (LIKE_ONE, True, LIKE_ONE, None),
        (b': "usage":{ a comment\n\n', True, b': "usage":{ a comment\n\n', None),
        (b'data: {"usage":{"prompt_tokens":"3"}}\n\n', True, b'data: {"usage":{"prompt_tokens":"3"}}\n\n', None),
    ],
    ids=["hidden", "asked for", "beside text", "only in a text", "in a comment", "no numbers"],
)
def test_only_events_that_tell_counts_are_read(events: bytes, hidden: bool, passed: bytes, counts: Counts) -> None:
    assert noted(events, hidden=hidden) == (passed, counts)


@pytest.mark.parametrize(
    ("asked", "more"),
    [
        ({}, {}),
        ({"stream": False}, {}),
        ({"stream": "yes"}, {}),
        ({"stream": True, "stream_options": "wrong"}, {}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {}),
        ({"stream": True}, {"stream_options": {"include_usage": True}}),
        ({"stream": True, "stream_options": None}, {"stream_options": {"include_usage": True}}),
        ({"stream": True, "stream_options": {"a": 1}}, {"stream_options": {"a": 1, "include_usage": True}}),
    ],
)
def test_counts_are_asked_for_where_a_stream_would_tell_none(asked: dict[str, Any], more: dict[str, Any]) -> None:
    assert to_ask_for(asked) == more


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b'{"usage": 1}', b'{"usage":{"prompt_tokens":-1,"completion_tokens":2}}']
)
def test_an_answer_that_says_nothing_of_tokens_counts_none(answer: bytes) -> None:
    assert counts_of(answer) is None
