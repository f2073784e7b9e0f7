"""MLflow behind control."""

import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from fabric.control.http.mlflow import SPACES
from fabric.control.mlflow_spaces import space_of
from tests.unit.control.world import World

Answer = Callable[[httpx.Request], httpx.Response]


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


@pytest.fixture
def seen() -> list[httpx.Request]:
    return []


@pytest.fixture
def made() -> list[httpx.Request]:
    return []


@pytest.fixture
def world_with(
    make_world: Callable[..., World], seen: list[httpx.Request], made: list[httpx.Request]
) -> Callable[..., World]:
    """A world whose MLflow answers so, and so where a workspace is to be made."""

    def make(answer: Answer, making: Answer = lambda request: httpx.Response(200, json={})) -> World:
        async def handle(request: httpx.Request) -> httpx.Response:
            await request.aread()
            makes = request.url.path == SPACES and request.method == "POST"
            (made if makes else seen).append(request)
            return making(request) if makes else answer(request)

        return make_world(mlflow_port=5000, carrier=httpx.MockTransport(handle))

    return make


def test_requests_go_on_without_our_key_and_answers_come_back(
    world_with: Callable[[Answer], World], seen: list[httpx.Request]
) -> None:
    headers = {"X-More": "yes", "Connection": "close", "Server": "w"}
    reply = httpx.Response(201, content=once(b'{"run": 1}'), headers=headers)
    world = world_with(lambda request: reply)
    key = world.issue("mine", "member", "alpha")
    answer = world.client(key, **{"X-Ray-Authorization": "x", "X-Kept": "yes"}).post(
        "/mlflow/api/2.0/mlflow/runs/create?a=%2F&b=ü", json={"name": "r"}
    )
    assert (answer.status_code, answer.json(), answer.headers["X-More"]) == (201, {"run": 1}, "yes")
    (request,) = seen
    assert str(request.url) == "http://127.0.0.1:5000/api/2.0/mlflow/runs/create?a=%2F&b=%C3%BC"
    assert (request.method, request.content, request.headers["host"]) == ("POST", b'{"name":"r"}', "127.0.0.1:5000")
    assert request.headers["x-kept"] == "yes"
    assert not {"authorization", "x-ray-authorization"} & set(request.headers)


def test_paths_keep_what_is_encoded_in_them(world_with: Callable[[Answer], World], seen: list[httpx.Request]) -> None:
    world = world_with(lambda request: httpx.Response(200, content=once(b"")))
    world.client().get("/mlflow/api/2.0/mlflow-artifacts/artifacts/a%20b/c%2Fd")
    assert seen[0].url.raw_path == b"/api/2.0/mlflow-artifacts/artifacts/a%20b/c%2Fd"


def test_large_bodies_stream_both_ways(world_with: Callable[[Answer], World], seen: list[httpx.Request]) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 100_000

    world = world_with(lambda request: httpx.Response(200, content=pieces()))
    answer = world.client().put("/mlflow/artifacts/a", content=b"y" * 3_000_000)
    assert (len(answer.content), len(seen[0].content)) == (5_000_000, 3_000_000)


def test_an_mlflow_that_does_not_answer_is_unavailable(world_with: Callable[[Answer], World]) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    answer = world_with(fail).client().get("/mlflow/x")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_a_site_without_mlflow_says_so(world: World) -> None:
    assert "runs no MLflow" in world.client().get("/mlflow/x").json()["message"]


