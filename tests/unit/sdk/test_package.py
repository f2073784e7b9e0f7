"""What of a working directory is packed."""

import io
import os
import re
import subprocess
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from fabric.core import limits
from fabric.core.errors import BadPackage
from fabric.core.quantity import Bytes
from fabric.sdk import package
from fabric.sdk.package import pack


def names(folder: Path) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(pack(folder).content)).namelist()


def write(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)


def test_files_are_at_the_top_of_the_archive_as_ray_wants_them(tmp_path: Path) -> None:
    write(tmp_path, "b/c.py", "a.py")
    packed = pack(tmp_path)
    assert names(tmp_path) == ["a.py", "b/c.py"]
    assert packed.uri == f"gcs://{packed.name}"
    assert packed.name.startswith("_ray_pkg_")


def test_equal_contents_have_one_name_and_other_contents_another(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write(tmp_path / folder, "a.py", "b.py")
    one, two = pack(tmp_path / "one"), pack(tmp_path / "two")
    assert one == two
    (tmp_path / "two" / "a.py").write_text("changed")
    assert pack(tmp_path / "two").name != one.name


def test_a_script_stays_executable(tmp_path: Path) -> None:
    write(tmp_path, "run")
    (tmp_path / "run").chmod(0o755)
    entry = zipfile.ZipFile(io.BytesIO(pack(tmp_path).content)).infolist()[0]
    assert entry.external_attr >> 16 == 0o755


def test_environments_caches_and_history_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a.py", ".venv/x", ".git/x", "b/__pycache__/x.pyc", "node_modules/x")
    assert names(tmp_path) == ["a.py"]


def test_what_git_ignores_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "runs/big.bin", "new.py")
    (tmp_path / ".gitignore").write_text("runs/\n")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "-C", str(tmp_path), "add", "a.py"], check=True)
    assert names(tmp_path) == [".gitignore", "a.py", "new.py"]


def test_the_revision_is_gits_commit_and_says_if_the_folder_differs_from_it(tmp_path: Path) -> None:
    write(tmp_path, "a.py")
    assert pack(tmp_path).revision == ""
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "a.py"], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    revision = pack(tmp_path).revision
    assert len(revision) == 40
    (tmp_path / "a.py").write_text("changed")
    assert pack(tmp_path).revision == f"{revision}+changes"


def test_a_file_that_git_knows_and_that_is_gone_is_no_problem(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "b.py")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "-C", str(tmp_path), "add", "."], check=True)
    (tmp_path / "b.py").unlink()
    assert names(tmp_path) == ["a.py"]


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "work/a.py", "secret")
    (tmp_path / "work" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "work" / "broken").symlink_to(tmp_path / "nothing")
    assert names(tmp_path / "work") == ["a.py"]


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match="no such folder"):
        pack(tmp_path / "nothing")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match="no file in it"):
        pack(tmp_path)


def test_a_folder_that_is_too_large_is_refused_with_what_is_largest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "MOST_BYTES", 2**20)
    write(tmp_path, "a.py", "data/x")
    (tmp_path / "data" / "x").write_bytes(bytes(2 * 2**20))
    with pytest.raises(BadPackage, match=r"2 MiB, but at most 1 MiB are sent. Largest: data \(2 MiB\)") as caught:
        pack(tmp_path)
    assert caught.value.fields["bytes"] == 2 * 2**20 + 4


def test_a_package_that_no_ray_head_would_take_is_refused_before_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "MOST_PACKAGE", Bytes(2**20))
    write(tmp_path, "a.py", "zeros/x", "noise/x")
    (tmp_path / "zeros" / "x").write_bytes(bytes(4 * 2**20))
    pack(tmp_path)
    (tmp_path / "noise" / "x").write_bytes(os.urandom(2 * 2**20))
    with pytest.raises(BadPackage, match="a Ray head takes no request above 100 MiB") as caught:
        pack(tmp_path)
    assert "packed it is 2." in str(caught.value)
    assert "noise (2 MiB)" in str(caught.value)


def test_what_is_sent_is_what_the_installed_ray_takes() -> None:
    constants = Path(str(metadata.distribution("ray").locate_file("ray/_private/ray_constants.py"))).read_text()
    found = re.search(r"^DASHBOARD_CLIENT_MAX_SIZE = (\d+) \* 1024\*\*2$", constants, re.MULTILINE)
    assert found is not None
    assert limits.RAY_BODY == Bytes(int(found[1]) * 2**20)
    assert limits.MOST_PACKAGE < limits.RAY_BODY
