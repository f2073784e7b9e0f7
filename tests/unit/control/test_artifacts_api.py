"""Artifacts over HTTP."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from fabric.store.artifacts import UPLOADS
from tests.unit.control.world import World

ALPHA = "/api/fabric/artifacts/alpha"


@pytest.fixture
def guarded(make_world: Callable[..., World]) -> World:
    """Two projects and one who only looks."""
    world = make_world(anonymous=False)
    for name, role, project in (("ann", "member", "alpha"), ("vic", "viewer", "alpha"), ("bob", "admin", "beta")):
        world.person(name, role, project)
    world.issue("root", "admin")
    return world


def test_a_file_is_written_listed_and_read_by_those_of_its_project(guarded: World) -> None:
    ann, vic = guarded.client("ann"), guarded.client("vic")
    put = ann.put(f"{ALPHA}/runs/7/loss.csv", content=b"1,2")
    assert (put.status_code, put.json()["sha256"]) == (200, sha256(b"1,2").hexdigest())
    got = vic.get(f"{ALPHA}/runs/7/loss.csv")
    assert (got.status_code, got.content, got.headers["content-length"]) == (200, b"1,2", "3")
    assert vic.get(f"{ALPHA}/runs/7/loss.csv", params={"offset": 2}).content == b"2"
    (folder,) = vic.get(ALPHA).json()["artifacts"]
    assert (folder["path"], folder["folder"]) == ("runs", True)
    (file,) = vic.get(ALPHA, params={"recursive": "true"}).json()["artifacts"]
    assert (file["path"], file["num_bytes"]) == ("runs/7/loss.csv", 3)
    refused = vic.put(f"{ALPHA}/x", content=b"x")
    assert (refused.status_code, refused.json()["fields"]) == (403, {"permission": "change"})


def test_nobody_sees_or_touches_another_projects_files(guarded: World) -> None:
    guarded.client("ann").put(f"{ALPHA}/a", content=b"secret")
    bob = guarded.client("bob")
    asked = [
        bob.get(ALPHA),
        bob.get(f"{ALPHA}/a"),
        bob.put(f"{ALPHA}/a", content=b"x", params={"replace": "true"}),
        bob.get("/api/fabric/artifacts/beta/..%2Falpha%2Fa"),
        bob.get("/api/fabric/artifacts/..%2Falpha"),
    ]
    assert [answer.status_code for answer in asked] == [403, 403, 403, 400, 400]
    assert bob.get("/api/fabric/artifacts/beta").json() == {"artifacts": [], "after": None}
    assert guarded.client("root").get(f"{ALPHA}/a").content == b"secret"
    guarded.issue("own", "workload", "alpha", workload="mine")
    guarded.job("mine", project="alpha")
    assert guarded.client("own").get(f"{ALPHA}/a").status_code == 403


def test_a_browser_never_shows_what_a_job_wrote(world: World) -> None:
    world.client().put(f"{ALPHA}/page.html", content=b"<script>")
    headers = world.client().get(f"{ALPHA}/page.html").headers
    assert headers["content-type"] == "application/octet-stream"
    assert (headers["content-disposition"], headers["x-content-type-options"]) == ("attachment", "nosniff")


def test_a_file_may_arrive_in_pieces_and_be_larger_than_other_bodies(make_world: Callable[..., World]) -> None:
    world = make_world(max_body_bytes=1024)

    def chunks() -> Iterator[bytes]:
        yield from [b"x" * 1000] * 5

    assert world.client().put(f"{ALPHA}/large", content=chunks()).json()["num_bytes"] == 5000
    assert world.client().get(f"{ALPHA}/large").content == b"x" * 5000


def test_the_same_again_is_no_mistake_and_replacing_is_asked_for(world: World) -> None:
    client = world.client()
    codes = [
        client.put(f"{ALPHA}/a", content=content, params={"replace": replace}).status_code
        for content, replace in ((b"one", "false"), (b"one", "false"), (b"two", "false"), (b"two", "true"))
    ]
    assert codes == [200, 200, 409, 200]
    assert client.get(f"{ALPHA}/a").content == b"two"


def test_what_is_too_large_is_refused_with_the_limit_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    world.artifacts._max_bytes = 10
    refused = world.client().put(f"{ALPHA}/a", content=b"x" * 11)
    assert (refused.status_code, refused.json()["fields"]["limit"]) == (400, 10)
    assert world.client().get(ALPHA).json()["artifacts"] == []
    assert not list((tmp_path / "artifacts/alpha" / UPLOADS).glob("*"))


def test_a_closed_project_takes_no_more_files_and_gives_out_what_it_has(world: World) -> None:
    world.client().put(f"{ALPHA}/a", content=b"a")
    world.client().put("/api/fabric/projects/alpha", json={"closed": True})
    refused = world.client().put(f"{ALPHA}/b", content=b"b")
    assert (refused.status_code, "is closed" in refused.json()["message"]) == (400, True)
    assert world.client().get(f"{ALPHA}/a").content == b"a"


def test_a_link_that_a_job_made_leads_nowhere(world: World, tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("key")
    world.client().put(f"{ALPHA}/a", content=b"a")
    (tmp_path / "artifacts/alpha/link").symlink_to(tmp_path / "admin.key")
    assert world.client().get(f"{ALPHA}/link").status_code == 404
    assert [one["path"] for one in world.client().get(ALPHA).json()["artifacts"]] == ["a"]


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "1001"}, {"recursive": "some"}, {"after": "../x"}])
def test_questions_that_are_none_are_bad_input(world: World, query: dict[str, str]) -> None:
    assert world.client().get(ALPHA, params=query).status_code == 400
