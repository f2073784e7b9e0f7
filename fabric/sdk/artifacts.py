"""Files of projects: `AsyncClient.artifacts`, and the same without `await` as `Client.artifacts`.

Knows nothing of how a request is sent or repeated.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from fabric.core.errors import BadInput, Corrupt, Unavailable
from fabric.core.paths import parts_of
from fabric.sdk.derived import Iterates, Runs, derived, derived_pieces
from fabric.sdk.later import Later
from fabric.sdk.own import project_of
from fabric.sdk.paths import below

if TYPE_CHECKING:
    from fabric.api import artifacts as wire
    from fabric.sdk import local_files
    from fabric.sdk import transport as sending
else:
    wire, local_files = Later("fabric.api.artifacts"), Later("fabric.sdk.local_files")

KEPT_S = 600.0
"""How long control may take until a file that was sent is safe on its disk, in seconds."""


class AsyncArtifacts:
    """Files of projects, asynchronous; without a name it is the key's own project, or `default` of the whole site."""

    def __init__(self, control: Callable[[], sending.Transport], patience_s: float) -> None:
        self._control = control
        self._patience_s = patience_s

    async def list(
        self, path: str = "", *, project: str | None = None, recursive: bool = False
    ) -> tuple[wire.ArtifactView, ...]:
        """What is in a folder, by path; of a file itself alone.

        Args:
            path: The folder; empty for the project's own.
            project: Whose; None for the key's own.
            recursive: List the files below it, at any depth, instead of the files and folders in it; and folders that
                cannot be read, each with its `problem`.

        Raises:
            NotFound: If nothing is there.
            Denied: If it is another project's.
        """
        root = await self._root(project)
        asked = {"path": _plain(path), "recursive": str(recursive).lower()}
        found: list[wire.ArtifactView] = []
        after: str | None = ""
        while after is not None:
            page = await self._control().read(
                wire.ArtifactList, "GET", root, patience_s=self._patience_s, params={**asked, "after": after}
            )
            found += page.artifacts
            after = page.after
        return tuple(found)

    async def upload(
        self, source: Path | str | bytes, path: str, *, project: str | None = None, replace: bool = False
    ) -> tuple[wire.ArtifactView, ...]:
        """Write a file, or each of a folder's, whole or not at all; the same contents again are no mistake.

        Args:
            source: A file or a folder of this machine, or the contents themselves.
            path: Where; with a slash at the end, in that folder under the source's own name.
            project: Whose; None for the key's own.
            replace: Whether to take the place of files with other contents.

        Returns:
            What was written, each with its digest.

        Raises:
            BadInput: If the source cannot be read, or control takes none so large.
            Conflict: If there is a folder, or a file with other contents.
            Corrupt: If what arrived is not what was sent.
            Denied: If it is another project's, or the key may only look.
        """
        root = await self._root(project)
        if isinstance(source, bytes):
            return (await self._put(root, path, source, replace),)
        place = Path(source)
        to = f"{path}{place.resolve().name}" if path.endswith("/") or not path else path
        if not place.is_dir():
            return (await self._put(root, to, place, replace),)
        names = local_files.files_below(place)
        return tuple([await self._put(root, f"{to}/{name}", place / name, replace) for name in names])

    async def download(
        self, path: str, target: Path | str = ".", *, project: str | None = None, replace: bool = False
    ) -> tuple[Path, ...]:
        """Write an artifact, or each file below a folder of them, to this machine; each whole or not at all.

        Args:
            path: A file or a folder; empty for everything of the project.
            target: Where; a file goes into a folder that exists under its own name, what is in a folder goes below it.
            project: Whose; None for the key's own.
            replace: Whether to take the place of files that are there.

        Returns:
            The files that were written.

        Raises:
            BadInput: If they cannot be written.
            Conflict: If one is there already.
            NotFound: If nothing is there.
            Denied: If it is another project's.
            Unavailable: If control cannot read all of it; then nothing was written.
        """
        at, to = _plain(path), Path(target)
        found = await self.list(at, project=project, recursive=True)
        if unread := next((one for one in found if one.problem), None):
            raise Unavailable(
                f"{unread.path} cannot be read: {unread.problem}. Nothing was fetched; fetch what is beside it singly.",
                path=unread.path,
            )
        if [one.path for one in found] == [at] and to.is_dir():
            to = to / PurePosixPath(at).name
        written = []
        for one in found:
            below = parts_of(one.path)[len(parts_of(at)) :]
            await local_files.write_whole(to.joinpath(*below), self.read(one.path, project=project), replace=replace)
            written.append(to.joinpath(*below))
        return tuple(written)

    async def read(self, path: str, *, project: str | None = None, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """The contents of a file, in pieces; goes on over lost connections.

        Args:
            path: The file.
            project: Whose; None for the key's own.
            offset: First byte.

        Yields:
            Bytes, a mebibyte or less at a time.

        Raises:
            NotFound: If there is no such file.
            Denied: If it is another project's.
            Unavailable: If control cannot be reached, or the file changes while it is read.
        """
        url = _below(await self._root(project), path)
        async for piece in self._control().pieces(
            url, version=wire.VERSION, offset=offset, patience_s=self._patience_s
        ):
            yield piece

    async def _put(self, root: str, path: str, source: Path | bytes, replace: bool) -> wire.ArtifactView:
        """Write one file.

        Raises:
            Corrupt: If what arrived is not what was sent.
        """
        url, outgoing = _below(root, path), local_files.Outgoing(source)
        view = await self._control().read(
            wire.ArtifactView, "PUT", url, patience_s=self._patience_s, body=outgoing.pieces, answer_s=KEPT_S,
            params={"replace": str(replace).lower()},
            headers={"Content-Length": str(outgoing.num_bytes), "Content-Type": "application/octet-stream"},
        )  # fmt: skip
        if view.sha256 != outgoing.sha256:
            raise Corrupt(f"{path}: what control kept is not what was sent. Send it again, with replace.", path=path)
        return view

    async def _root(self, project: str | None) -> str:
        project = await project_of(self._control(), project, self._patience_s)
        return below(wire.ARTIFACTS, project, otherwise=f"{project!r} is no project")


class Artifacts:
    """Files of projects; every method is the one of `AsyncArtifacts`."""

    def __init__(self, artifacts: AsyncArtifacts, run: Runs, iterate: Iterates) -> None:
        self._client = artifacts
        self._run = run
        self._iterate = iterate

    list = derived(AsyncArtifacts.list)
    upload = derived(AsyncArtifacts.upload)
    download = derived(AsyncArtifacts.download)
    read = derived_pieces(AsyncArtifacts.read)


def _plain(path: str) -> str:
    """A path without a slash at its end, which people write after folders."""
    return path.removesuffix("/")


def _below(root: str, path: str) -> str:
    """Where a file is asked for.

    Raises:
        BadInput: If it has no name, or its path would lead elsewhere.
    """
    if not path:
        raise BadInput("name the artifact; `fabric artifacts list` lists them")
    return "/".join((root, *(quote(part, safe="") for part in parts_of(path))))
