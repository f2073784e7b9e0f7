"""The admin API."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fabric.api.admin import ErrorBody, ExplanationView, Health, ModelVersionView, NodeList, WorkloadList, WorkloadView
from fabric.config.projects import Project
from fabric.control.callers import LOCAL_ADMIN
from fabric.control.service import Service
from fabric.core.errors import BadInput, Unavailable
from fabric.workloads.spec import WorkloadSpec
from fabric.workloads.states import State
from tests.unit.control.world import SITE, START, World

WORKLOADS = "/api/fabric/workloads"
JOB = {"entrypoint": "python x.py"}
SERVICE: dict[str, Any] = {"kind": "service", "service": {"model": "tale@champion"}}


def submit(world: World, key: str | None = None, headers: dict[str, str] | None = None, **spec: Any) -> Any:
    spec = spec or {"name": "mine"}
    return world.client(key).post(WORKLOADS, json={"spec": {**JOB, **spec}}, headers=headers)


def test_a_workload_is_taken_in_and_shown(world: World) -> None:
    view = WorkloadView.model_validate_json(submit(world, name="mine", priority="interactive").content)
    assert (view.name, view.state, view.priority, view.submitted_at) == ("mine", "queued", "interactive", START)
    assert WorkloadView.model_validate_json(world.client().get(f"{WORKLOADS}/mine").content) == view
    assert world.process.woken == 1


def test_a_name_is_made_up_where_there_is_none(world: World) -> None:
    assert submit(world, priority="batch").json()["name"] == "job-000001"


def test_a_repeated_submission_with_the_same_key_happens_once(world: World) -> None:
    first, second = (submit(world, headers={"Idempotency-Key": "k"}, priority="batch") for _ in range(2))
    assert first.json()["name"] == second.json()["name"]
    assert len(world.records.list()) == 1
    other = submit(world, headers={"Idempotency-Key": "k"}, priority="harvest")
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


def test_what_was_let_in_is_not_refused_when_it_is_asked_for_again(world: World) -> None:
    world.job("first")
    asked: dict[str, Any] = {"headers": {"Idempotency-Key": "k"}, "after": ["first"]}
    made = submit(world, **asked).json()["name"]
    world.change("first", State.FAILED)
    assert submit(world, **asked).json()["name"] == made
    refused = submit(world, after=["first"], headers={"Idempotency-Key": "another"})
    assert (refused.status_code, "would wait for ever" in refused.json()["message"]) == (400, True)
    assert submit(world, **asked, priority="harvest").status_code == 400
    world.client().put("/api/fabric/projects/default", json={"closed": True})
    assert submit(world, **asked).json()["name"] == made


@pytest.mark.parametrize("now", [0, 1, 3], ids=["gone", "fewer", "another of that name"])
def test_what_came_after_an_array_is_told_again_whatever_became_of_its_elements(world: World, now: int) -> None:
    world.array("sweep", 2)
    world.job("first")
    asked: dict[str, Any] = {"headers": {"Idempotency-Key": "k"}, "after": ["sweep", "first", "first"]}
    made = submit(world, **asked).json()["name"]
    for name in (made, "sweep.0", "sweep.1", "first"):
        world.end(name)
    for name in ("sweep.0", "sweep.1")[: 2 - now if now < 2 else 2]:
        world.service.delete(name, LOCAL_ADMIN)
    if now > 2:
        world.array("sweep", now)
    assert submit(world, **asked).json()["name"] == made
    for other in (["sweep"], ["first"], ["sweep", "first", made]):
        assert submit(world, **{**asked, "after": other}).status_code in {404, 409}


def test_the_key_of_one_project_means_nothing_in_another(make_world: Callable[..., World]) -> None:
    world = make_world(anonymous=False)
    world.person("ann", "member", "alpha")
    world.person("bob", "member", "beta")
    names = set()
    for key in ("ann", "bob", "ann"):
        answer = world.client(key).post(
            "/api/fabric/workloads", json={"spec": {"entrypoint": "x"}}, headers={"Idempotency-Key": "k"}
        )
        names.add(answer.json()["name"])
    assert len(names) == 2
    other = {"entrypoint": "x", "project": "alpha"}
    refused = world.client("bob").post("/api/fabric/workloads", json={"spec": other}, headers={"Idempotency-Key": "k"})
    assert refused.status_code == 403


@pytest.mark.parametrize(
    ("spec", "status", "code", "words"),
    [
        ({"nam": "x"}, 400, "bad_input", "spec.nam: unknown key. Did you mean 'name'"),
        ({"groups": [{"cpus": "2"}]}, 400, "bad_input", "spec.groups.0.cpus"),
        ({"priority": "high"}, 400, "bad_input", "spec.priority"),
        ({"groups": [{"gpus": 3}]}, 400, "does_not_fit", "gpu-0, tier gpu"),
        ({"groups": [{"tier": "tpu"}]}, 400, "does_not_fit", "commodity, gpu"),
        ({"after": ["nobody"]}, 404, "not_found", "there is no workload nobody"),
        ({"after": ["failed"]}, 400, "bad_input", "wait for ever"),
        ({"after": ["chat"]}, 400, "bad_input", "is a service"),
        ({"name": "x", "after": ["x"]}, 400, "bad_input", "cannot come after itself"),
        ({"name": "failed"}, 409, "conflict", "already"),
        ({"env": {"A=": "b"}}, 400, "bad_input", "env: 'A=' is no name"),
        ({"env": {"FABRIC_CLUSTER": "b"}}, 400, "bad_input", "env: FABRIC_CLUSTER is set by the fabric"),
        ({"env": {"SPT_NOENV": "0"}}, 400, "bad_input", "env: SPT_NOENV is set by the fabric"),
        ({"entrypoint_gpus": 1, "groups": [{"cpus": 1}]}, 400, "bad_input", "entrypoint needs 1 GPUs"),
        ({"walltime_s": 15.0}, 400, "bad_input", "walltime_s: 15 s leave no time to work: this site asks"),
        ({"walltime_s": 20.0}, 400, "bad_input", "work to leave 20 s before its walltime is over. Ask for more."),
        ({"project": "../x"}, 400, "bad_input", "project name"),
        ({**SERVICE, "entrypoint": ""}, 404, "not_found", "there is no model 'tale'; registered: play"),
        ({**SERVICE, "entrypoint": "", "service": {"model": "play@champ"}}, 404, "not_found", "the aliases champion"),
        ({**SERVICE, "entrypoint": "", "service": {"model": "play:2"}}, 404, "not_found", "the versions 1"),
        ({**SERVICE, "entrypoint": "", "service": {"model": "play@a:b"}}, 400, "bad_input", "names no model"),
    ],
)
def test_a_wrong_submission_is_refused_with_place_and_code(
    world: World, spec: Any, status: int, code: str, words: str
) -> None:
    world.models.known = [ModelVersionView(name="play", version=1, aliases=("champion",), uri="x", created_at=0.0)]
    world.job("failed")
    world.change("failed", State.FAILED)
    chat = {**SERVICE, "name": "chat", "entrypoint": "", "service": {"model": "echo", "engine": "echo"}}
    assert submit(world, **chat).status_code == 200
    answer = submit(world, **spec)
    error = ErrorBody.model_validate_json(answer.content)
    assert (answer.status_code, error.code) == (status, code), error
    assert words in error.message
    assert len(world.records.list()) == 2


@pytest.mark.parametrize("model", ["play", "play@champion", "play:1"])
def test_a_service_of_a_registered_model_is_taken_in(world: World, model: str) -> None:
    world.models.known = [ModelVersionView(name="play", version=1, aliases=("champion",), uri="x", created_at=0.0)]
    answer = submit(world, name="chat", entrypoint="", kind="service", service={"model": model})
    assert answer.status_code == 200


def test_workloads_are_listed_newest_first_by_state(world: World) -> None:
    for name in ("a", "b", "c"):
        world.clock.at += 1
        world.job(name)
    world.run("b")
    client = world.client()

    def names(**query: Any) -> list[str]:
        return [w.name for w in WorkloadList.model_validate_json(client.get(WORKLOADS, params=query).content).workloads]

    assert names() == ["c", "b", "a"]
    assert names(state="running") == ["b"]
    assert names(state=["queued", "running"], limit=2) == ["c", "b"]


@pytest.mark.parametrize(
    ("query", "words"), [("state=busy", "States: queued"), ("limit=0", "query.limit"), ("limit=x", "query.limit")]
)
def test_a_wrong_query_is_refused_with_its_place(world: World, query: str, words: str) -> None:
    answer = world.client().get(f"{WORKLOADS}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")
    assert words in answer.json()["message"]


def test_stopping_is_recorded_once_and_refused_at_the_end(world: World) -> None:
    world.job("mine")
    assert world.client().post(f"{WORKLOADS}/mine/stop", json={}).status_code == 200
    assert world.records.get("mine").stop_reason == "stopped by local administrator"
    world.change("mine", State.CANCELLED)
    assert world.client().post(f"{WORKLOADS}/mine/stop").status_code == 409


def test_only_what_has_ended_is_deleted_with_its_log(world: World) -> None:
    world.job("mine")
    assert world.client().delete(f"{WORKLOADS}/mine").status_code == 409
    world.write("mine", "x")
    world.change("mine", State.FAILED)
    assert world.client().delete(f"{WORKLOADS}/mine").status_code == 204
    assert world.client().get(f"{WORKLOADS}/mine").status_code == 404
    assert world.logs.read("mine") == (b"", 0)


def test_an_explanation_has_what_is_missing_and_the_history(world: World) -> None:
    world.job("mine")
    world.change("mine", State.QUEUED, waits_for="behind other", expected_start=START + 5)
    told = ExplanationView.model_validate_json(world.client().get(f"{WORKLOADS}/mine/explain").content)
    assert (told.missing, told.expected_start) == ("behind other", START + 5)
    assert told.workload.message.startswith("waits: behind other; expected start")
    world.run("mine")
    told = ExplanationView.model_validate_json(world.client().get(f"{WORKLOADS}/mine/explain").content)
    assert (told.missing, told.expected_start, told.workload.expected_start) == ("", None, None)
    assert [event.state for event in told.events] == ["queued", "queued", "running"]
    events = world.client().get(f"{WORKLOADS}/mine/events").json()
    assert events == [event.model_dump(mode="json") for event in told.events]


def test_what_a_workload_reports_is_shown(world: World) -> None:
    world.job("mine")
    world.run("mine")
    report = {"stage": "train", "done": 3, "total": 10, "unit": "steps", "metrics": {"loss": 1.5}}
    assert world.client().post(f"{WORKLOADS}/mine/report", json=report).status_code == 204
    progress = world.client().get(f"{WORKLOADS}/mine").json()["progress"]
    assert (progress["stage"], progress["done"], progress["metrics"]) == ("train", 3.0, {"loss": 1.5})


def test_reports_of_an_attempt_that_is_over_or_after_the_end_are_refused(world: World) -> None:
    world.job("mine")
    world.run("mine")
    path = f"{WORKLOADS}/mine/report"
    assert world.client().post(f"{path}?attempt=2", json={"done": 1}).status_code == 409
    assert world.client().post(path, json={"done": -1}).status_code == 400
    assert world.client().post(path, json={"checkpoint_bytes": 10**30}).status_code == 400
    assert world.client().post(path, content=b'{"metrics": {"loss": NaN}}').status_code == 400
    world.end("mine")
    assert world.client().post(path, json={"done": 1}).status_code == 409


def test_a_log_is_read_from_any_offset_and_says_when_it_is_complete(world: World) -> None:
    world.job("mine")
    world.run("mine")
    world.write("mine", "hello\nworld\n")
    client = world.client()
    first = client.get(f"{WORKLOADS}/mine/logs", params={"max_bytes": 6})
    headers = ("X-Fabric-Next-Offset", "X-Fabric-Complete")
    assert (first.text, *[first.headers[name] for name in headers]) == ("hello\n", "6", "false")
    rest = client.get(f"{WORKLOADS}/mine/logs", params={"offset": 6})
    assert (rest.text, *[rest.headers[name] for name in headers]) == ("world\n", "12", "false")
    world.end("mine")
    last = client.get(f"{WORKLOADS}/mine/logs", params={"offset": 12})
    assert (last.text, *[last.headers[name] for name in headers]) == ("", "12", "true")
    assert client.get(f"{WORKLOADS}/mine/logs?offset=-1").status_code == 400
    assert client.get(f"{WORKLOADS}/mine/logs?wait_s=inf").status_code == 400


async def test_a_request_for_logs_may_wait_for_the_next_bytes(world: World) -> None:
    world.job("mine")
    world.run("mine")
    async with world.asynchronous() as client:
        waiting = asyncio.create_task(client.get(f"{WORKLOADS}/mine/logs", params={"wait_s": 20}))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        world.write("mine", "news\n")
        assert (await asyncio.wait_for(waiting, 5)).text == "news\n"


def test_nodes_show_what_is_granted_on_them(world: World) -> None:
    world.job("mine")
    world.run("mine", "commodity-1")
    nodes = {
        node.name: node for node in NodeList.model_validate_json(world.client().get("/api/fabric/nodes").content).nodes
    }
    assert sorted(nodes) == ["commodity-0", "commodity-1", "gpu-0", "gpu-1"]
    busy = nodes["commodity-1"]
    assert (busy.used, busy.workloads) == ({"cpus": 1.0, "gpus": 0.0, "memory_bytes": 2.0**30}, ("mine",))
    assert (nodes["gpu-0"].capacity["gpus"], nodes["gpu-0"].used["gpus"]) == (2.0, 0.0)
    world.end("mine")
    assert world.client().get("/api/fabric/nodes").json()["nodes"][1]["workloads"] == []


def test_a_ready_service_has_the_gateways_address(world: World) -> None:
    submit(world, name="chat", entrypoint="", kind="service", service={"model": "echo", "engine": "echo"})
    world.run("chat")
    assert world.client().get(f"{WORKLOADS}/chat").json()["endpoint"] is None
    world.change("chat", State.RUNNING, condition="ready")
    assert world.client().get(f"{WORKLOADS}/chat").json()["endpoint"] == "http://127.0.0.1:8271/v1"


def test_models_are_listed(world: World) -> None:
    world.models.known = [ModelVersionView(name="play", version=1, uri="x", created_at=0.0)]
    assert world.client().get("/api/fabric/models").json()["models"][0]["name"] == "play"


def test_a_registry_that_does_not_answer_is_unavailable(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(project: str | None) -> None:
        raise Unavailable("MLflow does not answer")

    monkeypatch.setattr(world.models, "models", fail)
    answer = world.client().get("/api/fabric/models")
    assert (answer.status_code, answer.headers["Retry-After"], answer.json()["code"]) == (503, "2", "unavailable")


def test_health_counts_what_is_alive_and_notices_a_stuck_loop(world: World) -> None:
    world.job("a")
    world.job("b")
    world.change("b", State.FAILED)
    health = Health.model_validate_json(world.client().get("/api/fabric/health").content)
    assert (health.status, health.site, health.active) == ("ok", "toy", 1)
    world.process.age_s = 99.0
    assert "has not finished a step for 99 s" in world.client().get("/api/fabric/health").json()["status"]


@pytest.mark.parametrize(("body", "kill"), [(b"", False), (b"{}", False), (b'{"kill": true}', True)])
def test_a_shutdown_is_begun(world: World, body: bytes, kill: bool) -> None:
    assert world.client().post("/api/fabric/shutdown", content=body).status_code == 202
    assert world.process.ended == [kill]


def test_a_site_that_lists_projects_refuses_others_with_the_list(world: World) -> None:
    projects = (Project(name="physics"), Project(name="biology"))
    service = Service(world.service._ports, SITE.model_copy(update={"projects": projects}))
    spec = WorkloadSpec(name="a", entrypoint="x", project="physics")
    assert service.submit(spec, LOCAL_ADMIN).spec.project == "physics"
    for unknown in ("phisics", "default"):
        with pytest.raises(BadInput, match=f"no project '{unknown}' on toy; its projects are biology, physics") as no:
            service.submit(spec.model_copy(update={"name": "b", "project": unknown}), LOCAL_ADMIN)
        assert no.value.fields["project"] == unknown
