"""What the client asks for and gives back."""

import inspect
import json
from pathlib import Path

import httpx
import pytest

from fabric.api import admin
from fabric.core.errors import BadInput, Unavailable
from fabric.sdk import AsyncClient, Client
from fabric.sdk.arrays import Arrays, AsyncArrays
from fabric.sdk.artifacts import Artifacts, AsyncArtifacts
from fabric.sdk.package import pack
from fabric.sdk.people import AsyncPeople, People
from fabric.sdk.secrets import AsyncSecrets, Secrets
from fabric.workloads.spec import Group, WorkloadSpec
from tests.unit.sdk.fakes import ADDRESS, FakeControl, answer, view

ONE = "GET /api/fabric/workloads/a"
SUBMIT = "POST /api/fabric/workloads"


@pytest.fixture
def fabric(control: FakeControl) -> AsyncClient:
    return AsyncClient(ADDRESS, transport=control.transport, patience_s=5)


def sent_spec(control: FakeControl) -> WorkloadSpec:
    body = next(request for request in control.asked if request.url.path == admin.WORKLOADS).content
    return admin.SubmitRequest.model_validate_json(body).spec


async def test_a_spec_arrives_as_it_was_given(control: FakeControl, fabric: AsyncClient) -> None:
    spec = WorkloadSpec(name="a", entrypoint="true", groups=(Group(count=2, tier="gpu", gpus=1.0),))
    control.on(SUBMIT, answer(view("a", "queued"), 201))
    assert (await fabric.submit(spec)).state == "queued"
    assert sent_spec(control) == spec


async def test_a_mapping_is_a_spec_too(control: FakeControl, fabric: AsyncClient) -> None:
    control.on(SUBMIT, answer(view("a"), 201))
    await fabric.submit({"name": "a", "entrypoint": "true", "priority": "harvest", "groups": [{"count": 3}]})
    assert sent_spec(control).groups == (Group(count=3),)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({}, "top level: a job needs an entrypoint"),
        ({"entrypoint": "true", "gpu": 1}, "gpu: Extra inputs are not permitted"),
        ({"entrypoint": "true", "groups": [{"cpus": -1}]}, r"groups\.0\.cpus"),
        ({"entrypoint": "true", "groups": [{"memory": "lots"}]}, r"groups\.0: 'lots'"),
        ({"entrypoint": "true", "priority": "urgent"}, "priority"),
        ({"entrypoint": "true", "metadata": {"at": object()}}, "not JSON serializable"),
    ],
)
async def test_an_impossible_spec_is_refused_before_anything_is_sent(
    control: FakeControl, fabric: AsyncClient, spec: dict[str, object], problem: str
) -> None:
    with pytest.raises(BadInput, match=problem):
        await fabric.submit(spec)
    assert control.asked == []


