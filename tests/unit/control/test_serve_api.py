"""Ray Serve's REST API over the records."""

from typing import Any

import pytest

from fabric.control.callers import LOCAL_ADMIN
from fabric.control.deployed import serve_of
from fabric.control.spec_from_serve import spec_from_serve
from fabric.scheduler.ports import ClusterView, Phase
from fabric.workloads.record import Record
from fabric.workloads.states import State
from tests.unit.control.world import SITE, START, World

PATH = "/api/serve/applications/"
CONFIG: dict[str, Any] = {"applications": [{"import_path": "mine:app", "args": {"a": 1}}]}
OTHER: dict[str, Any] = {"applications": [{"import_path": "mine:other"}]}
SCALED: dict[str, Any] = {
    "applications": [
        {
            "import_path": "mine:app",
            "deployments": [
                {"name": "Echo", "autoscaling_config": {"max_replicas": 3}},
                {"name": "Front", "num_replicas": 1},
            ],
        }
    ]
}
NOTHING: dict[str, Any] = {"controller_info": {}, "proxies": {}, "applications": {}, "target_capacity": None}


def services(world: World) -> list[Record]:
    return list(world.records.list(kind="service"))


def told(world: World, key: str | None = None, **headers: str) -> Any:
    return world.client(key, **headers).get(PATH).json()


def test_the_version_is_one_that_the_stock_client_accepts(world: World) -> None:
    for before in ("", "/deployments/shop"):
        assert world.client().get(f"{before}/api/ray/version").json()["ray_version"] == "2.60.0"


def test_nothing_deployed_is_told_in_serves_words(world: World) -> None:
    assert told(world) == NOTHING
    assert world.client().delete(PATH).status_code == 200


@pytest.mark.parametrize("path", [PATH, PATH.rstrip("/")])
def test_a_configuration_becomes_one_service_workload(world: World, path: str) -> None:
    answer = world.client().put(path, json=CONFIG)
    assert (answer.status_code, answer.content) == (200, b"")
    (record,) = services(world)
    assert record.name.startswith("serve-default-")
    assert (record.state, record.spec.project, record.at.submitted) == (State.QUEUED, "default", START)
    application = told(world)["applications"]["default"]
    assert (application["status"], application["deployed_app_config"]) == ("DEPLOYING", CONFIG["applications"][0])
    assert world.process.woken == 1


def test_the_same_again_changes_nothing_and_another_replaces_it(world: World) -> None:
    for _ in range(2):
        world.client().put(PATH, json=CONFIG)
    (first,) = services(world)
    world.clock.at += 1
    world.client().put(PATH, json=OTHER)
    second, first = services(world)
    assert first.stop_reason == f"replaced by {second.name}, deployed by local administrator"
    assert told(world)["applications"]["default"]["deployed_app_config"] == OTHER["applications"][0]
    world.change(first.name, State.CANCELLED)
    world.client().put(PATH, json=OTHER)
    assert len(services(world)) == 2


@pytest.mark.parametrize("again", [CONFIG, OTHER], ids=["the older", "the newer"])
def test_of_two_that_a_kill_left_the_one_that_is_deployed_next_stays(world: World, again: dict[str, Any]) -> None:
    for config in (CONFIG, OTHER):
        world.service.submit(spec_from_serve(config, SITE, "default"), LOCAL_ADMIN)
        world.clock.at += 1
    world.client().put(PATH, json=again)
    live = [serve_of(record).config for record in services(world) if not record.stop_requested]
    assert live == [again]


def test_each_name_is_a_deployment_of_its_own_however_it_is_said(world: World) -> None:
    world.client(**{"fabric-deployment": "shop"}).put(PATH, json=CONFIG)
    world.client().put(f"{PATH}?deployment=lab", json=CONFIG)
    world.client().put(f"/deployments/bank{PATH}", json=CONFIG)
    found = {record.spec.serve.deployment for record in services(world) if record.spec.serve}
    assert found == {"shop", "lab", "bank"}
    assert told(world) == NOTHING
    for path in (f"/deployments/shop{PATH}", f"{PATH}?deployment=shop"):
        assert world.client().get(path).json()["applications"]
    world.client().delete(f"/deployments/shop{PATH}")
    asked = {r.spec.serve.deployment for r in services(world) if r.spec.serve and r.stop_requested}
    assert asked == {"shop"}


def test_a_call_sees_only_its_own_project(world: World) -> None:
    alpha, beta, seer = (
        world.issue(*who) for who in (("a", "member", "alpha"), ("b", "member", "beta"), ("v", "viewer", "alpha"))
    )
    world.client(alpha).put(PATH, json=CONFIG)
    world.client(beta).put(PATH, json=OTHER)
    assert {record.spec.project for record in services(world)} == {"alpha", "beta"}
    assert told(world, seer)["applications"]["default"]["deployed_app_config"]["import_path"] == "mine:app"
    world.client(beta).delete(PATH)
    assert [r.spec.project for r in services(world) if r.stop_requested] == ["beta"]
    assert world.client(seer).put(PATH, json=CONFIG).status_code == 403
    assert world.client(seer).delete(PATH).status_code == 403
    refused = world.client(beta, **{"fabric-project": "alpha"}).get(PATH)
    assert (refused.status_code, "sees no deployments of alpha" in refused.text) == (403, True)
    assert told(world, **{"fabric-project": "alpha"})["applications"], "a key of the whole site chooses"
    assert told(world) == NOTHING


