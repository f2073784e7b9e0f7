"""Deployments over time: what is served under a name, what was served before, and the way back."""

from collections.abc import Callable
from typing import Any

import pytest

from fabric.api.admin import ModelVersionView
from fabric.control.callers import LOCAL_ADMIN
from fabric.control.deployments import finish_replacements
from fabric.control.models import Models
from fabric.workloads.record import Record
from fabric.workloads.spec import WorkloadSpec
from fabric.workloads.states import State
from tests.unit.control.world import World

DEPLOYED = "/api/fabric/deployments"
SERVE = "/api/serve/applications/"
ECHO: dict[str, Any] = {"applications": [{"name": "echo", "import_path": "mine:echo"}]}
OTHER: dict[str, Any] = {"applications": [{"name": "other", "import_path": "mine:other"}]}


def versions(*numbers: int) -> list[ModelVersionView]:
    """Versions of one model; the last one is its champion."""
    return [
        ModelVersionView(
            name="play", version=n, uri="x", created_at=0.0, aliases=("champion",) if n == numbers[-1] else ()
        )
        for n in numbers
    ]


@pytest.fixture(autouse=True)
def models(world: World) -> None:
    world.models.known = versions(1, 2, 3)


def deploy(world: World, name: str, key: str | None = None, **service: Any) -> Any:
    section = {"model": "play@champion", "deployment": "chat", **service}
    spec = {"name": name, "kind": "service", "service": section, "groups": [{"gpus": 1.0}]}
    return world.client(key).post("/api/fabric/workloads", json={"spec": spec})


def answers(world: World, name: str, version: int | None = None) -> None:
    """Let a service have begun."""
    if version is not None:
        world.models.pins[name] = f"play:{version}"
    world.run(name)


def rollback(world: World, name: str = "chat", key: str | None = None, **body: Any) -> Any:
    return world.client(key).post(f"{DEPLOYED}/{name}/rollback", json=body)


def live(world: World) -> list[Record]:
    return [r for r in world.records.list(kind="service") if not r.state.final and not r.stop_requested]


def test_a_new_revision_takes_the_place_of_the_one_before(world: World) -> None:
    assert deploy(world, "one").status_code == 200
    answers(world, "one", 2)
    assert deploy(world, "two").status_code == 200
    assert [record.name for record in live(world)] == ["two"]
    view = world.client().get(f"{DEPLOYED}/chat").json()
    assert (view["name"], view["project"], view["kind"]) == ("chat", "default", "model")
    told = [(one["workload"], one["version"], one["ran"]) for one in view["revisions"]]
    assert told == [("two", "", False), ("one", "play:2", True)]


def test_going_back_serves_the_very_version_of_then_under_the_same_names(world: World) -> None:
    deploy(world, "one")
    answers(world, "one", 2)
    deploy(world, "two")
    answers(world, "two", 3)
    back = rollback(world).json()
    spec = world.records.get(back["name"]).spec
    assert back["name"].startswith("chat-")
    assert spec.service is not None
    assert (spec.service.model, spec.service.version, spec.service.exact) == ("play@champion", 2, "play:2")
    assert spec.groups[0].gpus == 1.0
    assert [record.name for record in live(world)] == [back["name"]]
    answers(world, back["name"], 2)
    again = rollback(world).json()
    service = world.records.get(again["name"]).spec.service
    assert service is not None
    assert service.version == 3


def test_one_that_never_answered_or_serves_the_same_is_passed_over(world: World) -> None:
    deploy(world, "one")
    answers(world, "one", 2)
    deploy(world, "broken")
    deploy(world, "two")
    answers(world, "two", 3)
    deploy(world, "three")
    answers(world, "three", 3)
    service = world.records.get(rollback(world).json()["name"]).spec.service
    assert service is not None
    assert service.version == 2


def test_any_revision_may_be_named(world: World) -> None:
    for number, name in enumerate(("one", "two", "three"), start=1):
        deploy(world, name)
        answers(world, name, number)
    made = rollback(world, to="one").json()["name"]
    service = world.records.get(made).spec.service
    assert service is not None
    assert service.version == 1
    assert rollback(world, to=made).status_code == 409
    assert rollback(world, to="nobody").status_code == 404


@pytest.mark.parametrize(
    ("prepare", "status", "words"),
    [
        (lambda world: None, 404, "has no deployment chat"),
        (lambda world: deploy(world, "one"), 409, "has served nothing else before one"),
    ],
    ids=["nothing", "first"],
)
def test_where_there_is_nothing_to_go_back_to_is_said(
    world: World, prepare: Callable[[World], object], status: int, words: str
) -> None:
    prepare(world)
    refused = rollback(world)
    assert (refused.status_code, words in refused.json()["message"]) == (status, True)


def test_a_version_that_is_gone_or_never_began_cannot_come_back_and_what_runs_goes_on(world: World) -> None:
    deploy(world, "one")
    deploy(world, "two")
    answers(world, "two", 3)
    refused = rollback(world, to="one")
    assert (refused.status_code, "has never begun" in refused.json()["message"]) == (409, True)
    answers(world, "one", 1)
    world.models.known = versions(3)
    refused = rollback(world, to="one")
    assert (refused.status_code, "play:1" in refused.json()["message"]) == (404, True)
    assert [record.name for record in live(world)] == ["two"]


def test_a_deployment_that_has_ended_comes_back_by_name(world: World) -> None:
    deploy(world, "one")
    answers(world, "one", 2)
    world.end("one", State.CANCELLED)
    assert rollback(world, to="one").status_code == 200


