"""Artifacts: files in one folder for each project, which its jobs write themselves and people reach through control.

Knows nothing of HTTP or of who asks. What lies there may have been made by anybody's job, so a link is never followed:
each step of a path is opened below the one before, and must be a folder or a plain file itself.
"""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from fabric.core.errors import BadInput, Conflict, NotFound
from fabric.core.ids import check_name
from fabric.core.paths import MOST_PARTS, parts_of
from fabric.core.quantity import Bytes
from fabric.store.errors import file_error
from fabric.store.placing import Place, name_new

UPLOADS = ".uploads"
"""Folder of each project with what is on its way; nobody sees it."""

_PIECE_BYTES = 2**20
_INSIDE = os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_FOLDER = frozenset({errno.ENOTDIR, errno.ELOOP})
"""What a step through a file, or through a link, ends with."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file, or a folder."""

    path: str
    """Below the project's folder."""
    folder: bool
    num_bytes: int
    modified: float
    """Seconds since the epoch."""
    sha256: str = ""
    """Of what was just written."""
    problem: str = ""
    """Why what is in it, or what it is, cannot be told; empty where nothing is wrong."""


@dataclass(frozen=True, slots=True)
class OpenArtifact:
    """A file that is being read; it stays what it was if another one takes its name."""

    artifact: Artifact
    version: str
    """Another one once the file has changed."""
    stream: BinaryIO

    def pieces(self, offset: int = 0) -> Iterator[bytes]:
        """Its bytes from `offset` on, as many as there were when it was opened."""
        self.stream.seek(offset)
        left = self.artifact.num_bytes - offset
        while left > 0 and (piece := self.stream.read(min(left, _PIECE_BYTES))):
            left -= len(piece)
            yield piece

    def close(self) -> None:
        """Let go of it."""
        self.stream.close()


