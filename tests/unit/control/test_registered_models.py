"""Aliases of models are moved by hand by who may, to versions that exist, and never without a record of who and why."""

from typing import Any

import pytest

from fabric.api.admin import ModelVersionView
from fabric.core.errors import BadInput, Unavailable
from tests.unit.control.world import START, World

PATH = "/api/fabric/models/alpha/play/aliases"
ASKED = {"version": 1, "reason": "2 answers in capitals"}


def version(number: int, *aliases: str, name: str = "play") -> ModelVersionView:
    return ModelVersionView(name=name, project="alpha", version=number, aliases=aliases, uri="x", created_at=0.0)


@pytest.fixture(autouse=True)
def two_versions(world: World) -> None:
    world.models.known = [version(2, "champion"), version(1)]


def moves(world: World) -> Any:
    return world.client().get(PATH).json()["moves"]


def test_an_alias_is_moved_and_it_is_recorded_by_whom_and_why(world: World) -> None:
    client = world.client(world.person("ann", "admin", "alpha"))
    said = client.put(f"{PATH}/champion", json=ASKED)
    told = {
        "project": "alpha", "model": "play", "alias": "champion", "version": 1, "before": 2, "by": "ann",
        "reason": "2 answers in capitals", "at": START,
    }  # fmt: skip
    assert (said.status_code, said.json()) == (200, told)
    assert [(each.version, each.aliases) for each in world.models.known] == [(2, ()), (1, ("champion",))]
    world.clock.at += 5
    assert client.put(f"{PATH}/tested", json=ASKED).json()["before"] is None
    assert [(each["alias"], each["at"]) for each in moves(world)] == [("tested", START + 5), ("champion", START)]


def test_a_move_by_hand_is_among_what_happened_at_the_site(world: World) -> None:
    world.client(world.person("ann", "admin", "alpha")).put(f"{PATH}/champion", json=ASKED)
    found = world.client().get("/api/fabric/events").json()["events"]
    assert [(each["kind"], each["about"], each["said"], each["by"]) for each in found if each["kind"] == "alias"] == [
        ("alias", "play@champion", "points to version 1 now", "ann")
    ]


def test_where_it_points_already_nothing_is_moved_or_recorded(world: World) -> None:
    for _ in range(2):
        assert world.client().put(f"{PATH}/champion", json={**ASKED, "version": 2}).status_code == 200
    assert moves(world) == []


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        (
            "alpha/play/aliases/champion",
            {**ASKED, "version": 3},
            404,
            "no play:3 in project alpha; it has the versions 1, 2",
        ),
        ("alpha/other/aliases/champion", ASKED, 404, "the project has no such model"),
        ("alpha/play/aliases/latest", ASKED, 400, "is no alias"),
        ("alpha/play/aliases/v2", ASKED, 400, "is no alias"),
        ("alpha/play/aliases/champion", {"version": 1}, 400, "reason"),
        ("alpha/play/aliases/champion", {**ASKED, "reason": ""}, 400, "reason"),
        ("alpha/play/aliases/champion", {**ASKED, "version": 0}, 400, "version"),
        ("alpha/play/aliases/champion", {**ASKED, "by": "bob"}, 400, "by"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_moves(
    world: World, path: str, body: dict[str, Any], status: int, says: str
) -> None:
    said = world.client().put(f"/api/fabric/models/{path}", json=body)
    assert (said.status_code, says in said.json()["message"]) == (status, True), said.text
    assert (moves(world), world.models.known[0].aliases) == ([], ("champion",))


@pytest.mark.parametrize(
    ("role", "project", "may"),
    [
        ("operator", "", True),
        ("admin", "", True),
        ("admin", "alpha", True),
        ("operator", "alpha", False),
        ("member", "alpha", False),
        ("viewer", "", False),
        ("admin", "beta", False),
    ],
)
def test_only_operators_and_administrators_of_the_project_may(world: World, role: str, project: str, may: bool) -> None:
    client = world.client(world.person("ann", role, project))
    assert (client.put(f"{PATH}/champion", json=ASKED).status_code == 200) is may
    assert len(moves(world)) == int(may)


def test_a_move_that_the_registry_refuses_is_not_recorded(world: World) -> None:
    world.models.broken = BadInput("MLflow does not like it")
    said = world.client().put(f"{PATH}/champion", json=ASKED)
    assert (said.status_code, moves(world)) == (400, [])


def test_a_move_of_which_the_registry_does_not_say_whether_it_was_made_stays_recorded(world: World) -> None:
    world.models.broken = Unavailable("MLflow does not answer")
    said = world.client().put(f"{PATH}/champion", json=ASKED)
    assert (said.status_code, len(moves(world))) == (503, 1)


def test_moves_of_other_projects_are_not_told(world: World) -> None:
    client = world.client(world.person("bob", "member", "beta"))
    assert client.get(PATH).status_code == 403
