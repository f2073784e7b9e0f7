"""Ray's own pages behind control: who may see them, and what they may reach."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from starlette.testclient import TestClient

from fabric.control.http.auth import VISIT_COOKIE
from fabric.control.visits import MOST_VISITS, TICKET_S, VISIT_S, Visit, Visits
from fabric.core.errors import NotFound
from fabric.workloads.states import State
from tests.unit.control.world import World

Answer = Callable[[httpx.Request], httpx.Response]
MakeWorld = Callable[[Answer], World]
LINK = "/api/fabric/workloads/mine/dashboard"


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def page(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=once(b"nodes"), headers={"Content-Type": "text/html"})


@pytest.fixture
def seen() -> list[httpx.Request]:
    return []


@pytest.fixture
def showing(make_world: Callable[..., World], seen: list[httpx.Request]) -> MakeWorld:
    """A world in which `mine` of alpha runs, and its head answers so."""

    def make(answer: Answer) -> World:
        def handle(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return answer(request)

        world = make_world(anonymous=False, carrier=httpx.MockTransport(handle))
        for name in ("mine", "theirs"):
            world.job(name, project="alpha")
        world.open("mine")
        world.person("member", "member", "alpha")
        return world

    return make


def visiting(world: World, key: str = "member") -> TestClient:
    """A browser that followed a link, for which somebody asked with a key."""
    browser = world.client()
    link = world.client(key).post(LINK).json()["path"]
    assert browser.get(link).text == "nodes"
    return browser


def test_the_head_is_asked_with_its_own_token_and_told_no_key_and_no_cookie(
    showing: MakeWorld, seen: list[httpx.Request]
) -> None:
    client = showing(page).client("member", Cookie="fabric_console=secret", Referer="http://127.0.0.1:8272/login")
    answer = client.get("/dashboard/mine/api/v0/logs?node_id=a%2Fb")
    assert (answer.status_code, answer.text) == (200, "nodes")
    (request,) = seen
    assert str(request.url) == "http://head:8265/api/v0/logs?node_id=a%2Fb"
    assert request.headers["authorization"] == "Bearer the-clusters-own"
    assert not {"cookie", "referer", "x-ray-authorization"} & set(request.headers)
    assert "the-clusters-own" not in str(answer.headers)


def test_pages_are_kept_to_their_own_paths(showing: MakeWorld) -> None:
    far = {"Set-Cookie": "fabric_console=x", "Access-Control-Allow-Origin": "*", "Service-Worker-Allowed": "/",
           "Content-Security-Policy": "default-src *", "Connection": "close", "X-More": "yes"}  # fmt: skip
    world = showing(lambda request: httpx.Response(200, content=once(b""), headers=far))
    headers = world.client("member").get("/dashboard/mine/").headers
    assert not {"set-cookie", "access-control-allow-origin", "service-worker-allowed", "connection"} & set(headers)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 127.0.0.1:8270/dashboard/mine/ 'unsafe-inline'")
    assert "sandbox allow-scripts" in policy
    assert "popups" not in policy
    assert headers["X-More"] == "yes"


def test_a_cookie_of_a_head_does_not_go_out_with_anothers_request(
    showing: MakeWorld, seen: list[httpx.Request]
) -> None:
    world = showing(lambda request: httpx.Response(200, content=once(b""), headers={"Set-Cookie": "of=member"}))
    for _ in range(2):
        world.client("member").get("/dashboard/mine/")
    assert [request.headers.get("cookie") for request in seen] == [None, None]


@pytest.mark.parametrize(
    ("to", "location"),
    [
        ("/", "/dashboard/mine/"),
        ("/static/x.js?v=1#top", "/dashboard/mine/static/x.js?v=1#top"),
        ("http://head:8265/api", "/dashboard/mine/api"),
        ("http://evil.example/", None),
        ("//evil.example/", "/dashboard/mine//evil.example/"),
        ("/../theirs/", None),
        ("/%2e%2e/theirs/", None),
        ("/.%2E/theirs/", None),
        ("/\\..\\theirs/", None),
        ("/.\t./theirs/", None),
        ("javascript:alert(1)", None),
        ("http://head:8265.evil.example/", None),
    ],
)
def test_no_redirect_leads_out(showing: MakeWorld, to: str, location: str | None) -> None:
    world = showing(lambda request: httpx.Response(302, content=once(b""), headers={"Location": to}))
    answer = world.client("member").get("/dashboard/mine/x", follow_redirects=False)
    # What is no address at all is no answer either.
    assert answer.status_code == 302 or (answer.status_code == 503 and location is None)
    assert answer.headers.get("location") == location


def test_a_host_that_could_change_the_policy_is_refused(showing: MakeWorld) -> None:
    answer = showing(page).client("member", Host="a; script-src *").get("/dashboard/mine/")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")


@pytest.mark.parametrize(
    ("name", "change", "status", "words"),
    [
        ("theirs", None, 503, "theirs is queued and has no Ray head that answers now"),
        ("mine", State.SUCCEEDED, 409, "has already succeeded"),
        ("nobody", None, 404, "nobody"),
    ],
)
def test_what_has_no_head_says_why(
    showing: MakeWorld, name: str, change: State | None, status: int, words: str
) -> None:
    world = showing(page)
    if change is not None:
        world.end(name, change)
    answers = [
        world.client("member").get(f"/dashboard/{name}/"),
        world.client("member").post(LINK.replace("mine", name)),
    ]
    assert {answer.status_code for answer in answers} == {status}
    assert all(words in answer.json()["message"] for answer in answers)


def test_a_head_of_an_earlier_workload_of_that_name_is_not_shown(showing: MakeWorld) -> None:
    world = showing(page)
    world.end("mine")
    world.service.delete("mine", world.service.caller_of("member"))
    world.clock.at += 100
    world.job("mine", project="alpha")
    assert world.client("member").get("/dashboard/mine/").status_code == 503


def test_a_head_that_does_not_answer_is_unavailable(showing: MakeWorld) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    answer = showing(fail).client("member").get("/dashboard/mine/")
    assert (answer.status_code, answer.json()["message"]) == (
        503, "the Ray head of mine does not answer (ConnectError); try again"
    )  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_is_changed_through_it(showing: MakeWorld, seen: list[httpx.Request], method: str) -> None:
    assert showing(page).client("member").request(method, "/dashboard/mine/api/jobs/").status_code == 405
    assert seen == []


def test_a_browser_gets_in_by_a_link_that_opens_once(showing: MakeWorld) -> None:
    world = showing(page)
    link = world.client("member").post(LINK).json()
    assert link["opens_s"] == TICKET_S
    first = world.client().get(link["path"], follow_redirects=False)
    assert (first.status_code, first.headers["location"]) == (303, "/dashboard/mine/")
    cookie = first.headers["set-cookie"].lower()
    assert all(word in cookie for word in (f"{VISIT_COOKIE}=", "path=/dashboard/mine/", "httponly", "samesite=lax"))
    again = world.client().get(link["path"], follow_redirects=False)
    assert (again.status_code, again.json()["message"][:23]) == (404, "this address opens once")


def test_a_visit_is_for_one_workload_and_opens_nothing_else(showing: MakeWorld) -> None:
    world = showing(page)
    world.open("theirs")
    browser = visiting(world)
    word = browser.cookies[VISIT_COOKIE]
    assert browser.get("/dashboard/mine/nodes").status_code == 200
    elsewhere = {"Cookie": f"{VISIT_COOKIE}={word}"}
    for path in ("/dashboard/theirs/", "/api/fabric/workloads/mine", "/mlflow/"):
        assert world.client(**elsewhere).get(path).status_code == 401


def test_who_loses_the_key_loses_the_visit(showing: MakeWorld) -> None:
    world = showing(page)
    browser = visiting(world)
    world.records.set_member("member", "alpha", "viewer")
    assert browser.get("/dashboard/mine/").status_code == 403
    world.records.revoke("member's")
    assert browser.get("/dashboard/mine/").status_code == 401


def test_on_a_machine_that_is_trusted_the_path_is_always_open(
    make_world: Callable[..., World], seen: list[httpx.Request]
) -> None:
    world = make_world(carrier=httpx.MockTransport(page))
    world.job("mine")
    world.open("mine")
    link = world.client().post(LINK).json()
    assert link == {"path": "/dashboard/mine/", "opens_s": None}
    assert world.client().get("/dashboard/mine").text == "nodes"
    evil = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    assert world.client(**evil).get("/dashboard/mine/").status_code == 403


def test_tickets_and_visits_end() -> None:
    now = [0.0]
    visits = Visits(lambda: now[0])
    late, word = visits.ticket(Visit("w", "key")), visits.enter(visits.ticket(Visit("w", "key")))[0]
    now[0] = TICKET_S
    with pytest.raises(NotFound):
        visits.enter(late)
    assert visits.find(word, "w") == Visit("w", "key")
    assert visits.find(word, "other") is None
    now[0] = VISIT_S
    assert visits.find(word, "w") is None


def test_the_oldest_visit_is_forgotten_first() -> None:
    visits = Visits(lambda: 0.0)
    words = [visits.enter(visits.ticket(Visit("w", "key")))[0] for _ in range(MOST_VISITS + 1)]
    assert (visits.find(words[0], "w"), visits.find(words[1], "w") is not None) == (None, True)


def test_a_visit_shows_its_key_to_nobody() -> None:
    assert "secret" not in repr(Visit("w", "secret"))
