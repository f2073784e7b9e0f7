"""MLflow behind control."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from tests.unit.control.world import World

Answer = Callable[[httpx.Request], httpx.Response]


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


@pytest.fixture
def seen() -> list[httpx.Request]:
    return []


@pytest.fixture
def world_with(make_world: Callable[..., World], seen: list[httpx.Request]) -> Callable[[Answer], World]:
    """A world whose MLflow answers so."""

    def make(answer: Answer) -> World:
        async def handle(request: httpx.Request) -> httpx.Response:
            await request.aread()
            seen.append(request)
            return answer(request)

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