def test_the_pages_are_below_a_slash(world_with: Callable[[Answer], World]) -> None:
    world = world_with(lambda request: httpx.Response(200, content=once(b"page")))
    answer = world.client().get("/mlflow", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/mlflow/")
    assert world.client().get("/mlflow/").text == "page"


API = "/mlflow/api/2.0/mlflow"
ROLES = {
    "admin": ("admin", ""), "operator": ("operator", ""), "project-admin": ("admin", "alpha"),
    "project-operator": ("operator", "alpha"), "member": ("member", "alpha"), "viewer": ("viewer", "alpha"),
    "gateway": ("gateway", ""),
}  # fmt: skip
SITE = {"admin", "operator"}
DOERS = {*SITE, "project-admin", "project-operator", "member", "workload"}


@pytest.mark.parametrize(
    ("method", "path", "may"),
    [
        ("GET", "/runs/get", {*DOERS, "viewer"}),
        ("POST", "/runs/search", {*DOERS, "viewer"}),
        ("GET", "/registered-models/list", {*DOERS, "viewer"}),
        ("POST", "/runs/create", DOERS),
        ("POST", "/runs/log-metric", DOERS),
        ("POST", "/experiments/create", DOERS),
        ("POST", "/runs/delete-tag", DOERS),
        ("POST", "/runs/delete", SITE),
        ("POST", "/runs/%64elete", SITE),
        ("POST", "//runs//delete/", SITE),
        ("POST", "/experiments/restore", SITE),
        ("DELETE", "/../../mlflow-artifacts/artifacts/a/delete-me", SITE),
        ("POST", "/registered-models/create", {*SITE, "project-admin", "workload"}),
        ("POST", "/registered-models/alias", {*SITE, "project-admin", "workload"}),
        ("DELETE", "/registered-models/alias", {*SITE, "project-admin", "workload"}),
        ("POST", "/model-versions/create", {*SITE, "project-admin", "workload"}),
        ("DELETE", "/model-versions/delete", {*SITE, "project-admin", "workload"}),
        ("DELETE", "/registered-models/delete", SITE),
    ],
)
async def test_who_may_ask_mlflow_for_what(
    world_with: Callable[[Answer], World], method: str, path: str, may: set[str]
) -> None:
    world = world_with(lambda request: httpx.Response(200, content=once(b"")))
    world.job("mine", project="alpha")
    world.issue("workload", "workload", "alpha", workload="mine")
    for key, (role, project) in ROLES.items():
        world.issue(key, role, project)
    answers = {}
    for key in (*ROLES, "workload"):
        async with world.asynchronous(key) as client:
            answers[key] = (await client.request(method, API + path)).status_code
    assert {key for key, status in answers.items() if status == 200} == may
    assert {status for status in answers.values() if status != 200} <= {403}


def test_a_refusal_of_mlflow_says_who_may(world: World) -> None:
    world.issue("reads", "viewer", "alpha")
    answer = world.client("reads").post(f"{API}/model-versions/create").json()
    assert answer["message"].startswith(
        "key reads's (viewer) may not ask MLflow for POST /api/2.0/mlflow/model-versions"
    )
    assert "operate or report" in answer["message"]


def nothing(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=once(b""))


def test_whoever_acts_in_a_project_is_led_to_its_workspace_whatever_he_asks_for(
    world_with: Callable[..., World], seen: list[httpx.Request], made: list[httpx.Request]
) -> None:
    # Projects of no other test: one application serves them all, and remembers the workspaces that were made.
    world = world_with(nothing)
    for project in ("led", "Led"):
        world.issue(f"of-{project}", "member", project)
    for key in ("of-led", "of-Led", "of-led"):
        world.client(key, **{"X-MLFLOW-WORKSPACE": "p-led"}).post(f"{API}/runs/search", json={})
    assert [request.headers["x-mlflow-workspace"] for request in seen] == ["p-led", space_of("Led"), "p-led"]
    assert [json.loads(request.content) for request in made] == [
        {"name": "p-led", "description": "led"}, {"name": space_of("Led"), "description": "Led"},
    ]  # fmt: skip


def test_work_that_names_no_project_stays_where_everything_was_before(
    world_with: Callable[..., World], seen: list[httpx.Request], made: list[httpx.Request]
) -> None:
    world = world_with(nothing)
    world.issue("key", "member", "default")
    world.client("key").get(f"{API}/runs/get")
    assert (seen[0].headers["x-mlflow-workspace"], made) == ("default", [])


def test_who_is_of_the_whole_site_may_name_a_workspace(
    world_with: Callable[..., World], seen: list[httpx.Request], made: list[httpx.Request]
) -> None:
    world = world_with(nothing)
    world.issue("operator", "operator")
    for named in ({}, {"X-MLFLOW-WORKSPACE": "p-beta"}):
        world.client("operator", **named).get(f"{API}/runs/get")
    assert [request.headers.get("x-mlflow-workspace") for request in seen] == [None, "p-beta"]
    assert made == []


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (httpx.Response(400, json={"error_code": "RESOURCE_ALREADY_EXISTS"}), 200),
        (httpx.Response(500, text="no disk"), 503),
    ],
)
def test_a_workspace_that_is_there_is_used_and_one_that_cannot_be_made_is_told(
    world_with: Callable[..., World], answer: httpx.Response, status: int
) -> None:
    world = world_with(nothing, lambda request: answer)
    world.issue("key", "member", f"making-{status}")
    assert world.client("key").get(f"{API}/runs/get").status_code == status


