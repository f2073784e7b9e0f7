"""People, projects and keys over HTTP: nobody gives more than he has, and what is taken away is gone at once."""

from collections.abc import Callable
from typing import Any

import pytest

from fabric.core.errors import StorageFull
from fabric.workloads.spec import Group
from tests.unit.control.world import START, World

KEYS, PROJECTS, USERS, ME = (f"/api/fabric/{name}" for name in ("keys", "projects", "users", "me"))


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    world = make_world(anonymous=False)
    world.issue("root", "admin")
    world.person("boss", "admin", "alpha")
    world.person("ann", "member", "alpha")
    world.person("eve", "admin", "beta")
    return world


def make(world: World, by: str, **request: Any) -> Any:
    return world.client(by).post(KEYS, json={"name": "new", **request})


def test_one_is_told_who_one_is_and_what_one_may(world: World) -> None:
    told = world.client("ann").get(ME).json()
    assert (told["user"], told["role"], told["project"]) == ("ann", "member", "alpha")
    assert told["permissions"] == ["artifacts", "ask", "change", "known", "look", "own", "public", "site"]


def test_a_new_key_opens_what_its_maker_may_and_is_never_told_again(world: World) -> None:
    made = make(world, "ann")
    assert made.status_code == 201
    key, secret = made.json()["key"], made.json()["secret"]
    assert (key["user"], key["project"], key["role"], key["created_at"]) == ("ann", "alpha", "member", START)
    assert world.client(secret).get(ME).json()["name"] == "new"
    listed = world.client("ann").get(KEYS).text
    assert secret not in listed
    assert secret.encode() not in b"".join(path.read_bytes() for path in world.folder.glob("fabric.db*"))


TOO_MUCH: list[tuple[str, dict[str, Any], int, str]] = [
    ("ann", {"role": "admin"}, 403, "is member and makes nobody admin"),
    ("ann", {"user": "boss"}, 403, "needs the permission people"),
    ("ann", {"user": ""}, 403, "needs the permission people"),
    ("ann", {"project": "beta"}, 400, "user ann has no role in project beta"),
    ("ann", {"project": ""}, 400, "user ann has no role in the whole site"),
    ("ann", {"role": "workload"}, 400, "'workload' is none. Roles: admin, operator, member, viewer"),
    ("ann", {"role": "gateway"}, 403, "needs the permission admin"),
    ("ann", {"scopes": ["everything"]}, 400, "'everything' is no permission"),
    ("ann", {"name": "../x"}, 400, "is not a key name"),
    ("ann", {"name": "ann-s", "lives_s": -1}, 400, "lives_s"),
    ("boss", {"user": "eve"}, 400, "user eve has no role in project alpha"),
    ("boss", {"user": "", "project": "beta"}, 403, "is for project alpha, not for beta"),
    ("boss", {"user": "", "project": ""}, 403, "makes none for the whole site"),
    ("root", {"role": "gateway", "project": "alpha"}, 400, "serves the whole site"),
    ("root", {"user": "nobody", "project": "alpha"}, 400, "user nobody has no role"),
]


def test_nobody_makes_a_key_that_has_more_than_he(world: World) -> None:
    for by, request, status, says in TOO_MUCH:
        refused = make(world, by, **request)
        assert (refused.status_code, says in refused.json()["message"]) == (status, True), (request, refused.text)


def test_administrators_make_keys_for_machines_and_for_others(world: World) -> None:
    assert make(world, "boss", name="ci", user="", role="viewer").json()["key"]["user"] == ""
    assert make(world, "boss", name="anns", user="ann").json()["key"]["project"] == "alpha"
    gate = make(world, "root", name="gate", role="gateway").json()["secret"]
    assert world.client(gate).get("/api/gateway/snapshot").status_code == 200
    assert make(world, "boss", name="ci", user="").status_code == 409
    names = {by: [key["name"] for key in world.client(by).get(KEYS).json()["keys"]] for by in ("boss", "ann", "eve")}
    assert names == {"boss": ["ann's", "anns", "boss's", "ci"], "ann": ["ann's", "anns"], "eve": ["eve's"]}


