"""Who may do what: every route against every kind of caller."""

import asyncio
import atexit
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.testclient import WebSocketDenialResponse

from fabric.api.serve import SCALE
from fabric.control.callers import Caller, Permission, Role
from fabric.control.http.auth import permission_of, require_declared
from fabric.core.errors import Denied
from fabric.workloads.states import State
from tests.unit.control.world import START, World

JOB: dict[str, Any] = {"entrypoint": "x"}
VIEWERS_KEY: dict[str, Any] = {"name": "another", "role": "viewer"}
ROUTES: list[tuple[str, str, Any, Permission]] = [
    ("GET", "/api/version", None, Permission.KNOWN),
    ("GET", "/api/jobs/", None, Permission.LOOK),
    ("POST", "/api/jobs/", JOB, Permission.CHANGE),
    ("GET", "/api/jobs/{job}", None, Permission.LOOK),
    ("POST", "/api/jobs/{job}/stop", None, Permission.CHANGE),
    ("DELETE", "/api/jobs/{job}", None, Permission.CHANGE),
    ("GET", "/api/jobs/{job}/logs", None, Permission.LOOK),
    ("WS", "/api/jobs/{job}/logs/tail", None, Permission.LOOK),
    ("GET", "/api/packages/{protocol}/{name}", None, Permission.CHANGE),
    ("PUT", "/api/packages/{protocol}/{name}", None, Permission.CHANGE),
    ("GET", "/api/fabric/artifacts/{project}", None, Permission.ARTIFACTS),
    ("GET", "/api/fabric/artifacts/{project}/{path}", None, Permission.ARTIFACTS),
    ("PUT", "/api/fabric/artifacts/{project}/{path}", None, Permission.CHANGE),
    ("GET", "/api/fabric/workloads", None, Permission.LOOK),
    ("POST", "/api/fabric/workloads", {"spec": JOB}, Permission.CHANGE),
    ("GET", "/api/fabric/workloads/{name}", None, Permission.LOOK),
    ("DELETE", "/api/fabric/workloads/{name}", None, Permission.CHANGE),
    ("POST", "/api/fabric/workloads/{name}/stop", None, Permission.CHANGE),
    ("GET", "/api/fabric/workloads/{name}/logs", None, Permission.LOOK),
    ("GET", "/api/fabric/workloads/{name}/explain", None, Permission.LOOK),
    ("GET", "/api/fabric/workloads/{name}/events", None, Permission.LOOK),
    ("GET", "/api/fabric/workloads/{name}/curves", None, Permission.LOOK),
    ("GET", "/api/fabric/workloads/{name}/use", None, Permission.LOOK),
    ("GET", "/api/fabric/workloads/{name}/bill", None, Permission.LOOK),
    ("POST", "/api/fabric/workloads/{name}/scale", {"workers": 2}, Permission.CHANGE),
    ("GET", "/api/fabric/workloads/{name}/size", None, Permission.REPORT),
    ("POST", "/api/fabric/workloads/{name}/report", {}, Permission.REPORT),
    ("WS", "/api/fabric/workloads/{name}/terminal", None, Permission.CHANGE),
    ("WS", "/api/fabric/workloads/{name}/terminal/served", None, Permission.REPORT),
    ("POST", "/api/fabric/arrays", {"spec": {**JOB, "array": {"size": 2}}}, Permission.CHANGE),
    ("GET", "/api/fabric/arrays/{array}", None, Permission.LOOK),
    ("POST", "/api/fabric/arrays/{array}/stop", None, Permission.CHANGE),
    ("DELETE", "/api/fabric/arrays/{array}", None, Permission.CHANGE),
    ("GET", "/api/fabric/nodes", None, Permission.SITE),
    ("GET", "/api/fabric/nodes/{node}/drain", None, Permission.OPERATE),
    ("POST", "/api/fabric/nodes/{node}/drain", {}, Permission.OPERATE),
    ("DELETE", "/api/fabric/nodes/{node}/drain", None, Permission.OPERATE),
    ("POST", "/api/fabric/site/reloads", None, Permission.OPERATE),
    ("GET", "/api/fabric/site/reloads", None, Permission.OPERATE),
    ("GET", "/api/fabric/site/prune", None, Permission.OPERATE),
    ("POST", "/api/fabric/site/prune", None, Permission.OPERATE),
    ("GET", "/api/fabric/past", None, Permission.SITE),
    ("GET", "/api/fabric/occupancy", None, Permission.SITE),
    ("GET", "/api/fabric/events", None, Permission.SITE),
    ("GET", "/api/fabric/overview", None, Permission.SITE),
    ("GET", "/api/fabric/queue", None, Permission.LOOK),
    ("GET", "/api/fabric/search", None, Permission.LOOK),
    ("GET", "/api/fabric/decision", None, Permission.OPERATE),
    ("GET", "/api/fabric/models", None, Permission.SITE),
    ("GET", "/api/fabric/models/{project}/{model}/aliases", None, Permission.SITE),
    ("PUT", "/api/fabric/models/{project}/{model}/aliases/{alias}", {"version": 1, "reason": "x"}, Permission.ALIASES),
    ("GET", "/api/fabric/health", None, Permission.PUBLIC),
    ("POST", "/api/fabric/shutdown", {}, Permission.ADMIN),
    ("GET", "/api/fabric/me", None, Permission.KNOWN),
    ("GET", "/api/fabric/projects", None, Permission.SITE),
    ("PUT", "/api/fabric/projects/{project}", {}, Permission.ADMIN),
    ("GET", "/api/fabric/projects/{project}", None, Permission.SITE),
    ("PUT", "/api/fabric/projects/{project}/members/{user}", {"role": "viewer"}, Permission.PEOPLE),
    ("DELETE", "/api/fabric/projects/{project}/members/{user}", None, Permission.PEOPLE),
    ("GET", "/api/fabric/users", None, Permission.PEOPLE),
    ("PUT", "/api/fabric/users/{user}", {}, Permission.ADMIN),
    ("GET", "/api/fabric/usage", None, Permission.SITE),
    ("GET", "/api/fabric/secrets/{project}", None, Permission.CHANGE),
    ("PUT", "/api/fabric/secrets/{project}/{secret}", {"value": "v"}, Permission.CHANGE),
    ("DELETE", "/api/fabric/secrets/{project}/{secret}", None, Permission.CHANGE),
    ("GET", "/api/fabric/keys", None, Permission.OWN),
    ("POST", "/api/fabric/keys", VIEWERS_KEY, Permission.OWN),
    ("POST", "/api/fabric/keys/{key}/rotate", {}, Permission.OWN),
    ("DELETE", "/api/fabric/keys/{key}", None, Permission.OWN),
    *(
        (method, before + path, body, permission)
        for before in ("", "/deployments/{deployment}")
        for method, path, body, permission in [
            ("GET", "/api/ray/version", None, Permission.KNOWN),
            ("GET", "/api/serve/applications/", None, Permission.LOOK),
            ("PUT", "/api/serve/applications/", {"applications": [{"import_path": "a:b"}]}, Permission.CHANGE),
            ("DELETE", "/api/serve/applications/", None, Permission.CHANGE),
            ("POST", SCALE, {"target_num_replicas": 1}, Permission.CHANGE),
        ]
    ),
    ("GET", "/api/fabric/deployments", None, Permission.LOOK),
    ("GET", "/api/fabric/deployments/{deployment}", None, Permission.LOOK),
    ("POST", "/api/fabric/deployments/{deployment}/rollback", {}, Permission.CHANGE),
    ("GET", "/api/gateway/snapshot", None, Permission.GATEWAY),
    ("POST", "/api/gateway/callers", {"token": "ey.a.b"}, Permission.GATEWAY),
    ("POST", "/api/gateway/uses", {"at": {}}, Permission.GATEWAY),
    ("GET", "/metrics", None, Permission.METRICS),
    ("GET", "/openapi.json", None, Permission.KNOWN),
    ("GET", "/mlflow/", None, Permission.LOOK),
    ("POST", "/api/fabric/workloads/{name}/dashboard", None, Permission.CHANGE),
    ("GET", "/dashboard/{name}", None, Permission.CHANGE),
    ("GET", "/dashboard/{name}/{path}", None, Permission.CHANGE),
    ("HEAD", "/dashboard/{name}/{path}", None, Permission.CHANGE),
    ("GET", "/visit/{ticket}", None, Permission.PUBLIC),
    ("POST", "/api/fabric/workloads/{name}/notebook", None, Permission.CHANGE),
    ("GET", "/notebook/{name}", None, Permission.CHANGE),
    *(
        (method, "/notebook/{name}/{path}", None, Permission.CHANGE)
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "WS")
    ),
    ("WS", "/api/fabric/workloads/{name}/notebook/served", None, Permission.REPORT),
    ("WS", "/api/fabric/workloads/{name}/notebook/served/{stream}", None, Permission.REPORT),
    ("GET", "/notebook-visit/{ticket}", None, Permission.PUBLIC),
]
"""Method, path, body and permission of every route: what the application says is compared with it."""
FILLED = {
    "protocol": "gcs",
    "project": "alpha",
    "user": "ann",
    "key": "unheard-of",
    "secret": "hf",
    "job": "mine",
    "array": "sweep",
    "node": "gpu-0",
    "model": "play",
    "alias": "champion",
    "deployment": "shop",
    "application": "default",
    "ticket": "unheard-of",
    "path": "nodes",
    "stream": "unheard-of",
}
"""What stands in a path for a parameter; all of it belongs to project alpha."""
SEE = {Permission.LOOK, Permission.SITE, Permission.ARTIFACTS, Permission.OWN, Permission.ASK}
WHOLE_SITE = {Permission.ADMIN, Permission.GATEWAY, Permission.METRICS, Permission.OPERATE}
CALLERS: dict[str, set[Permission]] = {
    "admin": set(Permission),
    "operator": {*SEE, Permission.CHANGE, Permission.METRICS, Permission.ALIASES, Permission.OPERATE},
    "prometheus": {Permission.METRICS},
    "project-admin": set(Permission) - WHOLE_SITE,
    "project-operator": {*SEE, Permission.CHANGE},
    "member": {*SEE, Permission.CHANGE},
    "viewer": SEE,
    "limited": {Permission.LOOK},
    "own-token": {Permission.LOOK, Permission.REPORT},
    "gateway": {Permission.GATEWAY},
    "other-member": {*SEE, Permission.CHANGE},
    "other-admin": set(Permission) - WHOLE_SITE,
    "other-token": {Permission.LOOK, Permission.REPORT},
}
"""What each may do, beside what anybody with a key may."""
STRANGERS = {"other-member", "other-admin", "other-token"}
NOT_AUTHENTICATED, FORBIDDEN = 401, 403


