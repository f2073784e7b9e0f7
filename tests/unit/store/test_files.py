"""Files are there whole or not at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric.core.errors import BadInput, NotFound, StorageFull
from fabric.store.files import artifact_root, write_atomically


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    for data in (b"old", [b"ne", b"w"]):
        write_atomically(tmp_path / "file", data)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_write_that_breaks_off_leaves_the_old_contents(tmp_path: Path) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError

    write_atomically(tmp_path / "file", b"old")
    with pytest.raises(RuntimeError):
        write_atomically(tmp_path / "file", breaking())
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_keeps_the_old_contents(small_disk: Path) -> None:
    write_atomically(small_disk / "file", b"old")
    with pytest.raises(StorageFull, match=r"file: No space left on device\. Free some space"):
        write_atomically(small_disk / "file", b"x" * 2**21)
    assert (small_disk / "file").read_bytes() == b"old"
    assert [path.name for path in small_disk.iterdir()] == ["file"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        write_atomically(tmp_path / "nowhere" / "file", b"x")


@pytest.mark.parametrize(
    ("uri", "path"),
    [("file:///data/runs", "/data/runs"), ("file://localhost/a%20b", "/a b"), ((Path("/x y")).as_uri(), "/x y")],
)
def test_a_file_uri_is_a_folder(uri: str, path: str) -> None:
    assert artifact_root(uri) == Path(path)


@pytest.mark.parametrize("uri", ["s3://bucket/x", "file://other/data", "/data", "file:relative", ""])
def test_other_places_are_refused(uri: str) -> None:
    with pytest.raises(BadInput, match="is no folder of this machine"):
        artifact_root(uri)
