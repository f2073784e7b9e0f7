"""People at the gateway: tokens of the site's provider, which control judges, and keys whose use it is told of."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from fabric.api.gateway import Judged, ServedDeployment
from fabric.core.errors import Denied, Unauthenticated, Unavailable
from fabric.gateway.table import Caller
from fabric.gateway.tokens import FRESH_S, Tokens, ends_at
from tests.asgi import Hosts, client
from tests.unit.gateway.world import KEY, Control, Service, World, endpoints, key, snapshot

ASK = {"model": "parrot", "prompt": "hi"}
ANN = Judged(name="ann", project="physics")
NOW = 1_750_000_000.0


def token(ends: float = NOW + 300) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'ES256'})}.{part({'exp': ends})}.c2lnbmF0dXJl"


def tokens(control: Control) -> Tokens:
    return Tokens(httpx.AsyncClient(transport=Hosts({"control": control}), base_url="http://control"))


async def test_a_person_asks_a_model_with_a_token(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": Service()})
    app, shown = await world.ready(), token(time.time() + 300)
    world.control.people[shown] = ANN
    headers = {"Authorization": f"Bearer {shown}", "X-Fabric-Project": "physics"}
    async with client(app, **headers) as http:
        assert (await http.post("/v1/completions", json=ASK)).json()["choices"][0]["text"] == "hi"
        assert (await http.get("/v1/models")).status_code == 200
    assert world.control.heard == [{"token": shown, "project": "physics"}], "asked once"


async def test_a_person_reaches_the_deployments_of_its_project_only(tmp_path: Path) -> None:
    service = Service()
    found = tuple(
        ServedDeployment(name="shop", project=project, workload="w", endpoints=endpoints("s1"))
        for project in ("biology", "physics")
    )
    world = World(tmp_path, {"s1": service}, told=snapshot("s1", deployments=found))
    app, shown = await world.ready(), token(time.time() + 300)
    world.control.people[shown] = ANN
    async with client(app, Authorization=f"Bearer {shown}") as http:
        own = (await http.get("/serve/physics/shop/health")).json()
        assert own["error"]["message"] == "the model is still loading", "the replica's own words"
        assert (await http.get("/serve/biology/shop/health")).status_code == 403
    (seen,) = service.headers
    assert "authorization" not in seen


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (Judged(refusal="this token is not good here"), 401, "invalid_api_key"),
        (Judged(refusal="say in which project", denied=True), 403, "denied"),
    ],
)
async def test_a_refusal_of_control_is_told(tmp_path: Path, said: Judged, status: int, code: str) -> None:
    world = World(tmp_path, {"s1": Service()})
    app, shown = await world.ready(), token()
    world.control.people[shown] = said
    async with client(app, Authorization=f"Bearer {shown}") as http:
        answer = await http.post("/v1/completions", json=ASK)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["message"] == said.refusal
    assert world.transport.asked == []


async def test_what_control_said_is_good_for_half_a_minute() -> None:
    control, shown = Control(snapshot()), token()
    control.people[shown] = ANN
    known = tokens(control)
    for at in (NOW, NOW + FRESH_S - 1):
        assert await known.caller(shown, None, at) == Caller("physics", "ann")
    assert len(control.heard) == 1
    control.people[shown] = Judged(refusal="user ann is disabled")
    with pytest.raises(Unauthenticated, match="disabled"):
        await known.caller(shown, None, NOW + FRESH_S)


async def test_another_project_is_another_question() -> None:
    control, shown = Control(snapshot()), token()
    control.people[shown] = ANN
    known = tokens(control)
    await known.caller(shown, "physics", NOW)
    control.people[shown] = Judged(refusal="no role in project biology", denied=True)
    with pytest.raises(Denied):
        await known.caller(shown, "biology", NOW)


async def test_while_control_is_away_a_known_token_is_good_until_it_ends() -> None:
    control, shown = Control(snapshot()), token(ends=NOW + 300)
    control.people[shown] = ANN
    known = tokens(control)
    await known.caller(shown, None, NOW)
    control.down = True
    assert await known.caller(shown, None, NOW + 299) == Caller("physics", "ann")
    with pytest.raises(Unavailable, match="control cannot say"):
        await known.caller(shown, None, NOW + 300)


async def test_while_control_is_away_unknown_and_refused_tokens_open_nothing() -> None:
    control = Control(snapshot())
    known = tokens(control)
    with pytest.raises(Unauthenticated):
        await known.caller(token(), None, NOW)
    control.down = True
    for shown in (token(), token(NOW + 1)):
        with pytest.raises(Unavailable):
            await known.caller(shown, None, NOW + FRESH_S)


@pytest.mark.parametrize("text", ["ey.a.b", "ey.!.b", "ey.e30.b", "ey.bnVsbA.b", "ey.eyJleHAiOiAieCJ9.b"])
async def test_what_says_no_end_has_ended(text: str) -> None:
    assert ends_at(text) == 0.0


async def test_a_monstrous_token_is_refused_without_asking() -> None:
    control = Control(snapshot())
    with pytest.raises(Unauthenticated, match="too long"):
        await tokens(control).caller("ey." + "a" * 20_000 + ".b", None, NOW)
    assert control.heard == []


async def test_control_is_told_which_keys_were_used(tmp_path: Path) -> None:
    named = key().model_copy(update={"name": "mine"})
    world = World(tmp_path, {"s1": Service()}, told=snapshot("s1", keys=(named,)))
    app = await world.ready()
    async with client(app, Authorization=f"Bearer {KEY}") as http:
        began = time.time()
        await http.post("/v1/completions", json=ASK)
        await http.get("/v1/models")
    assert await world.gateway.used.tell()
    assert await world.gateway.used.tell(), "nothing to say"
    (told,) = world.control.heard
    assert began <= told["at"]["mine"] <= time.time()


async def test_what_control_could_not_be_told_is_told_later(tmp_path: Path) -> None:
    world = World(tmp_path, {})
    world.gateway.used.note("mine", NOW)
    world.control.down = True
    assert not await world.gateway.used.tell()
    world.control.down = False
    world.gateway.used.note("yours", NOW + 1)
    assert await world.gateway.used.tell()
    assert world.control.heard == [{"at": {"mine": NOW, "yours": NOW + 1}}]