def filled(template: str) -> str:
    """A path of alpha's things."""
    name = "_ray_pkg_0123456789.zip" if "packages" in template else "Parrot" if template.endswith(SCALE) else "mine"
    return template.format(name=name, **FILLED)


PATHS = [(method, filled(template), body, permission) for method, template, body, permission in ROUTES]


@pytest.fixture
def guarded(make_world: Callable[..., World]) -> World:
    world = make_world(anonymous=False, max_wait_s=0.01)
    world.job("mine", project="alpha")
    world.job("theirs", project="alpha")
    world.change("mine", State.CANCELLED, at={"ended": START})
    world.records.add_user("ann")
    world.person("admin", "admin")
    world.person("operator", "operator")
    world.issue("prometheus", "viewer", scopes=("metrics",))
    world.person("project-admin", "admin", "alpha")
    world.person("project-operator", "operator", "alpha")
    world.person("member", "member", "alpha")
    world.person("viewer", "viewer", "alpha")
    world.person("limited", "admin", "alpha", scopes=("look",))
    world.person("other-member", "member", "beta")
    world.person("other-admin", "admin", "beta")
    world.issue("gateway", "gateway")
    world.issue("own-token", "workload", "alpha", workload="mine")
    world.issue("other-token", "workload", "alpha", workload="theirs")
    world.issue("expired", "admin", expires=START - 1)
    world.issue("revoked", "admin", revoked=START - 1)
    world.issue("of-the-future", "emperor")
    return world