async def test_a_local_working_directory_is_sent_ahead_under_a_name_made_of_its_contents(
    control: FakeControl, fabric: AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text("print(1)")
    control.on(SUBMIT, answer(view("a"), 201))
    package = pack(tmp_path)
    control.on(f"PUT {package.path}", httpx.Response(200))
    await fabric.submit({"entrypoint": "python a.py", "runtime_env": {"working_dir": str(tmp_path)}})
    assert [f"{request.method} {request.url.path}" for request in control.asked] == [
        f"GET {package.path}",
        f"PUT {package.path}",
        SUBMIT,
    ]
    assert control.asked[1].content == package.content
    assert sent_spec(control).runtime_env == {"working_dir": package.uri}


async def test_a_working_directory_that_control_has_is_not_sent_again(
    control: FakeControl, fabric: AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text("print(1)")
    control.on(SUBMIT, answer(view("a"), 201)).on(f"GET {pack(tmp_path).path}", httpx.Response(200))
    await fabric.submit({"entrypoint": "python a.py", "runtime_env": {"working_dir": str(tmp_path)}})
    assert {request.method for request in control.asked} == {"GET", "POST"}


async def test_a_working_directory_that_is_a_package_already_stays(control: FakeControl, fabric: AsyncClient) -> None:
    control.on(SUBMIT, answer(view("a"), 201))
    await fabric.submit({"entrypoint": "true", "runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}})
    assert sent_spec(control).runtime_env == {"working_dir": "gcs://_ray_pkg_1.zip"}


async def test_a_deployed_model_is_a_service_of_one_group(control: FakeControl, fabric: AsyncClient) -> None:
    control.on(SUBMIT, answer(view("serve-x", "queued"), 201))
    control.on(
        "GET /api/fabric/workloads/serve-x",
        answer(view("serve-x", "running", kind="service", condition="degraded")),
        answer(view("serve-x", "running", kind="service", condition="ready", endpoint="http://g/v1")),
    )
    ready = await fabric.deploy("shakespeare@champion", engine="transformers", gpus=0.5)
    assert ready.endpoint == "http://g/v1"
    spec = sent_spec(control)
    assert (spec.name or "").startswith("serve-shakespeare-")
    assert (spec.kind, spec.priority) == ("service", "serving")
    assert spec.groups == (Group(tier="gpu", cpus=2.0, gpus=0.5, memory="3 GiB"),)
    assert spec.service is not None
    assert (spec.service.model, spec.service.engine) == ("shakespeare@champion", "transformers")


async def test_an_impossible_deployment_is_refused(fabric: AsyncClient) -> None:
    with pytest.raises(BadInput, match="'lots'"):
        await fabric.deploy("m@a", memory="lots")


async def test_waiting_ends_with_the_job_and_tells_each_change_once(control: FakeControl, fabric: AsyncClient) -> None:
    states = ("queued", "queued", "running", "running", "succeeded")
    control.on(ONE, *(answer(view("a", state)) for state in states))
    seen: list[str] = []
    assert (await fabric.wait("a", on_update=lambda now: seen.append(now.state))).state == "succeeded"
    assert seen == ["queued", "running", "succeeded"]


async def test_waiting_goes_on_while_control_is_started_again(control: FakeControl) -> None:
    gone = [httpx.ConnectError("refused")] * 5
    control.on(ONE, answer(view("a")), *gone, answer(view("a", "failed")))
    async with AsyncClient(ADDRESS, transport=control.transport, patience_s=0) as fabric:
        assert (await fabric.wait("a")).state == "failed"


async def test_waiting_too_long_says_where_it_stands(control: FakeControl, fabric: AsyncClient) -> None:
    control.on(ONE, answer(view("a", "queued", message="1 GPU more on tier gpu")))
    with pytest.raises(Unavailable, match="a is queued after 0.01 s: 1 GPU more on tier gpu") as caught:
        await fabric.wait("a", timeout_s=0.01)
    assert caught.value.fields == {"workload": "a", "state": "queued"}


async def test_a_service_is_waited_for_until_it_is_ready_or_on_wish_until_it_has_ended(
    control: FakeControl, fabric: AsyncClient
) -> None:
    ready = answer(view("a", kind="service", condition="ready"))
    control.on(ONE, ready, ready, answer(view("a", "cancelled", kind="service")))
    assert (await fabric.wait("a")).condition == "ready"
    assert (await fabric.wait("a", until_ended=True)).state == "cancelled"


def log(text: bytes, *, complete: bool = False, next_offset: int | None = None) -> httpx.Response:
    headers = {} if next_offset is None else {admin.NEXT_OFFSET: str(next_offset)}
    return httpx.Response(200, content=text, headers={**headers, admin.COMPLETE: str(complete).lower()})


async def test_a_log_is_followed_to_its_end_while_control_is_started_again(control: FakeControl) -> None:
    control.on(
        "GET /api/fabric/workloads/a/logs",
        log(b"one\n", next_offset=4),
        log(b"", next_offset=4),
        httpx.ConnectError("refused"),
        log("zwölf\n".encode()[:3], next_offset=7),
        log("zwölf\n".encode()[3:], next_offset=11, complete=True),
    )
    async with AsyncClient(ADDRESS, transport=control.transport, patience_s=0) as fabric:
        pieces = [piece async for piece in fabric.logs("a")]
    assert pieces == ["one\n", "zw", "ölf\n"]
    assert [request.url.params["offset"] for request in control.asked] == ["0", "4", "4", "4", "7"]


async def test_a_log_that_is_not_followed_stops_at_what_is_there(control: FakeControl, fabric: AsyncClient) -> None:
    control.on("GET /api/fabric/workloads/a/logs", log(b"one"), log(b"two"), log(b""))
    assert [piece async for piece in fabric.logs("a", follow=False)] == ["one", "two"]
    assert [request.url.params["offset"] for request in control.asked] == ["0", "3", "6"]


async def test_lists_come_as_values(control: FakeControl, fabric: AsyncClient) -> None:
    node = admin.NodeView(name="gpu-0", tier="gpu", state="ready", heads=False, capacity={"gpus": 2.0}, used={})
    model = admin.ModelVersionView(name="m", version=1, uri="file:///m", created_at=1.0)
    control.on("GET /api/fabric/nodes", answer(admin.NodeList(nodes=(node,))))
    control.on("GET /api/fabric/models", answer(admin.ModelList(models=(model,))))
    control.on("GET /api/fabric/workloads", answer(admin.WorkloadList(workloads=(view("a"), view("b")))))
    assert await fabric.nodes() == (node,)
    assert await fabric.models() == (model,)
    assert [job.name for job in await fabric.jobs()] == ["a", "b"]


async def test_the_history_is_that_of_the_explanation(control: FakeControl, fabric: AsyncClient) -> None:
    event = admin.EventView(at=1.0, state="queued", reason="submitted", attempt=1)
    told = admin.ExplanationView(workload=view("a", "queued"), missing="1 GPU", events=(event,))
    control.on("GET /api/fabric/workloads/a/explain", answer(told))
    assert await fabric.explain("a") == told
    assert await fabric.events("a") == (event,)


async def test_stop_delete_and_shutdown_are_asked_for(control: FakeControl, fabric: AsyncClient) -> None:
    control.on("POST /api/fabric/workloads/a/stop", answer(view("a", "stopping")))
    control.on("DELETE /api/fabric/workloads/a", httpx.Response(204))
    control.on("POST /api/fabric/shutdown", httpx.Response(202))
    assert (await fabric.stop("a")).state == "stopping"
    await fabric.delete("a")
    await fabric.shutdown(kill=True)
    assert json.loads(control.asked[-1].content) == {"kill": True}


async def test_health_is_a_value(control: FakeControl, fabric: AsyncClient) -> None:
    health = admin.Health(status="ok", site="laptop", version="0.1.0", active=2, loop_age_s=0.1)
    control.on("GET /api/fabric/health", answer(health))
    assert await fabric.health() == health


def _public(kind: type) -> dict[str, inspect.Signature]:
    methods = inspect.getmembers(kind, inspect.isfunction)
    return {name: inspect.signature(method) for name, method in methods if not name.startswith("_")}


@pytest.mark.parametrize(
    ("awaits", "plain"),
    [
        (AsyncClient, Client),
        (AsyncPeople, People),
        (AsyncArtifacts, Artifacts),
        (AsyncArrays, Arrays),
        (AsyncSecrets, Secrets),
    ],
)
def test_what_needs_no_await_has_the_same_methods_with_the_same_parameters(awaits: type, plain: type) -> None:
    assert {name: list(signature.parameters.values()) for name, signature in _public(plain).items()} == {
        name: list(signature.parameters.values()) for name, signature in _public(awaits).items()
    }


def test_both_clients_are_made_alike() -> None:
    assert inspect.signature(Client).parameters == inspect.signature(AsyncClient).parameters


def test_the_sync_client_works_without_a_loop(control: FakeControl) -> None:
    control.on(ONE, answer(view("a")))
    control.on("GET /api/fabric/workloads/a/logs", log(b"one"), log(b"two", complete=True))
    with Client(ADDRESS, transport=control.transport) as fabric:
        assert fabric.get("a").name == "a"
        assert list(fabric.logs("a")) == ["one", "two"]


async def test_the_sync_client_works_inside_a_running_loop(control: FakeControl) -> None:
    control.on(ONE, answer(view("a")))
    with Client(ADDRESS, transport=control.transport) as fabric:
        assert fabric.get("a").name == "a"


def test_a_log_may_be_left_in_the_middle_and_a_closed_client_opens_again(control: FakeControl) -> None:
    control.on("GET /api/fabric/workloads/a/logs", log(b"one"))
    fabric = Client(ADDRESS, transport=control.transport)
    for piece in fabric.logs("a"):
        assert piece == "one"
        break
    fabric.close()
    fabric.close()
    control.on(ONE, answer(view("a")))
    with fabric:
        assert fabric.get("a").name == "a"


def test_errors_of_the_sync_client_are_the_same(control: FakeControl) -> None:
    control.on(ONE, httpx.ConnectError("refused"))
    with Client(ADDRESS, transport=control.transport, patience_s=0) as fabric, pytest.raises(Unavailable):
        fabric.get("a")