def test_a_limited_key_makes_only_keys_that_are_as_limited_and_end_as_early(world: World) -> None:
    short = make(world, "ann", scopes=["own", "look"], lives_s=100).json()["secret"]
    assert make(world, short, name="wide").status_code == 403
    narrow = make(world, short, name="narrow", scopes=["look"], lives_s=5000).json()
    assert narrow["key"]["expires_at"] == START + 100
    assert world.client(narrow["secret"]).get("/api/fabric/workloads").status_code == 200
    assert world.client(narrow["secret"]).get("/api/fabric/nodes").status_code == 403
    world.clock.at = START + 100
    assert world.client(narrow["secret"]).get("/api/fabric/workloads").status_code == 401


def test_a_revoked_key_opens_nothing_from_the_same_moment(world: World) -> None:
    secret = make(world, "ann").json()["secret"]
    assert world.client("eve").delete(f"{KEYS}/new").status_code == 404
    assert world.client("boss").delete(f"{KEYS}/new").json()["revoked_at"] == START
    assert world.client(secret).get(ME).status_code == 401


def test_a_rotated_key_is_taken_in_both_forms_as_long_as_asked(world: World) -> None:
    old = make(world, "ann").json()["secret"]
    assert world.client("boss").post(f"{KEYS}/new/rotate", json={}).status_code == 403
    assert world.client("eve").post(f"{KEYS}/new/rotate", json={}).status_code == 404
    new = world.client("ann").post(f"{KEYS}/new/rotate", json={"overlap_s": 60}).json()["secret"]
    assert [world.client(text).get(ME).status_code for text in (old, new)] == [200, 200]
    world.clock.at = START + 60
    assert [world.client(text).get(ME).status_code for text in (old, new)] == [401, 200]


def test_a_limited_or_short_key_rotates_none_that_is_wider_or_lives_longer_but_itself(world: World) -> None:
    limits: tuple[dict[str, Any], ...] = ({"scopes": ["own", "look"]}, {"lives_s": 100})
    for limit in limits:
        name = next(iter(limit))
        limited = make(world, "ann", name=name, **limit).json()["secret"]
        refused = world.client(limited).post(f"{KEYS}/ann's/rotate", json={"overlap_s": 0})
        assert (refused.status_code, "use one that may as much" in refused.json()["message"]) == (403, True)
        assert world.client(limited).post(f"{KEYS}/{name}/rotate", json={}).status_code == 200
    assert world.client("ann").get(ME).status_code == 200


def test_where_nothing_can_be_written_people_still_get_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, name: str, now: float) -> None:
        raise StorageFull("no space left")

    monkeypatch.setattr(type(world.records), "touch", full)
    assert world.client("ann").get("/api/fabric/workloads").status_code == 200


def test_a_machines_key_is_rotated_by_who_manages_it(world: World) -> None:
    make(world, "boss", name="ci", user="")
    make(world, "ann", name="wide", scopes=["own", "look"])
    assert world.client("ann").post(f"{KEYS}/ci/rotate", json={}).status_code == 404
    new = world.client("boss").post(f"{KEYS}/ci/rotate", json={}).json()["secret"]
    assert world.client(new).get(ME).json()["name"] == "ci"


def test_the_use_of_a_key_is_written_down_at_most_once_a_minute(world: World) -> None:
    def used() -> float | None:
        return world.records.key("ann's").used

    client = world.client("ann")
    assert used() is None
    seen = []
    for second in (0, 59, 60):
        world.clock.at = START + second
        client.get(ME)
        seen.append(used())
    assert seen == [START, START, START + 60]