@lru_cache
def the_loop() -> asyncio.Runner:
    """One event loop for every question: a thread and a loop for each would take most of the time."""
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner


async def status_of(world: World, method: str, path: str, body: Any, key: str | None) -> int:
    async with world.asynchronous(key) as client:
        return (await client.request(method, path, json=body)).status_code


def ask(world: World, method: str, path: str, body: Any, *, key: str | None = None, **headers: str) -> int:
    """Status of the answer; 101 for a web socket that opened."""
    if method != "WS":
        return the_loop().run(status_of(world, method, path, body, key))
    try:
        with world.client(key, **headers).websocket_connect(path):
            return 101
    except WebSocketDenialResponse as refused:
        return refused.status_code


def path_of(route: Any) -> str:
    return str(route.path).rstrip("/").replace(":path}", "}")


def test_the_table_names_every_route_and_its_permission(world: World) -> None:
    declared = {
        (method, path_of(route), permission_of(route))
        for route in world.app.routes
        for method in getattr(route, "methods", None) or {"WS"}
        if "mlflow" not in getattr(route, "path", "")
    }
    table = {
        (method, template.rstrip("/"), permission)
        for method, template, _, permission in ROUTES
        if "mlflow" not in template
    }
    assert declared == table


@pytest.mark.slow
@pytest.mark.parametrize("caller", CALLERS)
def test_each_caller_is_let_in_where_its_role_and_project_allow(guarded: World, caller: str) -> None:
    wrong = []
    guarded.array("sweep", project="alpha")
    for method, path, body, permission in PATHS:
        status = ask(guarded, method, path, body, key=caller)
        allowed = permission in CALLERS[caller] | {Permission.KNOWN, Permission.PUBLIC}
        parts = set(path.split("/"))
        strangers = STRANGERS | ({"own-token"} if "sweep" in parts else set())
        reaches = not {"mine", "alpha", "sweep"} & parts or caller not in strangers
        if (status not in {NOT_AUTHENTICATED, FORBIDDEN}) is not (allowed and reaches):
            wrong.append((method, path, status))
        if path.endswith("/mine") and method == "DELETE" and allowed and reaches:
            guarded.job("mine", project="alpha")
            guarded.change("mine", State.CANCELLED, at={"ended": START})
    assert wrong == []


