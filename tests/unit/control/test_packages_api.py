"""Packages over HTTP."""

from collections.abc import Iterator

import pytest

from fabric.store.shelves import Limits
from tests.unit.control.world import World, zipped

NAME = "_ray_pkg_0123456789abcdef.zip"
PATH = f"/api/packages/gcs/{NAME}"


def test_a_package_is_there_once_it_was_uploaded(world: World) -> None:
    client = world.client()
    missing = client.get(PATH)
    assert (missing.status_code, missing.text) == (404, f"Package gcs://{NAME} does not exist")
    package = zipped(a="b" * 100_000)
    assert client.put(PATH, content=package).status_code == 200
    assert client.get(PATH).status_code == 200
    assert world.packages.path(NAME).read_bytes() == package


def test_a_package_may_arrive_in_pieces_of_unknown_number(world: World) -> None:
    package = zipped(a="b" * 1000)

    def pieces() -> Iterator[bytes]:
        yield from (package[i : i + 10] for i in range(0, len(package), 10))

    assert world.client().put(PATH, content=pieces()).status_code == 200
    assert world.packages.path(NAME).read_bytes() == package


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        (PATH, b"", "truncated or no zip"),
        (PATH, zipped(a="b")[:-10], "truncated or no zip"),
        (PATH, zipped(**{"../a": "b"}), "outside its folder"),
        ("/api/packages/gcs/x.tar.gz", b"x", "no package name"),
        ("/api/packages/gcs/..%2F..%2Fx.zip", b"x", ""),
        ("/api/packages/s3/x.zip", b"x", "gcs://NAME"),
    ],
    # Names of their own: a zip holds the time, and the processes of a run must find the same tests.
    ids=["empty", "truncated", "escapes", "no package name", "climbs", "other scheme"],
)
def test_a_package_that_is_broken_escapes_or_has_a_wrong_name_is_refused(
    world: World, path: str, content: bytes, words: str
) -> None:
    answer = world.client().put(path, content=content)
    assert answer.status_code in {400, 404}
    assert words in answer.text
    assert world.client().get(PATH).status_code == 404


def test_a_package_that_is_too_large_is_refused_with_the_limit(world: World) -> None:
    world.packages._limits = Limits(1000, 10**6, 3600.0)
    answer = world.client().put(PATH, content=b"x" * 100_000)
    assert (answer.status_code, "larger than" in answer.text) == (400, True)
    assert "a Ray head takes no request above 100 MiB" in answer.text
    assert list(world.packages._folder.iterdir()) == []


def test_uploading_the_same_again_is_no_mistake(world: World) -> None:
    package = zipped(a="b")
    assert [world.client().put(PATH, content=package).status_code for _ in range(2)] == [200, 200]


def test_a_project_sees_and_names_only_its_own_packages_and_the_sites(world: World) -> None:
    alpha, beta = world.issue("a", "member", "alpha"), world.issue("b", "member", "beta")
    job = {"entrypoint": "x", "runtime_env": {"working_dir": f"gcs://{NAME}"}}
    assert world.client(alpha).put(PATH, content=zipped(a="b")).status_code == 200
    found = [world.client(key).get(PATH).status_code for key in (alpha, beta, None)]
    assert found == [200, 404, 404]
    refused = world.client(beta).post("/api/jobs/", json=job)
    assert (refused.status_code, "is not here" in refused.text) == (400, True)
    assert world.client(alpha).post("/api/jobs/", json=job).status_code == 200
    world.client().put(PATH, content=zipped(a="c"))
    assert world.client(beta).post("/api/jobs/", json=job).status_code == 200


def test_packages_of_work_that_has_not_ended_stay_and_others_go_with_time(world: World) -> None:
    key = world.issue("a", "member", "alpha")
    others = [f"/api/packages/gcs/_ray_pkg_{number:016}.zip" for number in (1, 2)]
    for path in (PATH, *others):
        world.client(key).put(path, content=zipped(a="b"))
    applications = [{"import_path": "a:b", "runtime_env": {"py_modules": [f"gcs://{NAME}"]}}]
    world.client(key).put("/api/serve/applications/", json={"applications": applications})
    world.clock.at += 8 * 86_400
    assert world.client(key).put(others[1], content=zipped(a="b")).status_code == 200
    found = [world.client(key).get(path).status_code for path in (PATH, *others)]
    assert found == [200, 404, 200]


def test_a_full_quota_is_told_with_the_site_key_and_makes_room_where_it_can(world: World) -> None:
    key = world.issue("a", "member", "alpha")
    large = zipped(a="b" * 1000)
    world.packages._limits = Limits(10**6, 2 * len(large), 86_400.0)
    paths = [f"/api/packages/gcs/_ray_pkg_{number:016}.zip" for number in (1, 2, 3)]
    assert [world.client(key).put(path, content=large).status_code for path in paths] == [200, 200, 400]
    assert "max_project_package_bytes" in world.client(key).put(paths[2], content=large).text
    world.clock.at += 2 * 3600
    assert world.client(key).put(paths[2], content=large).status_code == 200
