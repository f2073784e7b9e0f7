"""Uploaded working_dir packages, under the names that Ray gave them; checked before anybody can use one.

Knows nothing of HTTP or of who uploads.
"""

import lzma
import os
import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from fabric.core.errors import BadPackage, NotFound
from fabric.core.limits import WHY_NO_LARGER
from fabric.core.quantity import Bytes
from fabric.store.errors import file_errors
from fabric.store.files import flush_folder, make_folder

MOST_UNPACKED_BYTES = 4 * 2**30
"""Largest package once unpacked, in bytes: eight times the default limit packed, which source code stays below."""
MOST_MEMBERS = 100_000
"""Most files and folders in one package."""
TEMPORARY = ".incoming-"
"""How the name of an upload that has not ended begins."""

_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError)
"""What reading a broken archive raises; a name that is no text is a ValueError."""
_NAME = re.compile(r"_ray_pkg_[0-9a-f]{8,64}\.zip|[A-Za-z0-9][A-Za-z0-9_.+!-]{0,200}\.whl")
_READ_BYTES = 2**20


class Packages:
    """A folder of packages.

    Args:
        folder: Where they are; made at the first upload.
        max_bytes: Largest package as uploaded.
        max_unpacked_bytes: Largest sum of its files.
    """

    def __init__(self, folder: Path, max_bytes: int, max_unpacked_bytes: int = MOST_UNPACKED_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_unpacked_bytes = max_unpacked_bytes

    def has(self, name: str) -> bool:
        """Whether there is such a package; any text may be asked for."""
        return _NAME.fullmatch(name) is not None and (self._folder / name).is_file()

    def path(self, name: str) -> Path:
        """The file of a package; it never changes.

        Raises:
            NotFound: If there is none of that name.
        """
        if not self.has(name):
            raise NotFound(f"there is no package {name}. Upload it again.", name=name)
        return self._folder / name

    def incoming(self, name: str) -> "Incoming":
        """Begin an upload; a package that is there already stays as it is.

        Raises:
            BadPackage: If Ray would not give a package such a name, or it is of a kind that is not taken.
        """
        if _NAME.fullmatch(name) is None:
            raise BadPackage(
                f"{name!r} is no package name. Ray calls a package _ray_pkg_HASH.zip; other archives are not taken: "
                "give a folder or a .zip as working_dir.",
                name=name,
            )
        return Incoming(make_folder(self._folder) / name, self._max_bytes, self._max_unpacked_bytes)

    def put(self, name: str, chunks: Iterable[bytes]) -> Path:
        """Take in a whole package.

        Raises:
            BadPackage: If it is truncated, too large, or would write outside the folder it is unpacked to.
            StorageFull: If the disk is full.
        """
        with self.incoming(name) as incoming:
            for chunk in chunks:
                incoming.write(chunk)
            return incoming.finish()

    def touch(self, name: str, at: float) -> None:
        """Note that a package was used, in seconds since the epoch; one that is not there is no mistake."""
        if self.has(name):
            with suppress(NotFound), file_errors(self._folder / name):
                os.utime(self._folder / name, (at, at))

    def delete(self, name: str) -> None:
        """Remove a package; one that is not there is no mistake."""
        if self.has(name):
            with file_errors(self._folder / name):
                (self._folder / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what uploads left that a crash cut off; call it before taking any."""
        for path in self._folder.glob(f"{TEMPORARY}*"):
            with file_errors(path):
                path.unlink(missing_ok=True)


class Incoming:
    """One upload: write the pieces, then finish; leaving the `with` block earlier removes everything."""

    def __init__(self, target: Path, max_bytes: int, max_unpacked_bytes: int) -> None:
        self._target = target
        self._max_bytes = max_bytes
        self._max_unpacked_bytes = max_unpacked_bytes
        self._num_bytes = 0
        with file_errors(target):
            descriptor, name = tempfile.mkstemp(prefix=TEMPORARY, dir=target.parent)
        self._temporary = Path(name)
        self._stream = os.fdopen(descriptor, "wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()

    def write(self, chunk: bytes) -> None:
        """Append `chunk`.

        Raises:
            BadPackage: If the package is larger than allowed.
            StorageFull: If the disk is full.
        """
        self._num_bytes += len(chunk)
        if self._num_bytes > self._max_bytes:
            raise BadPackage(
                f"package {self._target.name} is larger than {Bytes(self._max_bytes)}, the `max_package_bytes` of this "
                f"site; {WHY_NO_LARGER}. Leave large files out of the working_dir (runtime_env `excludes`, "
                ".gitignore), and read them from a shared folder.",
                name=self._target.name,
                limit=self._max_bytes,
            )
        with file_errors(self._target):
            self._stream.write(chunk)

    @property
    def num_bytes(self) -> int:
        """What has arrived so far."""
        return self._num_bytes

    def finish(self) -> Path:
        """Check the package and put it in place, durably; returns its file.

        Raises:
            BadPackage: If it is truncated, too large, or would write outside the folder it is unpacked to.
            StorageFull: If the disk is full.
        """
        with file_errors(self._target):
            self._stream.flush()
            os.fsync(self._stream.fileno())
        check_package(self._temporary, self._target.name, self._max_unpacked_bytes)
        with file_errors(self._target):
            if not self._target.exists():
                self._temporary.replace(self._target)
                flush_folder(self._target.parent)
        return self._target

    def _discard(self) -> None:
        # What could not be flushed to a full disk is thrown away with the file.
        with suppress(OSError):
            self._stream.close()
        self._temporary.unlink(missing_ok=True)


def check_package(path: Path, name: str, max_unpacked_bytes: int = MOST_UNPACKED_BYTES) -> None:
    """Read all of a zip file and refuse what is broken or would leave the folder it is unpacked to.

    Args:
        path: The file.
        name: What to call it in errors.
        max_unpacked_bytes: Largest sum of its files.

    Raises:
        BadPackage: Naming the member at fault.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_sizes(members, name, max_unpacked_bytes)
            links = {str(PurePosixPath(m.orig_filename)) for m in members if _kind(m) == stat.S_IFLNK}
            for member in members:
                problem = _problem(member, links) or _read(archive, member)
                if problem:
                    raise BadPackage(
                        f"package {name}: member {member.orig_filename!r} {problem}. Nothing of it was kept.",
                        name=name,
                        member=member.orig_filename,
                    )
    except _BROKEN as error:
        raise BadPackage(f"package {name} is truncated or no zip file: {error}. Upload it again.", name=name) from None
    except OSError as error:
        # Positions in a broken directory of members lead nowhere.
        raise BadPackage(f"package {name} cannot be read: {error}. Upload it again.", name=name) from None


def _check_sizes(members: list[zipfile.ZipInfo], name: str, max_unpacked_bytes: int) -> None:
    if len(members) > MOST_MEMBERS:
        raise BadPackage(f"package {name} has {len(members)} members; {MOST_MEMBERS} are allowed.", name=name)
    unpacked = sum(member.file_size for member in members)
    if unpacked > max_unpacked_bytes:
        largest = max(members, key=lambda member: member.file_size)
        raise BadPackage(
            f"package {name} would unpack to {Bytes(unpacked)}; {Bytes(max_unpacked_bytes)} are allowed. "
            f"Its largest member is {largest.filename} ({Bytes(largest.file_size)}).",
            name=name,
            member=largest.filename,
        )


def _kind(member: zipfile.ZipInfo) -> int:
    """Its kind of file, as in `stat`; 0 where the archive does not say."""
    return stat.S_IFMT(member.external_attr >> 16)


def _problem(member: zipfile.ZipInfo, links: Collection[str]) -> str:
    """Why a member may not be unpacked, from its name and kind; empty if it may."""
    path = PurePosixPath(member.orig_filename)
    if member.flag_bits & 1:
        return "is encrypted"
    if ".." in path.parts or _foreign(member.orig_filename):
        return "would be written outside its folder"
    # Names are compared as paths: `./a//b` is `a/b`. A file of a link's own name would be written through it too.
    through = path.parents if _kind(member) == stat.S_IFLNK else (path, *path.parents)
    if any(str(part) in links for part in through):
        return "would be written through a link"
    if _kind(member) not in {0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
        return "is neither a file nor a folder"
    return ""


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    """Read a member to its end, which compares the checksum, and follow it if it is a link."""
    start = b""
    with archive.open(member) as stream:
        # No more is unpacked than the member says of itself, and that was counted.
        while piece := stream.read(_READ_BYTES):
            start = start or piece
    target = start.decode(errors="replace")
    if _kind(member) == stat.S_IFLNK and _escapes(PurePosixPath(member.filename).parent, target):
        return f"is a link to {target!r}, which may be outside its folder"
    return ""


def _escapes(folder: PurePosixPath, target: str) -> bool:
    """Whether a link in `folder` may lead above the top; it may climb only before it passes other names."""
    parts = PurePosixPath(target).parts
    climbs = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    return _foreign(target) or climbs > len(folder.parts) or ".." in parts[climbs:]


def _foreign(path: str) -> bool:
    """Whether a path is empty, absolute, or means something else on another system."""
    return not path or path.startswith("/") or "\\" in path or "\0" in path or re.match(r"[A-Za-z]:", path) is not None
