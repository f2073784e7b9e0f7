"""Files of projects on the disk: found, read and written, and nothing beside them."""

import ctypes
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric.core.errors import BadInput, Conflict, NotFound, Unavailable
from fabric.store import artifacts
from fabric.store.artifacts import UPLOADS, Artifacts


@pytest.fixture
def store(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts", max_bytes=1000)


@pytest.fixture
def alpha(tmp_path: Path) -> Path:
    """The folder of project alpha, as a job of it sees it."""
    folder = tmp_path / "artifacts" / "alpha"
    folder.mkdir(parents=True)
    return folder


def read(store: Artifacts, path: str, offset: int = 0, project: str = "alpha") -> bytes:
    opened = store.open(project, path)
    try:
        return b"".join(opened.pieces(offset))
    finally:
        opened.close()


def paths(store: Artifacts, path: str = "", *, recursive: bool = False, after: str = "", limit: int = 99) -> list[str]:
    found, _ = store.list("alpha", path, recursive=recursive, after=after, limit=limit)
    return [one.path + ("/" if one.folder else "") for one in found]


def test_what_was_written_is_listed_and_read(store: Artifacts, alpha: Path) -> None:
    written = store.put("alpha", "runs/7/loss.csv", [b"1,", b"2"])
    assert (written.path, written.num_bytes, written.sha256) == (
        "runs/7/loss.csv", 3, hashlib.sha256(b"1,2").hexdigest(),
    )  # fmt: skip
    assert (alpha / "runs/7/loss.csv").read_bytes() == b"1,2"
    assert read(store, "runs/7/loss.csv") == b"1,2"
    assert read(store, "runs/7/loss.csv", offset=2) == b"2"
    assert read(store, "runs/7/loss.csv", offset=9) == b""
    assert paths(store) == ["runs/"]
    assert paths(store, "runs/7/loss.csv") == ["runs/7/loss.csv"]


def test_what_a_job_wrote_is_there_too(store: Artifacts, alpha: Path) -> None:
    (alpha / "out").mkdir()
    (alpha / "out" / "a.txt").write_bytes(b"a")
    (found,), more = store.list("alpha", "out")
    assert (found.path, found.num_bytes, more) == ("out/a.txt", 1, False)
    assert found.modified == (alpha / "out" / "a.txt").stat().st_mtime


def test_a_long_list_comes_in_parts_in_one_order(store: Artifacts, alpha: Path) -> None:
    files = ["a/b/2", "a/b/10", "a.txt", "a/z", "b"]
    for file in files:
        store.put("alpha", file, [b""])
    whole = ["a/b/10", "a/b/2", "a/z", "a.txt", "b"]
    assert paths(store, recursive=True) == whole
    assert paths(store) == ["a/", "a.txt", "b"]
    for limit in (1, 2, 4):
        gathered: list[str] = []
        while part := paths(store, recursive=True, after=gathered[-1] if gathered else "", limit=limit):
            gathered += part
        assert gathered == whole
    assert paths(store, after="a") == ["a.txt", "b"]
    assert store.list("alpha", recursive=True, limit=5)[1] is False
    assert store.list("alpha", recursive=True, limit=4)[1] is True


def test_a_project_without_a_folder_has_nothing(store: Artifacts) -> None:
    assert store.list("beta") == ((), False)
    with pytest.raises(NotFound, match="project beta has no artifact x"):
        store.list("beta", "x")
    with pytest.raises(NotFound):
        store.open("beta", "x")


@pytest.mark.parametrize("path", ["", "../alpha/x", "/etc/passwd", "a/../x", ".uploads/x"])
def test_no_path_leads_out_of_the_project(store: Artifacts, alpha: Path, path: str) -> None:
    (alpha / "x").write_bytes(b"x")
    with pytest.raises(BadInput):
        store.open("alpha", path)
    with pytest.raises(BadInput):
        store.put("alpha", path, [b"x"])
    with pytest.raises(BadInput):
        store.list("..")


def test_links_that_a_job_made_lead_nowhere(store: Artifacts, alpha: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "admin.key").write_bytes(b"key")
    (alpha / "link").symlink_to(tmp_path / "secret")
    (alpha / "file").symlink_to(tmp_path / "secret" / "admin.key")
    (alpha.parent / "beta").symlink_to(tmp_path / "secret")
    assert paths(store, recursive=True) == paths(store) == []
    for project, path in (("alpha", "link/admin.key"), ("alpha", "file"), ("beta", "admin.key")):
        with pytest.raises(NotFound):
            store.open(project, path)
        with pytest.raises(NotFound):
            store.list(project, path)
    for project, path in (("alpha", "link/new"), ("beta", "new"), ("alpha", "file")):
        with pytest.raises(Conflict):
            store.put(project, path, [b"x"])
    with pytest.raises(NotFound):
        store.list("beta")
    store.put("alpha", "file", [b"mine"], replace=True)
    assert [file.name for file in (tmp_path / "secret").iterdir()] == ["admin.key"]
    assert (tmp_path / "secret" / "admin.key").read_bytes() == b"key"


def test_what_cannot_be_read_is_named_and_the_rest_is_listed(
    store: Artifacts, alpha: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in ("a/x", "closed/x", "d/closed/x", "z"):
        store.put("alpha", file, [b"x"])
    step = artifacts._step

    def refuses(above: int, name: str, *, make: bool) -> int:
        if name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(alpha / name))
        return step(above, name, make=make)

    monkeypatch.setattr(artifacts, "_step", refuses)
    whole = ["a/x", "closed/", "d/closed/", "z"]
    assert paths(store, recursive=True) == whole
    found, _ = store.list("alpha", recursive=True)
    assert [one.problem for one in found] == ["", "Permission denied", "Permission denied", ""]
    assert found[1].modified == (alpha / "closed").stat().st_mtime
    for after in whole:
        assert paths(store, recursive=True, after=after.rstrip("/")) == whole[whole.index(after) + 1 :]
    assert [one.problem for one in store.list("alpha")[0]] == [""] * 4
    with pytest.raises(Unavailable, match="closed: Permission denied"):
        store.list("alpha", "closed")


@pytest.mark.parametrize("same", [True, False], ids=["the same", "others"])
def test_where_files_have_one_name_each_none_takes_anothers_place_either(
    store: Artifacts, alpha: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    def refuses(*names: str, **where: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuses)
    store.put("alpha", "a", [b"one"])
    assert read(store, "a") == b"one"
    if same:
        store.put("alpha", "a", [b"one"])
    else:
        with pytest.raises(Conflict, match="another artifact a"):
            store.put("alpha", "a", [b"two"])
    assert (read(store, "a"), list((alpha / UPLOADS).iterdir())) == (b"one", [])


def test_a_file_system_that_can_only_overwrite_is_asked_to_by_nobody(
    store: Artifacts, alpha: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*names: str, **where: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    class OldLibrary:
        """Has no such call."""

    monkeypatch.setattr(os, "link", refuses)
    monkeypatch.setattr(ctypes, "CDLL", lambda name, use_errno: OldLibrary())
    with pytest.raises(Unavailable, match="say replace"):
        store.put("alpha", "a", [b"one"])
    assert paths(store) == []
    store.put("alpha", "a", [b"one"], replace=True)
    assert read(store, "a") == b"one"


def test_a_pipe_that_a_job_made_holds_nobody_up(store: Artifacts, alpha: Path) -> None:
    os.mkfifo(alpha / "pipe")
    assert paths(store) == []
    with pytest.raises(NotFound):
        store.open("alpha", "pipe")


def test_the_same_again_is_no_mistake_and_something_else_needs_to_be_wanted(store: Artifacts, alpha: Path) -> None:
    for _ in range(2):
        store.put("alpha", "a", [b"one"])
    for size in (0, 3, 5):
        with pytest.raises(Conflict, match="another artifact a"):
            store.put("alpha", "a", [b"two"], expected_bytes=size)
    assert read(store, "a") == b"one"
    store.put("alpha", "a", [b"two"], replace=True)
    assert read(store, "a") == b"two"


def test_files_and_folders_do_not_take_each_others_places(store: Artifacts, alpha: Path) -> None:
    store.put("alpha", "a/b", [b""])
    for path in ("a", "a/b/c"):
        with pytest.raises(Conflict):
            store.put("alpha", path, [b"x"], replace=True)
    with pytest.raises(NotFound):
        store.open("alpha", "a")
    with pytest.raises(NotFound):
        store.list("alpha", "a/b/c")


def test_what_is_too_large_or_breaks_off_leaves_nothing(store: Artifacts, alpha: Path) -> None:
    def breaks() -> Iterator[bytes]:
        yield b"x"
        raise BadInput("the sender broke off")

    with pytest.raises(BadInput, match="max_artifact_bytes"):
        store.put("alpha", "a", [b"x" * 600] * 2)
    with pytest.raises(BadInput, match="max_artifact_bytes"):
        store.put("alpha", "a", breaks(), expected_bytes=1001)
    with pytest.raises(BadInput, match="broke off"):
        store.put("alpha", "a", breaks())
    assert paths(store) == []
    assert list((alpha / UPLOADS).iterdir()) == []
    with pytest.raises(NotFound):
        store.list("alpha", UPLOADS)


def test_what_a_crash_left_is_swept_away(store: Artifacts, alpha: Path) -> None:
    store.sweep()
    (alpha / UPLOADS).mkdir()
    (alpha / UPLOADS / "half").write_bytes(b"x")
    (alpha.parent / "..no project").mkdir()
    store.sweep()
    assert list((alpha / UPLOADS).iterdir()) == []


def test_a_reader_keeps_what_it_opened_and_the_version_tells_a_change(store: Artifacts, alpha: Path) -> None:
    store.put("alpha", "a", [b"one"])
    opened = store.open("alpha", "a")
    store.put("alpha", "a", [b"other"], replace=True)
    assert b"".join(opened.pieces()) == b"one"
    opened.close()
    now = store.open("alpha", "a")
    assert now.version != opened.version
    now.close()