@pytest.mark.parametrize("key", ["nobody's", "expired", "revoked", "of-the-future"])
def test_a_key_that_is_not_valid_opens_nothing(guarded: World, key: str) -> None:
    answers = [(path, ask(guarded, method, path, body, key=key)) for method, path, body, _ in PATHS]
    assert [answer for answer in answers if answer[1] != NOT_AUTHENTICATED] == []


def test_without_a_key_only_health_is_told_and_tickets_are_looked_at(guarded: World) -> None:
    open_to_all = [path for method, path, body, _ in PATHS if ask(guarded, method, path, body) != NOT_AUTHENTICATED]
    assert open_to_all == ["/api/fabric/health", "/visit/unheard-of", "/notebook-visit/unheard-of"]


def test_a_wrong_key_is_refused_even_where_none_is_needed(world: World) -> None:
    answers = [(path, ask(world, method, path, body, key="nobody's")) for method, path, body, _ in PATHS]
    assert [answer for answer in answers if answer[1] != NOT_AUTHENTICATED] == []


@pytest.mark.parametrize("key", [None, "nobody's"])
def test_nobody_without_a_key_makes_control_read_a_body(guarded: World, key: str | None) -> None:
    async def body(path: str) -> AsyncIterator[bytes]:
        read.append(path)
        yield b"{}"

    async def asked() -> list[tuple[str, int]]:
        async with guarded.asynchronous(key) as client:
            return [
                (path, (await client.request(method, path, content=body(path))).status_code)
                for method, path, _, _ in PATHS
                if method in {"POST", "PUT", "PATCH", "DELETE"}
            ]

    read: list[str] = []
    answers = the_loop().run(asked())
    assert ([answer for answer in answers if answer[1] != NOT_AUTHENTICATED], read) == ([], [])