def test_shutdown_ends_what_runs_and_forgets_what_failed(world: World) -> None:
    world.client().put(PATH, json=CONFIG)
    (failed,) = services(world)
    world.change(failed.name, State.FAILED, message="no such module")
    assert told(world)["applications"]["default"]["message"] == "no such module"
    world.clock.at += 1
    world.client().put(PATH, json=CONFIG)
    assert world.client().delete(PATH).status_code == 200
    (ending,) = services(world)
    assert ending.stop_requested
    assert told(world)["applications"]["default"]["status"] == "DELETING"
    world.change(ending.name, State.CANCELLED)
    assert told(world) == NOTHING


def test_a_configuration_without_applications_ends_the_deployment(world: World) -> None:
    world.client().put(PATH, json=CONFIG)
    assert world.client().put(PATH, json={"applications": []}).status_code == 200
    assert services(world)[0].stop_requested


def test_replicas_of_an_elastic_deployment_may_be_asked_for(world: World) -> None:
    path = "/api/v1/applications/default/deployments/{}/scale"
    wanted = {"target_num_replicas": 2}
    assert world.client().post(path.format("Echo"), json=wanted).status_code == 404
    world.client().put(PATH, json=SCALED)
    assert world.client().post(path.format("Echo"), json=wanted).status_code == 200
    assert services(world)[0].wants == 2
    refused = [
        world.client().post(path.format(name), json={"target_num_replicas": number})
        for name, number in (("Front", 2), ("Echo", 9), ("Echo", -1))
    ]
    assert [answer.status_code for answer in refused] == [400, 400, 400]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "no JSON"),
        (b"[]", "JSON object"),
        (b'{"applications": {}}', "applications"),
        (b'{"applications": [{"import_path": "a:b", "runtime_env": {"working_dir": "here"}}]}', "local path"),
        (b'{"applications": [{"import_path": "a:b", "runtime_env": {"env_vars": {"FABRIC_TOKEN": "x"}}}]}', "set by"),
        (
            b'{"applications": [{"import_path": "a:b", "deployments": [{"name": "A", "ray_actor_options": '
            b'{"num_gpus": 9}}]}]}',
            "has 2 GPUs",
        ),
    ],
)
def test_what_can_never_run_is_refused_as_text_with_the_reason(world: World, body: bytes, words: str) -> None:
    answer = world.client().put(PATH, content=body)
    assert (answer.status_code, answer.headers["content-type"].startswith("text/plain")) == (400, True)
    assert words in answer.text
    assert services(world) == []


def test_a_deployment_needs_a_name_that_a_path_can_hold(world: World) -> None:
    answer = world.client(**{"fabric-deployment": "../x"}).put(PATH, json=CONFIG)
    assert (answer.status_code, "is not a deployment name" in answer.text) == (400, True)


def test_the_cluster_is_asked_for_what_it_said_last_and_the_gateway_is_told_where_it_answers(world: World) -> None:
    world.client().put(PATH, json=CONFIG)
    (record,) = services(world)
    world.run(record.name)
    world.change(record.name, State.RUNNING, condition="ready")
    application: dict[str, Any] = {
        "name": "default",
        "status": "RUNNING",
        "message": "",
        "deployments": {},
        "docs_path": None,
    }
    details = {"applications": {"default": application}}
    view = ClusterView(record.cluster, Phase.READY, born=START, endpoint="http://127.0.0.1:9", details=details)
    world.views[record.cluster] = view
    assert told(world)["applications"]["default"]["status"] == "RUNNING"
    (known,) = world.client().get("/api/gateway/snapshot").json()["deployments"]
    assert (known["project"], known["name"], known["endpoints"][0]["url"]) == (
        "default",
        "default",
        "http://127.0.0.1:9",
    )
    shown = world.client().get(f"/api/fabric/workloads/{record.name}").json()
    assert shown["endpoint"] == "http://127.0.0.1:8271/serve/default/default"


@pytest.mark.parametrize(("source", "number"), [("declarative", 1), ("imperative", 0)])
def test_everything_was_declared(world: World, source: str, number: int) -> None:
    world.client().put(PATH, json=CONFIG)
    assert len(world.client().get(PATH, params={"api_type": source}).json()["applications"]) == number
    assert world.client().get(PATH, params={"api_type": "x"}).status_code == 400


def test_a_spec_may_hold_a_serve_configuration_and_a_bad_one_is_refused(world: World) -> None:
    spec: dict[str, Any] = {"name": "mine", "kind": "service", "serve": {"config": CONFIG}}
    assert world.client().post("/api/fabric/workloads", json={"spec": spec}).status_code == 200
    bad = spec | {"name": "bad", "serve": {"config": {"applications": [3]}}}
    answer = world.client().post("/api/fabric/workloads", json={"spec": bad})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")