def test_applications_of_serve_go_back_too(world: World) -> None:
    client = world.client()
    for config in (ECHO, OTHER):
        assert client.put(SERVE, json=config).status_code == 200
        world.run(live(world)[0].name)
    back = rollback(world, "default")
    assert back.status_code == 200
    assert client.get(SERVE).json()["applications"].keys() == {"echo"}
    view = client.get(f"{DEPLOYED}/default").json()
    assert (view["kind"], [one["serves"] for one in view["revisions"]]) == ("serve", ["echo", "other", "echo"])


def test_models_and_applications_do_not_take_each_others_names(world: World) -> None:
    client = world.client()
    deploy(world, "one", deployment="default")
    refused = client.put(SERVE, json=ECHO)
    assert (refused.status_code, "serves play@champion" in refused.text) == (409, True)
    client.put("/deployments/shop" + SERVE, json=ECHO)
    refused = deploy(world, "two", deployment="shop")
    assert (refused.status_code, "deployment of Serve applications" in refused.json()["message"]) == (409, True)
    spec = {"kind": "service", "serve": {"config": ECHO}}
    refused = client.post("/api/fabric/workloads", json={"spec": spec})
    assert (refused.status_code, "serves play@champion" in refused.json()["message"]) == (409, True)


def test_applications_that_come_as_a_workload_take_the_place_of_those_before_too(world: World) -> None:
    world.client().put(SERVE, json=ECHO)
    spec = {"name": "mine", "kind": "service", "serve": {"config": OTHER}}
    assert world.client().post("/api/fabric/workloads", json={"spec": spec}).status_code == 200
    assert [record.name for record in live(world)] == ["mine"]


def test_every_deployment_is_listed_with_what_it_serves_now(world: World) -> None:
    deploy(world, "one")
    deploy(world, "two")
    deploy(world, "alone", deployment=None)
    world.client().put(SERVE, json=ECHO)
    found = world.client().get(DEPLOYED).json()["deployments"]
    assert [(one["name"], one["revisions"][0]["serves"]) for one in found] == [
        ("chat", "play@champion"), ("default", "echo"),
    ]  # fmt: skip
    assert world.client().get(DEPLOYED, params={"project": "beta"}).json() == {"deployments": []}


def test_a_repeated_submission_does_not_end_what_came_after_it(world: World) -> None:
    spec = {"kind": "service", "service": {"model": "play", "deployment": "chat"}, "groups": [{"gpus": 1.0}]}
    keyed = {"Idempotency-Key": "k"}
    first = world.client().post("/api/fabric/workloads", json={"spec": spec}, headers=keyed).json()["name"]
    deploy(world, "two")
    again = world.client().post("/api/fabric/workloads", json={"spec": spec}, headers=keyed).json()["name"]
    assert (again, [record.name for record in live(world)]) == (first, ["two"])


def begin(world: World, name: str, project: str = "default", deployment: str | None = "chat") -> None:
    """Record a revision and go no further, as a control does that is killed there."""
    section = {"model": "play", "deployment": deployment}
    spec = {"name": name, "kind": "service", "project": project, "service": section}
    world.service.submit(WorkloadSpec.model_validate(spec), LOCAL_ADMIN)


def test_a_replacement_that_a_kill_came_into_is_finished_at_the_next_start(world: World) -> None:
    for name in ("one", "two", "three"):
        begin(world, name)
    begin(world, "theirs", project="beta")
    begin(world, "alone", deployment=None)
    begin(world, "alone-too", deployment=None)
    finish_replacements(world.records)
    assert {record.name for record in live(world)} == {"three", "theirs", "alone", "alone-too"}
    assert world.records.get("one").stop_reason == "replaced by three, deployed by local administrator"
    finish_replacements(world.records)
    assert len(live(world)) == 4


def test_a_replacement_that_went_wrong_halfway_is_finished_when_it_is_repeated(world: World) -> None:
    begin(world, "one")
    spec = {"kind": "service", "service": {"model": "play", "deployment": "chat"}}
    asked: dict[str, Any] = {"json": {"spec": spec}, "headers": {"Idempotency-Key": "k"}}
    world.service.submit(WorkloadSpec.model_validate(spec), LOCAL_ADMIN, "k")
    made = world.client().post("/api/fabric/workloads", **asked).json()["name"]
    assert [record.name for record in live(world)] == [made]


def test_nobody_sees_or_turns_back_another_projects_deployment(make_world: Callable[..., World]) -> None:
    world = make_world(anonymous=False)
    world.models.known = versions(1)
    for name, role, project in (("ann", "member", "alpha"), ("vic", "viewer", "alpha"), ("bob", "admin", "beta")):
        world.person(name, role, project)
    assert deploy(world, "one", "ann").json()["project"] == "alpha"
    assert world.client("vic").get(f"{DEPLOYED}/chat").status_code == 200
    assert rollback(world, key="vic").status_code == 403
    bob = world.client("bob")
    codes = [
        bob.get(f"{DEPLOYED}/chat").status_code,
        bob.get(f"{DEPLOYED}/chat", params={"project": "alpha"}).status_code,
        bob.get(DEPLOYED, params={"project": "alpha"}).status_code,
        bob.post(f"{DEPLOYED}/chat/rollback", params={"project": "alpha"}).status_code,
    ]
    assert codes == [404, 403, 403, 403]
    deploy(world, "theirs", "bob")
    assert {record.name for record in live(world)} == {"one", "theirs"}


def test_what_a_service_is_pinned_to_is_told_once_it_has_begun(world: World) -> None:
    deploy(world, "one")
    models = Models("http://127.0.0.1:1", world.records)
    assert (models.pinned("one"), models.pinned("nobody")) == ("", "")
    world.records.secret("one", "model", lambda: '{"model": "play:2", "uri": "file:///m"}')
    assert models.pinned("one") == "play:2"