class Artifacts:
    """The artifacts of a site.

    Args:
        folder: Of all projects.
        max_bytes: Largest file that is taken in.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def list(
        self, project: str, path: str = "", *, recursive: bool = False, after: str = "", limit: int = 1000
    ) -> tuple[tuple[Artifact, ...], bool]:
        """What is in a folder, by path; of a file itself alone.

        Args:
            project: Whose.
            path: The folder; empty for the project's own.
            recursive: List the files below it, at any depth, instead of the files and folders in it; and folders that
                cannot be read, each with its problem.
            after: Only what comes after this path.
            limit: The most to list.

        Returns:
            What was found, and whether there is more.

        Raises:
            BadInput: If a path is none.
            NotFound: If nothing is there.
        """
        parts, behind = parts_of(path), parts_of(after)
        if parts[:1] == (UPLOADS,):
            raise NotFound(_nothing(project, path), path=path, project=project)
        with _errors(project, path), closing(self._entries(project, parts, behind, recursive=recursive)) as entries:
            found = tuple(islice(entries, limit + 1))
        return found[:limit], len(found) > limit

    def open(self, project: str, path: str) -> OpenArtifact:
        """A file to read; whoever opens it closes it.

        Raises:
            BadInput: If the path is none.
            NotFound: If there is no such file.
        """
        *above, name = _named(path)
        with _errors(project, path), self._at(project, above) as folder:
            # A pipe that somebody made there must not hold up whoever opens it.
            descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _INSIDE, dir_fd=folder)
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                os.close(descriptor)
                raise NotFound(_nothing(project, path), path=path, project=project)
            version = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
            return OpenArtifact(_artifact(path, status), version, os.fdopen(descriptor, "rb"))

    def put(
        self, project: str, path: str, chunks: Iterable[bytes], *, replace: bool = False, expected_bytes: int = 0
    ) -> Artifact:
        """Write a file, whole or not at all; the same contents again are no mistake.

        Args:
            project: Whose.
            path: Where; folders above it are made.
            chunks: The contents.
            replace: Whether to take the place of a file with other contents.
            expected_bytes: How large it says it will be; 0 where it does not.

        Raises:
            BadInput: If the path is none, or it is too large.
            Conflict: If there is a folder, or a file with other contents.
            StorageFull: If the disk is full.
        """
        *above, name = _named(path)
        self._check_size(path, expected_bytes)
        with _errors(project, path, writing=True):
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._at(project, above, make=True) as folder, self._at(project, [UPLOADS], make=True) as uploads:
                _check_free(folder, name, path, may_be=replace or not expected_bytes, num_bytes=expected_bytes)
                temporary = secrets.token_hex(16)
                try:
                    digest = self._receive(uploads, temporary, chunks, path)
                    _place((uploads, temporary), (folder, name), path, over=replace, digest=digest)
                finally:
                    with suppress(FileNotFoundError):
                        os.unlink(temporary, dir_fd=uploads)
                return _artifact(path, os.stat(name, dir_fd=folder, follow_symlinks=False), digest)

    def sweep(self) -> None:
        """Remove what uploads left that a crash cut off; call it before taking any."""
        for project in sorted(os.listdir(self._folder)) if self._folder.is_dir() else ():
            with suppress(OSError, BadInput), self._at(project, [UPLOADS]) as uploads:
                for name in os.listdir(uploads):
                    os.unlink(name, dir_fd=uploads)

    @contextmanager
    def _at(self, project: str, above: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """A descriptor of a folder of a project.

        Raises:
            OSError: If there is none, or a step on the way is no folder.
        """
        here = os.open(self._folder, _FOLDER)
        try:
            for name in (check_name(project, "project"), *above):
                below = _step(here, name, make=make)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)

    def _entries(
        self, project: str, parts: tuple[str, ...], after: tuple[str, ...], *, recursive: bool
    ) -> Generator[Artifact]:
        """What a path leads to.

        Raises:
            FileNotFoundError: If nothing is there.
            NotADirectoryError: If it leads through a file or a link.
        """
        try:
            with self._at(project, parts) as folder:
                yield from _walk(folder, parts, after, recursive=recursive)
        except FileNotFoundError:
            if parts:
                raise
        except NotADirectoryError:
            status = self._status(project, parts) if parts else None
            if status is None or not stat.S_ISREG(status.st_mode):
                raise
            if parts > after:
                yield _artifact("/".join(parts), status)

    def _status(self, project: str, parts: tuple[str, ...]) -> os.stat_result:
        with self._at(project, parts[:-1]) as folder:
            return os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)

    def _receive(self, uploads: int, name: str, chunks: Iterable[bytes], path: str) -> str:
        """Write what arrives, durably; its digest.

        Raises:
            BadInput: If it is too large.
            OSError: If the disk refuses.
        """
        digest, num_bytes = hashlib.sha256(), 0
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _INSIDE, 0o666, dir_fd=uploads)
        with os.fdopen(descriptor, "wb") as stream:
            for chunk in chunks:
                num_bytes += len(chunk)
                self._check_size(path, num_bytes)
                digest.update(chunk)
                stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        return digest.hexdigest()

    def _check_size(self, path: str, num_bytes: int) -> None:
        """Refuse what is too large.

        Raises:
            BadInput: If it is.
        """
        if num_bytes > self._max_bytes:
            raise BadInput(
                f"artifact {path} is larger than {Bytes(self._max_bytes)}, the `max_artifact_bytes` of this site; "
                "nothing of it was kept. Split it, or let a job write it to FABRIC_ARTIFACTS.",
                path=path,
                limit=self._max_bytes,
            )


def _step(above: int, name: str, *, make: bool) -> int:
    """A descriptor of a folder below another one.

    Raises:
        FileNotFoundError: If nothing is there.
        NotADirectoryError: If it is something else.
    """
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=above)
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)


def _walk(folder: int, above: tuple[str, ...], after: tuple[str, ...], *, recursive: bool) -> Iterator[Artifact]:
    """What is in a folder, by path, as far as it comes after another one."""
    with os.scandir(folder) as scanned:
        entries = sorted((entry for entry in scanned if _is_shown(entry, above)), key=lambda entry: entry.name)
    for entry in entries:
        path = (*above, entry.name)
        if path < after[: len(path)]:
            continue
        try:
            if recursive and entry.is_dir(follow_symlinks=False):
                yield from _below(folder, path, after)
            elif path > after:
                yield _artifact("/".join(path), entry.stat(follow_symlinks=False))
        except OSError as error:
            # Jobs may remove it meanwhile, or put something else in its place.
            if error.errno not in {errno.ENOENT, *_NO_FOLDER} and path > after:
                yield _unread("/".join(path), entry, error)


def _below(folder: int, path: tuple[str, ...], after: tuple[str, ...]) -> Iterator[Artifact]:
    if len(path) < MOST_PARTS:
        here = _step(folder, path[-1], make=False)
        try:
            yield from _walk(here, path, after, recursive=True)
        finally:
            os.close(here)


def _is_shown(entry: os.DirEntry[str], above: tuple[str, ...]) -> bool:
    """Whether it is a folder or a plain file that can be named."""
    if (not above and entry.name == UPLOADS) or not entry.name.isprintable():
        return False
    try:
        return entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
    except OSError:
        return True  # nobody can tell what it is, which is worth a line


def _unread(path: str, entry: os.DirEntry[str], error: OSError) -> Artifact:
    """What is known of something that cannot be read."""
    found = Artifact(path, folder=False, num_bytes=0, modified=0.0)
    with suppress(OSError):
        found = _artifact(path, entry.stat(follow_symlinks=False))
    return replace(found, problem=error.strerror or str(error))


def _named(path: str) -> tuple[str, ...]:
    """The parts of a file's path.

    Raises:
        BadInput: If it is none.
    """
    parts = parts_of(path)
    if not parts or parts[0] == UPLOADS:
        raise BadInput(f"path {path!r}: name a file below the project's folder, such as runs/7/loss.csv", path=path)
    return parts


def _check_free(folder: int, name: str, path: str, *, may_be: bool, num_bytes: int) -> None:
    """Refuse early what would be refused in the end.

    Raises:
        Conflict: If there is a folder, or a file of another size that must not be replaced.
    """
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(there.st_mode):
        raise Conflict(f"{path} is a folder; a file cannot take its place", path=path)
    if not may_be and there.st_size != num_bytes:
        raise Conflict(_taken(path), path=path)


def _place(new: Place, to: Place, path: str, *, over: bool, digest: str) -> None:
    """Give a file that was received its name, durably.

    Raises:
        Conflict: If something with other contents has the name.
        OSError: If the disk refuses.
    """
    (uploads, temporary), (folder, name) = new, to
    if over:
        os.rename(temporary, name, src_dir_fd=uploads, dst_dir_fd=folder)
    else:
        try:
            name_new(new, to)
        except FileExistsError:
            if _digest(folder, name) != digest:
                raise Conflict(_taken(path), path=path) from None
    os.fsync(folder)


def _digest(folder: int, name: str) -> str:
    """Digest of a plain file; empty of anything else."""
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        return ""
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NONBLOCK | _INSIDE, dir_fd=folder), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _artifact(path: str, status: os.stat_result, sha256: str = "") -> Artifact:
    folder = stat.S_ISDIR(status.st_mode)
    return Artifact(path, folder, 0 if folder else status.st_size, status.st_mtime, sha256)


def _nothing(project: str, path: str) -> str:
    return f"project {project} has no artifact {path}"


def _taken(path: str) -> str:
    return f"there is another artifact {path}. Replace it, or choose another path."


@contextmanager
def _errors(project: str, path: str, *, writing: bool = False) -> Iterator[None]:
    """Raise the fabric's errors for what the file system raises inside; paths of this machine are told to nobody.

    Raises:
        NotFound: If nothing is there.
        Conflict: If a step on the way to what is written is no folder.
    """
    try:
        yield
    except OSError as error:
        if writing and error.errno in {*_NO_FOLDER, errno.EISDIR}:
            raise Conflict(f"{path}: something on the way is a file or a link, not a folder", path=path) from None
        if error.errno in {*_NO_FOLDER, errno.ENOENT, errno.ENXIO}:
            raise NotFound(_nothing(project, path), path=path, project=project) from None
        mapped = file_error(error, Path(path))
        raise mapped from error
