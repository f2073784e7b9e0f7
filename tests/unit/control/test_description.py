"""The description of control's routes: complete, and true."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import Depends, FastAPI, Request, Response
from pydantic import create_model
from starlette.responses import JSONResponse

from fabric.config.settings import Settings
from fabric.control.http.auth import permission_of
from fabric.control.http.bodies import Takes
from fabric.control.http.description import description_of, undescribed
from fabric.workloads.states import State
from tests.asking import Asking
from tests.unit.control.world import BASE, World, zipped

REFUSED, MANY = 400, 50
PACKAGE = "_ray_pkg_0123456789abcdef.zip"
NAMES = {
    "name": ("waits", "runs", "ended", PACKAGE), "job": ("waits", "runs", "ended"), "project": ("alpha",),
    "user": ("ann",), "key": ("ann's",), "protocol": ("gcs",), "deployment": ("shop",), "node": ("gpu-0",),
    "array": ("sweep",), "path": ("out/a.txt",),
}  # fmt: skip


@pytest.fixture
def lived_in(make_world: Callable[..., World]) -> World:
    """A world with some of everything."""
    world = make_world(anonymous=False, max_wait_s=0.01)
    world.issue("admin", "admin")
    world.records.add_project("alpha", "admin")
    world.person("ann", "member", "alpha")
    for name in ("waits", "runs", "ended"):
        world.job(name, project="alpha")
    world.run("runs")
    world.write("runs", "words\n")
    world.end("ended", State.SUCCEEDED)
    world.array("sweep", project="alpha")
    world.packages.put(PACKAGE, [zipped(x="print(1)")], "")
    world.artifacts.put("alpha", "out/a.txt", [b"a"])
    return world


def described(world: World, key: str | None = None) -> dict[str, Any]:
    answer = world.client(key).get("/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_every_answer_is_one_that_the_description_declares(lived_in: World, request: pytest.FixtureRequest) -> None:
    document = described(lived_in, "admin")
    headers = {"Authorization": "Bearer admin", "Accept": "application/json"}
    asked = Asking(BASE, headers, NAMES, examples=request.config.getoption("--examples")).all(lived_in.app, document)
    assert asked.problems == {}
    assert asked.statuses.keys() == operations(document).keys()
    refused = {label for label, found in asked.statuses.items() if min(found) >= REFUSED}
    assert len(refused) < len(asked.statuses) / 2, refused


@pytest.mark.slow
def test_one_that_answers_otherwise_than_it_says_is_found_out() -> None:
    app = FastAPI()

    @app.get("/undeclared")
    def undeclared() -> Response:
        return Response(status_code=418)

    @app.get("/untrue", response_model=dict[str, int])
    def untrue() -> Response:
        return Response('{"a": "b"}', media_type="application/json")

    @app.get("/broken")
    def broken() -> Response:
        raise ZeroDivisionError

    extra = {"parameters": [{"name": "n", "in": "query", "required": True, "schema": {"type": "integer"}}]}

    @app.get("/careless", response_model=dict[str, int], openapi_extra=extra)
    def careless() -> dict[str, int]:
        return {}

    asked = Asking("http://x", {}).all(_quiet(app), app.openapi())
    assert set(asked.problems) == {
        "GET /undeclared: UndefinedStatusCode", "GET /untrue: JsonSchemaError", "GET /broken: ServerError",
        "GET /broken: UndefinedStatusCode", "GET /careless: AcceptedNegativeData",
    }  # fmt: skip


def _quiet(app: FastAPI) -> FastAPI:
    """Let defects be answers, as a real server does."""

    async def told(request: Request, error: Exception) -> Response:
        return JSONResponse({}, 500)

    app.add_exception_handler(ZeroDivisionError, told)
    return app


def test_every_route_is_described_and_one_that_is_not_is_found(world: World) -> None:
    document = described(world)
    assert undescribed(world.app.routes, document) == []
    del document["paths"]["/api/fabric/nodes"]
    assert undescribed(world.app.routes, document) == ["GET /api/fabric/nodes"]


def test_every_operation_says_what_it_needs_and_what_it_may_refuse(world: World) -> None:
    document = described(world)
    for route in world.app.routes:
        for method in getattr(route, "methods", ()) or ():
            operation = operations(document).get(f"{method} {getattr(route, 'path_format', '')}")
            if operation is not None:
                assert operation["x-fabric-permission"] == str(permission_of(route))
                assert {"401", "403", "429", "503"} <= operation["responses"].keys()
                assert "422" not in operation["responses"]
    assert len(operations(document)) > MANY


@pytest.mark.parametrize(
    ("operation", "body", "answer", "refusals"),
    [
        ("POST /api/fabric/workloads", "SubmitRequest", "WorkloadView", {"400", "404", "408", "409", "413"}),
        ("GET /api/fabric/workloads/{name}", None, "WorkloadView", {"400", "404"}),
        ("GET /api/fabric/nodes", None, "NodeList", set()),
        ("POST /api/fabric/keys", "KeyRequest", "KeyMade", {"400", "404", "408", "409", "413"}),
    ],
)
def test_bodies_and_answers_are_the_wire_types(
    world: World, operation: str, body: str | None, answer: str, refusals: set[str]
) -> None:
    found = operations(described(world))[operation]
    taken = found.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {}).get("$ref")
    assert taken == (f"#/components/schemas/{body}" if body else None)
    (success,) = {status for status in found["responses"] if status.startswith("2")}
    given = found["responses"][success]["content"]["application/json"]["schema"]["$ref"]
    assert given == f"#/components/schemas/{answer}"
    assert {status for status in found["responses"] if status.startswith("4")} - {"401", "403", "429"} == refusals


def test_rays_paths_refuse_in_text_or_in_json(world: World) -> None:
    found = operations(described(world))
    assert found["GET /api/jobs/{job}"]["responses"]["404"]["content"].keys() == {"application/json", "text/plain"}
    assert found["GET /api/fabric/nodes"]["responses"]["401"]["content"].keys() == {"application/json"}


def test_two_bodies_of_one_name_are_a_mistake() -> None:
    def view(kind: type) -> type[Settings]:
        return create_model("View", __base__=Settings, value=(kind, ...))

    app = FastAPI()
    taken, given = view(int), view(str)

    @app.post("/", response_model=given)
    def route(asked: Any = Depends(Takes(taken))) -> None: ...  # noqa: B008

    with pytest.raises(ValueError, match="differ: View"):
        description_of(app.routes)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/fabric/workloads", "GET, POST"),
        ("/api/fabric/workloads/mine", "DELETE, GET"),
        ("/api/jobs/", "GET, POST"),
        ("/api/fabric/nodes", "GET"),
    ],
)
def test_another_method_is_told_which_there_are(world: World, path: str, allowed: str) -> None:
    answer = world.client().request("PATCH", path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