def test_rays_clients_are_told_in_text_and_ours_in_json(guarded: World) -> None:
    ray = guarded.client("nobody's").get("/api/version")
    assert ray.text == "this key was issued by nobody here. Ask the site's administrator for one."
    ours = guarded.client("nobody's").get("/api/fabric/nodes")
    assert (ours.json()["code"], ours.headers["WWW-Authenticate"]) == ("unauthenticated", "Bearer")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Ray-Authorization": "Bearer admin"}, 200),
        ({"Authorization": "bearer admin"}, 200),
        ({"Authorization": "Bearer admin", "X-Ray-Authorization": "Bearer nobody's"}, 200),
        ({"Authorization": "Bearer nobody's", "X-Ray-Authorization": "Bearer admin"}, 401),
        ({"Authorization": "Basic admin"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer \xe9"}, 401),
        ({"Cookie": "ray-authentication-token=admin"}, 401),
    ],
)
def test_a_key_is_read_from_either_header(guarded: World, headers: dict[str, str], status: int) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    assert guarded.client().get("/api/version", headers=encoded).status_code == status  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8270"}, 200),
        ({"Host": "[::1]:8270"}, 200),
        ({"Host": "evil.example:8270"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://127.0.0.1:8270", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
    ],
)
def test_pages_of_others_cannot_use_the_trust_in_this_machine(world: World, headers: Any, status: int) -> None:
    assert world.client().get("/api/version", headers=headers).status_code == status


def test_pages_of_others_can_neither_submit_nor_follow(world: World) -> None:
    world.job("mine")
    page = {"Origin": "http://evil.example", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}
    assert world.client(**page).post("/api/jobs/", json=JOB).status_code == FORBIDDEN
    assert ask(world, "WS", "/api/jobs/mine/logs/tail", None, Origin="http://evil.example") == FORBIDDEN


def test_a_project_key_submits_to_its_project_and_to_no_other(guarded: World) -> None:
    client = guarded.client("member")
    made = client.post("/api/fabric/workloads", json={"spec": JOB}).json()
    assert made["project"] == "alpha"
    spec = {**JOB, "project": "beta"}
    assert client.post("/api/fabric/workloads", json={"spec": spec}).status_code == FORBIDDEN
    name = client.post("/api/jobs/", json=JOB).json()["submission_id"]
    assert guarded.records.get(name).spec.project == "alpha"


def test_lists_hold_only_what_is_within_reach(guarded: World) -> None:
    def names(key: str) -> set[str]:
        return {job["submission_id"] for job in guarded.client(key).get("/api/jobs/").json()}

    assert names("admin") == names("viewer") == {"mine", "theirs"}
    assert names("own-token") == {"mine"}
    assert names("other-member") == set()


def test_a_job_may_not_come_after_somebody_elses(guarded: World) -> None:
    answer = guarded.client("other-member").post("/api/fabric/workloads", json={"spec": {**JOB, "after": ["theirs"]}})
    assert answer.status_code == FORBIDDEN


def test_a_workloads_token_ends_with_it(guarded: World) -> None:
    assert ask(guarded, "GET", "/api/version", None, key="own-token") == 200
    guarded.clock.at = START + 61
    assert ask(guarded, "GET", "/api/version", None, key="own-token") == NOT_AUTHENTICATED
    assert ask(guarded, "GET", "/api/version", None, key="other-token") == 200
    guarded.issue("of-nobody", "workload", "alpha", workload="gone")
    assert ask(guarded, "GET", "/api/version", None, key="of-nobody") == NOT_AUTHENTICATED


def test_a_route_without_a_permission_is_found_when_the_app_is_made() -> None:
    router = APIRouter()

    @router.get("/open")
    def forgotten() -> None: ...

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(router)
    with pytest.raises(ValueError, match="routes without a permission: /open"):
        require_declared(app.routes)


def test_a_refusal_names_the_key_and_what_it_lacks() -> None:
    with pytest.raises(Denied, match=r"key me \(viewer of project alpha\) may not do this: .* permission change"):
        Caller("me", Role.VIEWER, "alpha").require(Permission.CHANGE)
