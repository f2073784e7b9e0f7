"""Packages are taken in whole and harmless, or not at all."""

import io
import stat
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fabric.core.errors import BadPackage, NotFound, StorageFull
from fabric.store.packages import TEMPORARY, Packages

NAME = "_ray_pkg_0123456789abcdef.zip"

Members = dict[str, bytes | str]


def zipped(members: Members, kind: int = 0, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file; `kind` of file is written for every member."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.external_attr = (kind | 0o644) << 16 if kind else 0
            info.compress_type = method
            archive.writestr(info, data)
    return out.getvalue()


def in_pieces(data: bytes, size: int = 1000) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    return Packages(tmp_path / "packages", max_bytes=10**6, max_unpacked_bytes=10**6)


def left_over(packages: Packages) -> list[str]:
    return [path.name for path in packages._folder.iterdir()] if packages._folder.exists() else []


def test_a_package_is_there_once_it_was_put(packages: Packages) -> None:
    data = zipped({"main.py": "print(1)", "pkg/": "", "pkg/mod.py": "x = 1\n" * 1000})
    assert not packages.has(NAME)
    path = packages.put(NAME, in_pieces(data))
    assert packages.has(NAME)
    assert packages.path(NAME) == path
    assert path.read_bytes() == data
    assert left_over(packages) == [NAME]


def test_the_first_of_two_uploads_under_one_name_stays(packages: Packages) -> None:
    first, second = zipped({"a": "first"}), zipped({"a": "second"})
    packages.put(NAME, [first])
    packages.put(NAME, [second])
    assert packages.path(NAME).read_bytes() == first


def test_many_uploads_at_once_leave_one_whole_package(packages: Packages) -> None:
    data = zipped({"a": b"x" * 10**5}, method=zipfile.ZIP_STORED)
    threads = [threading.Thread(target=lambda: packages.put(NAME, in_pieces(data))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert packages.path(NAME).read_bytes() == data
    assert left_over(packages) == [NAME]


@pytest.mark.parametrize(
    "name", ["_ray_pkg_0123456789abcdef.zip", f"_ray_pkg_{'a' * 40}.zip", "my_lib-1.0-py3-none-any.whl"]
)
def test_names_that_ray_gives_are_taken(packages: Packages, name: str) -> None:
    assert packages.put(name, [zipped({"a": "b"})]).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x.zip",
        "../_ray_pkg_0123456789abcdef.zip",
        "_ray_pkg_XYZ.zip",
        "_ray_pkg_0123456789abcdef.tar.gz",
        "a/b.whl",
        ".whl",
    ],
)
def test_other_names_are_refused(packages: Packages, name: str) -> None:
    assert not packages.has(name)
    with pytest.raises(BadPackage, match="is no package name"):
        packages.put(name, [zipped({"a": "b"})])
    with pytest.raises(NotFound):
        packages.path(name)


@pytest.mark.parametrize(
    ("member", "why"),
    [
        ("../evil.py", "outside its folder"),
        ("a/../../evil.py", "outside its folder"),
        ("/etc/passwd", "outside its folder"),
        ("a\\..\\..\\evil.py", "outside its folder"),
        ("C:/evil.py", "outside its folder"),
        ("a\0b", "outside its folder"),
    ],
)
def test_a_member_outside_its_folder_is_named(packages: Packages, member: str, why: str) -> None:
    with pytest.raises(BadPackage, match=why) as refused:
        packages.put(NAME, [zipped({"fine.py": "", member: "x"})])
    assert refused.value.fields["member"] == member
    assert left_over(packages) == []


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "a/../../b", "sub/..", "../../x", ""])
def test_a_link_that_may_lead_outside_is_refused(packages: Packages, target: str) -> None:
    with pytest.raises(BadPackage, match="is a link to"):
        packages.put(NAME, [zipped({"link": target}, stat.S_IFLNK)])


@pytest.mark.parametrize(
    ("member", "target"), [("link", "main.py"), ("a/link", "../main.py"), ("a/b/link", "../../c/d")]
)
def test_a_link_inside_is_taken(packages: Packages, member: str, target: str) -> None:
    packages.put(NAME, [zipped({member: target}, stat.S_IFLNK)])


def test_nothing_is_written_through_a_link(packages: Packages) -> None:
    with pytest.raises(BadPackage, match="'a/b/link' would be written through a link"):
        packages.put(NAME, [zipped({"a/b": ".", "a/b/link": "c"}, stat.S_IFLNK)])


@pytest.mark.parametrize(("link", "through"), [("./d/l1", "d/l1/l3"), ("d//l1", "d/l1/l3"), ("d/l1", "./d/./l1/l3")])
def test_a_link_is_the_same_link_however_its_path_is_written(packages: Packages, link: str, through: str) -> None:
    with pytest.raises(BadPackage, match="would be written through a link"):
        packages.put(NAME, [zipped({link: ".", through: "../.."}, stat.S_IFLNK)])