def test_a_workspace_that_vanished_is_made_again_and_whoever_asked_asks_again(
    world_with: Callable[..., World], seen: list[httpx.Request], made: list[httpx.Request]
) -> None:
    lost = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Workspace 'p-vanishing' not found"}
    answers = [
        httpx.Response(404, content=once(json.dumps(lost).encode())),
        httpx.Response(200, content=once(b"there")),
    ]
    world = world_with(lambda request: answers[len(seen) - 1])
    world.issue("key", "member", "vanishing")
    said = world.client("key").post(f"{API}/runs/create", json={"name": "r"})
    assert (said.status_code, "is there again, empty" in said.json()["message"]) == (503, True)
    assert int(said.headers["Retry-After"]) > 0
    assert world.client("key").post(f"{API}/runs/create", json={"name": "r"}).text == "there"
    assert [json.loads(request.content)["name"] for request in made] == ["p-vanishing"] * 2


def test_something_else_that_is_not_found_is_told_as_mlflow_tells_it(
    world_with: Callable[..., World], made: list[httpx.Request]
) -> None:
    missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Workspace 'p-other' not found"}
    told = json.dumps(missing).encode()
    world = world_with(lambda request: httpx.Response(404, content=once(told), headers={"X-More": "yes"}))
    world.issue("key", "member", "missing")
    for _ in range(2):
        said = world.client("key").get(f"{API}/runs/get")
        assert (said.status_code, said.json(), said.headers["X-More"]) == (404, missing, "yes")
    assert len(made) == 1


def test_of_all_workspaces_a_project_hears_of_its_own(
    world_with: Callable[..., World], seen: list[httpx.Request]
) -> None:
    world = world_with(nothing)
    world.issue("key", "member", "alpha")
    for path in (SPACES, SPACES.replace("/api", "/ajax-api")):
        answer = world.client("key").get(f"/mlflow{path}")
        assert answer.json() == {"workspaces": [{"name": "p-alpha", "description": "alpha"}]}
    for method, path in (("POST", SPACES), ("GET", f"{SPACES}/p-beta"), ("DELETE", f"{SPACES}/p-beta")):
        assert world.client("key").request(method, f"/mlflow{path}").status_code == 403
    assert seen == []


@pytest.mark.parametrize(
    "path",
    [
        "/ajax-api/3.0/mlflow/assistant/message", "/ajax-api/3.0/mlflow/%61ssistant/skills/install",
        "//ajax-api/3.0//mlflow/assistant/config", "/gateway/mlflow/v1/chat/completions", "/gateway/proxy/e/http://x",
        "/ajax-api/2.0/mlflow/gateway-proxy", "/ajax-api/3.0/jobs/", "/api/2.0/mlflow/webhooks/create",
        "/ajax-api/3.0/mlflow/mcp-servers",
    ],
)  # fmt: skip
def test_what_mlflow_would_do_on_behalf_of_this_machine_is_done_for_nobody(
    world_with: Callable[..., World], seen: list[httpx.Request], path: str
) -> None:
    world = world_with(nothing)
    for key, project in (("member", "alpha"), ("admin", "")):
        world.issue(key, "admin", project)
        for method in ("GET", "POST"):
            answer = world.client(key).request(method, f"/mlflow{path}")
            assert (answer.status_code, "not kept to one project" in answer.json()["message"]) == (403, True)
    assert seen == []


@pytest.mark.parametrize(
    ("path", "passed"),
    [
        ("/", True),
        ("/static-files/static/js/main.js", True),
        ("/get-artifact?run_uuid=1&path=a", True),
        ("/model-versions/get-artifact?name=m&version=1&path=a", True),
        ("/ajax-api/3.0/mlflow/server-info", True),
        ("/ajax-api/3.0/mlflow/traces/tr-1", True),
        ("/api/2.0/mlflow/experiments/search", True),
        ("/api/2.0/mlflow-artifacts/artifacts/workspaces/p-beta/1", False),
        ("/api/9.0/mlflow/something-new/list", False),
        ("/api/2.0/mlflow/runs/../something-new/list", False),
        ("/something-new", False),
    ],
)
async def test_a_project_reaches_only_what_is_known_to_keep_to_its_workspace(
    world_with: Callable[..., World], path: str, passed: bool
) -> None:
    world = world_with(nothing)
    world.issue("key", "admin", "alpha")
    async with world.asynchronous("key") as client:
        assert (await client.get(f"/mlflow{path}")).status_code == (200 if passed else 403)
