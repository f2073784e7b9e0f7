"""Uploaded packages by project: each has a shelf of its own with a quota, and the site has one that all may read.

Knows nothing of HTTP, of who uploads, or of what is inside a package. A name is a hash of what is inside, but nobody
checks that it is; so what one project uploads under a name is never given to another.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fabric.core.errors import BadPackage
from fabric.core.ids import check_name
from fabric.core.quantity import Bytes
from fabric.store.packages import TEMPORARY, Packages

PROJECTS = "projects"
"""Folder of the shelves of projects, beside the packages of the site."""
HURRIED_AGE_S = 3600.0
"""Seconds without use after which a package may go already where its project's quota is full."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept, and how long."""

    max_bytes: int
    """Largest package."""
    max_project_bytes: int
    """Most that all packages of one project take together, and those of the site."""
    age_s: float
    """Seconds without use after which a package goes that no waiting or running work names."""


@dataclass(frozen=True, slots=True)
class Unneeded:
    """A package that has not been used for long, and that no waiting or running work names."""

    project: str
    """Whose it is; empty for the site's."""
    name: str
    num_bytes: int
    used: float
    """When it was last asked for, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class _Kept:
    file: Path
    num_bytes: int
    used: float
    """When it was last asked for, in seconds since the epoch."""


class Shelves:
    """All packages of a site.

    Args:
        folder: Where they are; made at the first upload.
        limits: How much is kept.
        now: Seconds since the epoch.
    """

    def __init__(self, folder: Path, limits: Limits, now: Callable[[], float]) -> None:
        self._folder = folder
        self._limits = limits
        self._now = now
        self._counting = threading.Lock()

    def has(self, name: str, project: str = "") -> bool:
        """Whether a project can use a package, its own or the site's; any text may be asked for.

        To be asked for is to be used: whoever is told that it is there need not upload it in the next minutes.
        """
        for shelf in self._within_reach(project):
            if shelf.has(name):
                shelf.touch(name, self._now())
                return True
        return False

    def path(self, name: str, project: str = "") -> Path:
        """The file of a package that a project can use; it never changes.

        Raises:
            NotFound: If there is none of that name.
        """
        own, *others = self._within_reach(project)
        return next((shelf for shelf in (own, *others) if shelf.has(name)), own).path(name)

    def put(self, name: str, chunks: Iterable[bytes], project: str = "") -> Path:
        """Take in a package of a project; without one it is the site's, which every project can use.

        Raises:
            BadPackage: If it is broken, too large, would write outside its folder, or the project's quota is full.
            StorageFull: If the disk is full.
        """
        shelf = self._shelf(project)
        if shelf.has(name):
            shelf.touch(name, self._now())
        with shelf.incoming(name) as incoming:
            for chunk in chunks:
                incoming.write(chunk)
            # One at a time: two that fit singly may not fit together.
            with self._counting:
                self._require_room(shelf, name, incoming.num_bytes, project)
                path = incoming.finish()
                shelf.touch(name, self._now())
                return path

    def unneeded(self, named: Collection[tuple[str, str]]) -> tuple[Unneeded, ...]:
        """What `collect` would remove, by project, and what was used longest ago first."""
        return tuple(
            Unneeded(project, kept.file.name, kept.num_bytes, kept.used)
            for project in ("", *self._projects())
            for kept in self._old(project, named, self._limits.age_s)
        )

    def collect(self, named: Collection[tuple[str, str]]) -> int:
        """Remove what has not been used for long; returns how many bytes became free.

        Args:
            named: Project and name of what waiting or running work names; it stays.
        """
        freed = 0
        for project in ("", *self._projects()):
            freed += self._remove(project, named, self._limits.age_s, wanted=None)
        return freed

    def make_room(self, project: str, num_bytes: int, named: Collection[tuple[str, str]]) -> None:
        """Remove what was used longest ago while an upload of so many bytes would not fit its project's quota."""
        lacking = self.used_bytes(project) + num_bytes - self._limits.max_project_bytes
        if lacking > 0:
            self._remove(project, named, HURRIED_AGE_S, wanted=lacking)

    def used_bytes(self, project: str = "") -> int:
        """What the packages of a project take."""
        return sum(kept.num_bytes for kept in self._kept(project))

    def sweep(self) -> None:
        """Remove what uploads left that a crash cut off; call it before taking any."""
        for project in ("", *self._projects()):
            self._shelf(project).sweep()

    def _require_room(self, shelf: Packages, name: str, num_bytes: int, project: str) -> None:
        used, most = self.used_bytes(project), self._limits.max_project_bytes
        if shelf.has(name) or used + num_bytes <= most:
            return
        whose = f"project {project}" if project else "the site"
        raise BadPackage(
            f"package {name} ({Bytes(num_bytes)}) does not fit: the packages of {whose} take {Bytes(used)} of "
            f"{Bytes(most)}, the `max_project_package_bytes` of this site. Those that no waiting or running work names "
            f"are removed when they have not been used for {HURRIED_AGE_S / 60:g} minutes and room is needed. Leave "
            "large files out of the working_dir, or try again when work of yours has ended.",
            name=name,
            used=used,
            limit=most,
        )

    def _remove(self, project: str, named: Collection[tuple[str, str]], age_s: float, *, wanted: int | None) -> int:
        """Remove unused packages, the one first that was used longest ago, until enough is free."""
        shelf, freed = self._shelf(project), 0
        for kept in self._old(project, named, age_s):
            if wanted is not None and freed >= wanted:
                break
            shelf.delete(kept.file.name)
            freed += kept.num_bytes
        return freed

    def _old(self, project: str, named: Collection[tuple[str, str]], age_s: float) -> Iterator[_Kept]:
        for kept in sorted(self._kept(project), key=lambda one: (one.used, one.file.name)):
            # The site's may be named by any project.
            needed = any(name == kept.file.name and (not project or owner == project) for owner, name in named)
            if not needed and kept.used <= self._now() - age_s:
                yield kept

    def _kept(self, project: str) -> Iterator[_Kept]:
        folder = self._folder_of(project)
        for file in folder.iterdir() if folder.is_dir() else ():
            if not file.name.startswith(TEMPORARY) and file.is_file():
                # One that somebody removes just now is not there.
                with suppress(FileNotFoundError):
                    status = file.stat()
                    yield _Kept(file, status.st_size, status.st_mtime)

    def _projects(self) -> list[str]:
        folder = self._folder / PROJECTS
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []

    def _within_reach(self, project: str) -> tuple[Packages, ...]:
        site = self._shelf("")
        return (self._shelf(project), site) if project else (site,)

    def _shelf(self, project: str) -> Packages:
        return Packages(self._folder_of(project), self._limits.max_bytes)

    def _folder_of(self, project: str) -> Path:
        return self._folder / PROJECTS / check_name(project, "project") if project else self._folder
