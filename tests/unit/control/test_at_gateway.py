"""What control answers the gateway about people."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from fabric.api.gateway import JUDGE, USES
from fabric.control.oidc import OidcTokens
from tests.unit.control.test_oidc import SETTINGS, Provider
from tests.unit.control.world import START, World


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def world(make_world: Callable[..., World], provider: Provider) -> World:
    world = make_world(anonymous=False, tokens=OidcTokens(SETTINGS, httpx.MockTransport(provider)))
    world.issue("gateway", "gateway")
    return world


def judged(world: World, token: str, project: str | None = None) -> Any:
    return world.client("gateway").post(JUDGE, json={"token": token, "project": project}).json()


def test_a_good_token_is_told_with_its_owner_and_project(world: World, provider: Provider) -> None:
    assert judged(world, provider.token()) == {
        "name": "ann", "project": "alpha", "everywhere": False, "refusal": "", "denied": False,
    }  # fmt: skip
    staff = provider.token(preferred_username="bob", realm_access={"roles": ["staff"]})
    assert judged(world, staff) | {"refusal": ""} == {
        "name": "bob", "project": "default", "everywhere": True, "refusal": "", "denied": False,
    }  # fmt: skip


def test_in_which_project_one_acts_can_be_said_and_sometimes_must_be(world: World, provider: Provider) -> None:
    both = provider.token(groups=["alpha-people", "beta-people"])
    assert judged(world, both, "beta")["project"] == "beta"
    told = judged(world, both)
    assert (told["denied"], told["name"]) == (True, "")
    assert "X-Fabric-Project" in told["refusal"]
    assert judged(world, both, "gamma")["denied"]


@pytest.mark.parametrize("claims", [{"exp": START - 100}, {"aud": "another"}, {"preferred_username": None}])
def test_a_token_that_is_not_good_is_refused(world: World, provider: Provider, claims: dict[str, Any]) -> None:
    told = judged(world, provider.token(**claims))
    assert told["refusal"]
    assert not told["denied"]


def test_who_was_disabled_is_refused(world: World, provider: Provider) -> None:
    assert judged(world, token := provider.token())["refusal"] == ""
    world.records.disable_user("ann")
    assert "disabled" in judged(world, token)["refusal"]


def test_a_provider_that_is_away_is_no_refusal(world: World, provider: Provider) -> None:
    provider.away = True
    answer = world.client("gateway").post(JUDGE, json={"token": provider.token()})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_what_the_gateway_saw_of_keys_is_remembered(world: World) -> None:
    for name in ("early", "late", "future"):
        world.issue(name, "member", "alpha")
    world.records.touch("late's", START - 10)
    uses = {"early's": START - 50, "late's": START - 60, "future's": START + 1000, "gone": START}
    assert world.client("gateway").post(USES, json={"at": uses}).status_code == 204
    used = {key.name: key.used for key in world.records.keys(None)}
    assert (used["early's"], used["late's"], used["future's"]) == (START - 50, START - 10, START)


@pytest.mark.parametrize("body", [{"at": {"a": "b"}}, {"at": {"a": None}}, {"at": []}, {}, {"at": {}, "more": 1}])
def test_wrong_uses_are_refused(world: World, body: Any) -> None:
    assert world.client("gateway").post(USES, json=body).status_code == 400
