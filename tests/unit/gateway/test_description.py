"""The description of the gateway's routes: complete, and true."""

from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fabric.api.gateway import SERVED
from fabric.api.openai import ModelAnswer
from fabric.gateway.description import description_of
from tests.asgi import client
from tests.asking import Asking
from tests.unit.gateway.world import KEY, Service, World


class Informed:
    """A gateway that hears from control before it is first asked."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._informed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._informed:
            self._informed = await self._world.follower.ask()
        await self._world.app(scope, receive, send)


def of_the_parrot(body: Any) -> Any:
    """The same request of a model that is served."""
    return {**body, "model": "parrot"} if isinstance(body, dict) and isinstance(body.get("model"), str) else body


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_every_answer_is_one_that_the_description_declares(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    world = World(tmp_path, {"s1": Service()})
    asking = Asking(
        "http://gateway", {"Authorization": f"Bearer {KEY}"}, {"name": ("parrot", "parrot@champion")},
        body=of_the_parrot, examples=request.config.getoption("--examples"),
    )  # fmt: skip
    asked = asking.all(Informed(world), description_of())
    assert asked.problems == {}
    reads = {"GET /health", "GET /openapi.json", "GET /v1/models", "GET /v1/models/{name}"}
    assert asked.statuses.keys() == {*reads, "GET /metrics", "POST /v1/chat/completions", "POST /v1/completions"}
    assert {label for label in reads if 200 not in asked.statuses[label]} == set()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "hi"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    ],
)
async def test_a_whole_answer_is_of_the_form_that_is_described(tmp_path: Path, path: str, body: Any) -> None:
    world = World(tmp_path, {"s1": Service()})
    async with client(await world.ready(), Authorization=f"Bearer {KEY}") as http:
        answer = await http.post(path, json=body | {"model": "parrot"})
    assert ModelAnswer.model_validate_json(answer.content).choices


def test_every_route_is_described_but_what_is_passed_on(tmp_path: Path) -> None:
    routes = {
        (route.path.replace(":path", ""), method.lower())
        for route in World(tmp_path, {}).app.routes
        if isinstance(route, Route) and not route.path.startswith(SERVED)
        for method in (route.methods or set()) - {"HEAD"}
    }
    paths = description_of()["paths"]
    assert {(path, method) for path, methods in paths.items() for method in methods} == routes


def test_what_is_taken_without_effect_is_described_as_taken() -> None:
    schemas = description_of()["components"]["schemas"]
    asked = schemas["ChatRequest"]["properties"]
    assert asked["n"] == {"enum": [1, None]}
    assert asked["user"] == {}
    assert {"type": "null"} in asked["temperature"]["anyOf"]
    assert schemas["Message"]["properties"]["tool_calls"] == {"enum": [[], None]}