def test_no_file_takes_the_name_of_a_link(packages: Packages) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, kind in (("./a", stat.S_IFLNK), ("a", stat.S_IFREG)):
            info = zipfile.ZipInfo(name)
            info.external_attr = (kind | 0o644) << 16
            archive.writestr(info, "target")
    with pytest.raises(BadPackage, match="member 'a' would be written through a link"):
        packages.put(NAME, [out.getvalue()])


def test_a_device_is_refused(packages: Packages) -> None:
    with pytest.raises(BadPackage, match="neither a file nor a folder"):
        packages.put(NAME, [zipped({"null": ""}, stat.S_IFCHR)])


def damaged(data: bytes) -> bytes:
    """One byte of the first member is another."""
    place = data.index(b"x" * 100) + 50
    return data[:place] + b"y" + data[place + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-10],
        lambda data: b"",
        lambda data: b"no zip" * 99,
        damaged,
    ],
    ids=["half", "end missing", "empty", "something else", "one byte differs"],
)
def test_a_broken_package_is_refused_and_leaves_nothing(packages: Packages, spoil: Callable[[bytes], bytes]) -> None:
    data = zipped({"a.bin": b"x" * 5000}, method=zipfile.ZIP_STORED)
    with pytest.raises(BadPackage, match=f"package {NAME}.*Upload it again"):
        packages.put(NAME, in_pieces(spoil(data)))
    assert not packages.has(NAME)
    assert left_over(packages) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_damaged_under_any_compression_is_refused(packages: Packages, method: int) -> None:
    data = bytearray(zipped({"a": bytes(range(256)) * 100}, method=method))
    for place in range(60, 90):
        data[place] ^= 0xFF
    with pytest.raises(BadPackage, match="Upload it again"):
        packages.put(NAME, [bytes(data)])
    assert left_over(packages) == []


def test_a_package_above_the_limit_is_refused_while_it_comes(packages: Packages) -> None:
    asked = []

    def endless() -> Iterator[bytes]:
        while True:
            asked.append(1)
            yield b"x" * 10**5

    with pytest.raises(BadPackage, match=r"larger than 976\.6 KiB"):
        packages.put(NAME, endless())
    assert len(asked) == 11
    assert left_over(packages) == []


def test_a_bomb_is_refused_before_it_is_unpacked(packages: Packages) -> None:
    data = zipped({"small": "x", "zeros": b"\0" * (2 * 10**6)})
    assert len(data) < 10**4
    with pytest.raises(BadPackage, match="would unpack to .* largest member is zeros"):
        packages.put(NAME, [data])


def test_members_that_share_their_bytes_are_refused(packages: Packages) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = zipped({"a": b"x" * 1000}, method=zipfile.ZIP_STORED)
    entry = data[data.index(b"PK\x01\x02") : data.index(b"PK\x05\x06")]
    end = bytearray(data[data.index(b"PK\x05\x06") :])
    end[8:10] = end[10:12] = (2).to_bytes(2, "little")
    end[12:16] = (2 * len(entry)).to_bytes(4, "little")
    twice = data[: data.index(b"PK\x05\x06")] + entry.replace(b"a", b"b") + bytes(end)
    with pytest.raises(BadPackage):
        packages.put(NAME, [twice])


def test_an_upload_that_is_given_up_leaves_nothing(packages: Packages) -> None:
    with packages.incoming(NAME) as incoming:
        incoming.write(b"half")
    assert left_over(packages) == []


def test_what_a_crash_left_is_swept(packages: Packages) -> None:
    packages.put(NAME, [zipped({"a": "b"})])
    (packages._folder / f"{TEMPORARY}x").write_bytes(b"half")
    packages.sweep()
    assert left_over(packages) == [NAME]


def test_a_deleted_package_is_gone(packages: Packages) -> None:
    packages.put(NAME, [zipped({"a": "b"})])
    packages.delete(NAME)
    packages.delete(NAME)
    assert not packages.has(NAME)


def test_a_full_disk_refuses_a_package_and_keeps_the_others(small_disk: Path) -> None:
    packages = Packages(small_disk / "packages", max_bytes=10**8)
    packages.put(NAME, [zipped({"a": b"x" * 1000})])
    large = zipped({"a": b"x" * (2 * 2**20)}, method=zipfile.ZIP_STORED)
    with pytest.raises(StorageFull, match="No space left"):
        packages.put("_ray_pkg_99999999.zip", in_pieces(large, 10**5))
    assert left_over(packages) == [NAME]
    packages.put("_ray_pkg_77777777.zip", [zipped({"a": b"x" * 1000})])
