"""Files of projects, each step checked against who asks.

Knows nothing of HTTP or of where files are.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from fabric.api.artifacts import ArtifactList, ArtifactView
from fabric.config.site import Site
from fabric.control.callers import Caller, Permission
from fabric.control.people_ports import ProjectRecord
from fabric.control.projects import require_open
from fabric.core.ids import check_name


class File(Protocol):
    """A file, or a folder."""

    @property
    def path(self) -> str:
        """Below the project's folder."""
        ...

    @property
    def folder(self) -> bool:
        """Whether it is a folder."""
        ...

    @property
    def num_bytes(self) -> int:
        """Size of a file."""
        ...

    @property
    def modified(self) -> float:
        """Seconds since the epoch."""
        ...

    @property
    def sha256(self) -> str:
        """Of what was just written; else empty."""
        ...

    @property
    def problem(self) -> str:
        """Why what is in it, or what it is, cannot be told; else empty."""
        ...


class Opened(Protocol):
    """A file that is being read."""

    @property
    def artifact(self) -> File:
        """What it was when it was opened."""
        ...

    @property
    def version(self) -> str:
        """Another one once the file has changed."""
        ...

    def pieces(self, offset: int = 0) -> Iterator[bytes]:
        """Its bytes from `offset` on."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Files(Protocol):
    """The files of all projects."""

    def list(
        self, project: str, path: str = "", *, recursive: bool = False, after: str = "", limit: int = 1000
    ) -> tuple[Sequence[File], bool]:
        """What is at a path, and whether there is more.

        Raises:
            BadInput: If a path is none.
            NotFound: If nothing is there.
        """
        ...

    def open(self, project: str, path: str) -> Opened:
        """A file to read.

        Raises:
            BadInput: If the path is none.
            NotFound: If there is no such file.
        """
        ...

    def put(
        self, project: str, path: str, chunks: Iterable[bytes], *, replace: bool = False, expected_bytes: int = 0
    ) -> File:
        """Write a file, whole or not at all.

        Raises:
            BadInput: If the path is none, or it is too large.
            Conflict: If something else is there.
            StorageFull: If the disk is full.
        """
        ...


class Artifacts:
    """What callers may ask of artifacts."""

    def __init__(self, files: Files, made: Callable[[], Sequence[ProjectRecord]], site: Callable[[], Site]) -> None:
        """Remember where they are.

        Args:
            files: Where they are.
            made: Projects that people made.
            site: The installation as it is now.
        """
        self._files, self._made, self._site = files, made, site

    def list(
        self, project: str, caller: Caller, path: str = "", *, recursive: bool = False, after: str = "", limit: int
    ) -> ArtifactList:
        """What is at a path.

        Raises:
            BadInput: If a path is none.
            Denied: If it is another project's.
            NotFound: If nothing is there.
        """
        self._require(project, caller, Permission.ARTIFACTS)
        found, more = self._files.list(project, path, recursive=recursive, after=after, limit=limit)
        return ArtifactList(artifacts=tuple(map(view_of, found)), after=found[-1].path if more else None)

    def open(self, project: str, path: str, caller: Caller) -> Opened:
        """A file to read; whoever opens it closes it.

        Raises:
            BadInput: If the path is none.
            Denied: If it is another project's.
            NotFound: If there is no such file.
        """
        self._require(project, caller, Permission.ARTIFACTS)
        return self._files.open(project, path)

    def may_put(self, project: str, caller: Caller) -> None:
        """Check, before anything of it is read, that a caller may write to a project.

        Raises:
            BadInput: If the project takes nothing, or there is none of that name.
            Denied: If it is another project's.
        """
        self._require(project, caller, Permission.CHANGE)
        require_open(project, self._site(), self._made(), says="Name one of them")

    def put(
        self,
        project: str,
        path: str,
        chunks: Iterable[bytes],
        caller: Caller,
        *,
        replace: bool = False,
        expected_bytes: int = 0,
    ) -> ArtifactView:
        """Write a file, whole or not at all; the same contents again are no mistake.

        Raises:
            BadInput: If the path is none, it is too large, or the project takes nothing.
            Conflict: If something else is there.
            Denied: If it is another project's.
            StorageFull: If the disk is full.
        """
        self.may_put(project, caller)
        return view_of(self._files.put(project, path, chunks, replace=replace, expected_bytes=expected_bytes))

    def _require(self, project: str, caller: Caller, permission: Permission) -> None:
        """Check that a caller has to do with a project.

        Raises:
            BadInput: If no project could be called so.
            Denied: If it is another one than his, or he may not do this.
        """
        caller.require(permission)
        caller.require_project(check_name(project, "project"))


def view_of(file: File) -> ArtifactView:
    """A file as people see it."""
    return ArtifactView(
        path=file.path,
        folder=file.folder,
        num_bytes=file.num_bytes,
        modified_at=file.modified,
        sha256=file.sha256,
        problem=file.problem,
    )
