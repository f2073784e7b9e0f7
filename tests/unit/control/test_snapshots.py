"""What the gateway is told."""

import asyncio
import hashlib

import pytest

from fabric.api.gateway import EndpointView, GatewaySnapshot, ServedModel
from fabric.control.callers import LOCAL_ADMIN
from fabric.control.snapshots import served_names
from fabric.scheduler.ports import ClusterView, Phase
from fabric.workloads.spec import ServiceSpec, WorkloadSpec
from fabric.workloads.states import State
from tests.unit.control.world import START, World

PATH = "/api/gateway/snapshot"


def serve(world: World, name: str, model: str, project: str = "default") -> None:
    service = ServiceSpec(model=model, engine="echo")
    world.clock.at += 1
    world.service.submit(WorkloadSpec(name=name, kind="service", service=service, project=project), LOCAL_ADMIN)


def ready(world: World, name: str, port: int) -> None:
    world.run(name)
    cluster = f"{name}-1"
    world.views[cluster] = ClusterView(cluster, Phase.READY, endpoint=f"http://127.0.0.1:{port}", secret="s")


def snapshot(world: World, **query: float) -> GatewaySnapshot:
    return GatewaySnapshot.model_validate_json(world.client().get(PATH, params=query).content)


def test_a_ready_service_is_told_with_its_endpoint_and_all_its_names(world: World) -> None:
    serve(world, "chat", "tale@champion", "alpha")
    ready(world, "chat", 23001)
    assert snapshot(world).models == (
        ServedModel(
            id="tale", aliases=("tale@champion", "chat"), workload="chat", project="alpha", created=int(START + 1),
            endpoints=(EndpointView(url="http://127.0.0.1:23001", secret="s"),),
        ),
    )  # fmt: skip
    assert snapshot(world).anonymous is True


def test_a_service_goes_on_answering_while_it_is_resized(world: World) -> None:
    serve(world, "chat", "small@champion")
    ready(world, "chat", 21001)
    before = snapshot(world).models
    world.change("chat", State.RESIZING, condition="ready")
    assert snapshot(world).models == before
    assert before[0].endpoints
    assert world.client().get("/api/fabric/workloads/chat").json()["endpoint"]


def test_a_service_that_is_not_ready_is_known_without_an_endpoint(world: World) -> None:
    serve(world, "chat", "tale")
    assert [(m.id, m.endpoints) for m in snapshot(world).models] == [("tale", ())]
    ready(world, "chat", 1)
    world.change("chat", State.STOPPING)
    assert [(m.id, m.endpoints) for m in snapshot(world).models] == [("tale", ())]


def test_services_that_ended_and_jobs_are_not_told(world: World) -> None:
    serve(world, "chat", "tale")
    world.change("chat", State.FAILED)
    world.job("mine")
    assert snapshot(world).models == ()


def test_a_name_that_two_services_want_belongs_to_the_ready_one_and_then_to_the_older_one(world: World) -> None:
    serve(world, "old", "tale:1")
    serve(world, "new", "tale:2")
    assert [(m.id, m.aliases, m.workload) for m in snapshot(world).models] == [
        ("tale", ("tale:1", "old"), "old"),
        ("tale:2", ("new",), "new"),
    ]
    ready(world, "new", 1)
    assert [(m.id, m.aliases, m.workload) for m in snapshot(world).models] == [
        ("tale", ("tale:2", "new"), "new"),
        ("tale:1", ("old",), "old"),
    ]


def test_projects_may_serve_models_of_the_same_name(world: World) -> None:
    for project in ("beta", "alpha"):
        serve(world, f"of-{project}", "tale@champion", project)
    assert [(m.id, m.aliases, m.project) for m in snapshot(world).models] == [
        ("tale", ("tale@champion", "of-alpha"), "alpha"),
        ("tale", ("tale@champion", "of-beta"), "beta"),
    ]


def test_names_of_a_model_are_told_once(world: World) -> None:
    serve(world, "tale", "tale")
    assert served_names(world.records.get("tale")) == ("tale",)
    world.job("mine")
    assert served_names(world.records.get("mine")) == ()


def test_valid_keys_of_people_are_told_by_their_digests(world: World) -> None:
    world.issue("m", "member", "alpha", expires=START + 100)
    world.issue("a", "admin")
    world.issue("old", "member", "alpha", expires=START - 1)
    world.issue("gone", "member", "alpha", revoked=START - 1)
    world.issue("g", "gateway")
    world.issue("w", "workload", "alpha", workload="mine")
    world.issue("f", "emperor", "alpha")
    world.issue("s", "member", "alpha", scopes=("look",))
    told = {key.sha256: (key.project, key.expires_at) for key in snapshot(world).keys}
    assert told == {
        hashlib.sha256(b"m").hexdigest(): ("alpha", START + 100),
        hashlib.sha256(b"a").hexdigest(): ("default", None),
    }


def test_the_key_of_somebody_who_left_is_told_no_more(world: World) -> None:
    world.person("ann", "member", "alpha")
    world.person("bob", "viewer", "alpha", scopes=("ask",))
    told = {key.name for key in snapshot(world).keys}
    world.records.remove_member("ann", "alpha")
    world.records.disable_user("bob")
    assert (told, snapshot(world).keys) == ({"ann's", "bob's"}, ())


def test_the_version_grows_with_changes_only_and_over_restarts(world: World) -> None:
    first = snapshot(world).version
    assert snapshot(world).version == first
    serve(world, "chat", "tale")
    second = snapshot(world).version
    assert second > first
    assert second >= START * 1000


async def test_a_request_may_wait_for_the_next_version(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fabric.control.http.gateway.LOOK_INTERVAL_S", 0.01)
    async with world.asynchronous() as client:
        version = (await client.get(PATH)).json()["version"]
        same = await client.get(PATH, params={"version": version, "wait_s": 0.05})
        assert same.json()["version"] == version
        waiting = asyncio.create_task(client.get(PATH, params={"version": version, "wait_s": 20}))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        serve(world, "chat", "tale")
        answer = await asyncio.wait_for(waiting, 5)
    assert [model["id"] for model in answer.json()["models"]] == ["tale"]
