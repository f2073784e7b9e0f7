"""Packages over HTTP."""

from collections.abc import Iterator

import pytest

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
    world.packages._max_bytes = 1000
    answer = world.client().put(PATH, content=b"x" * 100_000)
    assert (answer.status_code, "larger than" in answer.text) == (400, True)
    assert "a Ray head takes no request above 100 MiB" in answer.text
    assert list(world.packages._folder.iterdir()) == []


def test_uploading_the_same_again_is_no_mistake(world: World) -> None:
    package = zipped(a="b")
    assert [world.client().put(PATH, content=package).status_code for _ in range(2)] == [200, 200]
