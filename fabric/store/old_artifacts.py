"""What projects keep as artifacts, in parts that are whole only together, and how long nobody has used each.

Knows nothing of who may still need one. A folder with a manifest is one part, with all that is below it; so is a folder
in which none has a manifest, and a file beside folders that have some. Versions of models have links of their own to
their files and are no part of this, nor is what is on its way; nobody follows a link.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fabric.core.paths import MOST_PARTS
from fabric.store.outputs import MANIFEST
from fabric.store.registration import VERSIONS
from fabric.store.removal import Measure, Step, measure, remove_whole, sweep, to_the_end

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """A folder or a file that stays or goes as a whole."""

    project: str
    path: str
    """Below the project's folder."""
    size: Measure


class OldArtifacts:
    """The artifacts of all projects.

    Args:
        root: Folder with one folder for each project.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def parts(self, step: Step = to_the_end) -> Iterator[Part]:
        """Everything, by project and path; what nobody may look into is passed over, with a word in the log.

        Args:
            step: Called for each folder and file.
        """
        for project in _folders(self._root) if self._root.is_dir() else ():
            for path in sorted(_top(self._root / project, step)):
                if (size := measure(self._root / project / path, step)) is not None:
                    yield Part(project, path, size)

    def remove(self, part: Part, before: float) -> bool:
        """Remove a part in one step, unless it was used since `before`, in seconds since the epoch.

        Returns:
            Whether it is gone.

        Raises:
            Unavailable: If the file system refuses.
        """
        size = measure(self._root / part.project / part.path)
        if size is None or size.used >= before:
            return False
        remove_whole(self._root, f"{part.project}/{part.path}")
        return True

    def sweep(self) -> None:
        """Finish removing what a kill cut off."""
        sweep(self._root)


def _top(project: Path, step: Step) -> Iterator[str]:
    """Parts of a project: what is directly in its folder is never one with what is beside it."""
    for name in _folders(project):
        if name != VERSIONS:
            found, _ = _parts_of(project / name, name, step)
            yield from found
    yield from _files(project)


def _parts_of(folder: Path, path: str, step: Step, depth: int = 0) -> tuple[list[str], bool]:
    """Parts of a folder, and whether any of them has a manifest; none is looked for at a depth that no path has."""
    step()
    if (folder / MANIFEST).is_file():
        return [path], True
    below = _folders(folder) if depth < MOST_PARTS else ()
    inside = [_parts_of(folder / name, f"{path}/{name}", step, depth + 1) for name in below]
    if not any(sealed for _, sealed in inside):
        return [path], False
    parts = [part for found, _ in inside for part in found]
    return [*parts, *(f"{path}/{name}" for name in _files(folder))], True


def _folders(folder: Path) -> list[str]:
    return sorted(e.name for e in _entries(folder) if e.is_dir(follow_symlinks=False))


def _files(folder: Path) -> list[str]:
    return sorted(e.name for e in _entries(folder) if e.is_file(follow_symlinks=False))


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    """What is in a folder but for hidden names, and for what is gone."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        _log.warning("%s cannot be looked into: %s", folder, error.strerror)
        return []