def test_who_leaves_a_project_or_is_disabled_opens_nothing_more(world: World) -> None:
    member = f"{PROJECTS}/alpha/members/ann"
    assert world.client("eve").delete(member).status_code == 403
    assert world.client("boss").put(member, json={"role": "viewer"}).json()["role"] == "viewer"
    assert world.client("ann").get(ME).json()["role"] == "viewer", "less than the key says"
    assert world.client("boss").put(member, json={"role": "operator"}).status_code == 200
    assert world.client("ann").get(ME).json()["role"] == "member", "never more than the key says"
    assert world.client("boss").delete(member).status_code == 204
    left = world.client("ann").get(ME)
    assert (left.status_code, "no role in project alpha any more" in left.json()["message"]) == (401, True)
    world.client("root").put(f"{USERS}/boss", json={"disabled": True})
    assert world.client("boss").get(ME).status_code == 401
    world.client("root").put(f"{USERS}/boss", json={})
    assert world.client("boss").get(ME).status_code == 200


def test_users_are_added_and_may_be_something_on_the_whole_site(world: World) -> None:
    made = world.client("root").put(f"{USERS}/dan", json={"full_name": "Dan Ott", "role": "operator"}).json()
    assert (made["full_name"], made["roles"], made["created_at"]) == ("Dan Ott", {"": "operator"}, START)
    secret = make(world, "root", user="dan", role="operator").json()["secret"]
    assert world.client(secret).get("/api/fabric/projects").status_code == 200
    assert world.client("root").put(f"{USERS}/dan", json={}).json()["roles"] == {}
    assert world.client(secret).get(ME).status_code == 401
    seen = {by: [user["name"] for user in world.client(by).get(USERS).json()["users"]] for by in ("root", "boss")}
    assert seen == {"root": ["ann", "boss", "dan", "eve"], "boss": ["ann", "boss"]}


def test_a_project_tells_its_members_and_what_its_work_holds(world: World) -> None:
    world.job("big", project="alpha", groups=(Group(count=1),))
    world.job("waits", project="alpha")
    world.run("big")
    told = world.client("ann").get(f"{PROJECTS}/alpha").json()
    assert {member["user"]: member["role"] for member in told["members"]} == {"ann": "member", "boss": "admin"}
    assert (told["num_running"], told["num_waiting"]) == (1, 1)
    assert told["held"] == {"commodity": {"cpus": 1.0, "gpus": 0.0, "memory_bytes": 2**30}}
    assert world.client("eve").get(f"{PROJECTS}/alpha").status_code == 403
    assert [p["name"] for p in world.client("eve").get(PROJECTS).json()["projects"]] == ["beta"]
    assert world.client("root").get(f"{PROJECTS}/nothing").status_code == 404


def test_a_project_that_was_made_takes_work_until_it_is_closed(world: World) -> None:
    spec = {"spec": {"entrypoint": "x", "project": "gamma"}}
    made = world.client("root").put(f"{PROJECTS}/gamma", json={}).json()
    assert (made["made"], made["created_by"], made["closed_at"]) == (True, "root's", None)
    assert world.client("root").post("/api/fabric/workloads", json=spec).status_code == 200
    world.client("root").put(f"{PROJECTS}/gamma", json={"closed": True})
    refused = world.client("root").post("/api/fabric/workloads", json=spec)
    assert (refused.status_code, "project gamma is closed" in refused.json()["message"]) == (400, True)
    assert world.client("boss").put(f"{PROJECTS}/gamma", json={}).status_code == 403
    assert world.client("root").put(f"{PROJECTS}/..x", json={}).status_code == 400


def test_work_is_recorded_for_the_person_who_hands_it_in(world: World) -> None:
    client = world.client("ann")
    name = client.post("/api/fabric/workloads", json={"spec": {"entrypoint": "x"}}).json()["name"]
    assert client.get(f"/api/fabric/workloads/{name}").json()["submitted_by"] == "ann"
    job = world.client("root").post("/api/jobs/", json={"entrypoint": "x"}).json()["submission_id"]
    assert world.records.get(job).submitted_by == "root's"
    client.post(f"/api/fabric/workloads/{name}/stop")
    assert world.records.get(name).stop_reason == "stopped by ann"
