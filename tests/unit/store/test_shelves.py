"""Packages by project: who sees which, how much is kept, and what goes."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fabric.core.errors import BadInput, BadPackage, NotFound
from fabric.store.shelves import HURRIED_AGE_S, Limits, Shelves

A, B, C = (f"_ray_pkg_{letter * 16}.zip" for letter in "abc")
DAY_S = 86_400.0


def package(text: str = "x", num_bytes: int = 0) -> bytes:
    """A zip file; with `num_bytes`, stored and about as large."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.py", text * (num_bytes or 1))
    return out.getvalue()


class Clock:
    """Stands still unless told otherwise."""

    at = 1_750_000_000.0

    def now(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def made(tmp_path: Path, clock: Clock) -> Callable[..., Shelves]:
    def make(max_project_bytes: int = 10**6) -> Shelves:
        return Shelves(tmp_path / "packages", Limits(10**6, max_project_bytes, 7 * DAY_S), clock.now)

    return make


def test_what_a_project_uploads_is_given_to_no_other(made: Callable[..., Shelves]) -> None:
    shelves = made()
    shelves.put(A, [package("mine")], "alpha")
    assert (shelves.has(A, "alpha"), shelves.has(A, "beta"), shelves.has(A)) == (True, False, False)
    with pytest.raises(NotFound, match="Upload it again"):
        shelves.path(A, "beta")
    shelves.put(A, [package("theirs")], "beta")
    assert shelves.path(A, "alpha").read_bytes() != shelves.path(A, "beta").read_bytes()


def test_the_sites_packages_are_everybodys_and_ones_own_comes_first(made: Callable[..., Shelves]) -> None:
    shelves = made()
    shelves.put(A, [package("the site's")])
    assert shelves.path(A, "alpha") == shelves.path(A)
    own = shelves.put(A, [package("own")], "alpha")
    assert shelves.path(A, "alpha") == own
    assert shelves.path(A, "beta") == shelves.path(A) != own


def test_a_project_cannot_climb_out_of_the_folder(made: Callable[..., Shelves]) -> None:
    with pytest.raises(BadInput, match="project name"):
        made().put(A, [package()], "../beta")


def test_a_full_quota_is_refused_with_what_is_used_and_what_frees_it(made: Callable[..., Shelves]) -> None:
    shelves = made(max_project_bytes=2500)
    shelves.put(A, [package("a", 1000)], "alpha")
    shelves.put(B, [package("b", 1000)], "alpha")
    with pytest.raises(BadPackage, match=r"packages of project alpha take .*max_project_package_bytes"):
        shelves.put(C, [package("c", 1000)], "alpha")
    assert not shelves.has(C, "alpha")
    shelves.put(C, [package("c", 1000)], "beta")
    shelves.put(C, [package("c", 1000)])
    shelves.put(A, [package("a", 1000)], "alpha")
    assert shelves.used_bytes("alpha") == 2 * len(package("a", 1000)), "the same once more takes no room"


def test_what_has_long_not_been_used_goes_unless_work_names_it(made: Callable[..., Shelves], clock: Clock) -> None:
    shelves = made()
    for name in (A, B, C):
        shelves.put(name, [package()], "alpha")
    shelves.put(A, [package()])
    clock.at += 6 * DAY_S
    assert shelves.has(B, "alpha"), "to be asked for is to be used"
    assert shelves.collect(()) == 0
    clock.at += 2 * DAY_S
    assert shelves.collect({("alpha", C), ("beta", A)}) == len(package())
    assert [shelves.has(name, "alpha") for name in (B, C)] == [True, True]
    assert shelves.used_bytes("alpha") == 2 * len(package())
    assert shelves.has(A), "the site's is named by somebody"


def test_room_is_made_by_what_was_used_longest_ago_and_only_as_much_as_is_needed(
    made: Callable[..., Shelves], clock: Clock
) -> None:
    shelves = made(max_project_bytes=4000)
    for name in (A, B, C):
        shelves.put(name, [package("x", 1000)], "alpha")
        clock.at += 1
    shelves.make_room("alpha", 1200, ())
    assert shelves.used_bytes("alpha") == 3 * len(package("x", 1000)), "nothing is old enough"
    clock.at += HURRIED_AGE_S
    shelves.make_room("alpha", 1200, {("alpha", A)})
    assert (shelves.path(A, "alpha").is_file(), shelves.path(C, "alpha").is_file()) == (True, True)
    with pytest.raises(NotFound):
        shelves.path(B, "alpha")


def test_what_a_crash_left_is_swept_from_every_shelf(made: Callable[..., Shelves], tmp_path: Path) -> None:
    shelves = made()
    own, site = shelves.put(A, [package()], "alpha"), shelves.put(A, [package()])
    rests = [path.parent / ".incoming-x" for path in (own, site)]
    for rest in rests:
        rest.write_bytes(b"half")
    assert shelves.used_bytes() == len(package()), "an upload under way is not counted"
    shelves.sweep()
    assert [rest.exists() for rest in (*rests, own, site)] == [False, False, True, True]
