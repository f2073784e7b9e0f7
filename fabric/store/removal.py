"""Folders and files that go in one step, so that a kill at any instant leaves each of them whole or gone.

Knows nothing of what is in them.
"""

import errno
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fabric.store.errors import file_errors
from fabric.store.files import make_folder

_log = logging.getLogger(__name__)

ASIDE = ".removed"
"""Folder below the root of all others to which they are moved first; nobody but `sweep` looks there."""

DEEPEST = 200
"""Folders in each other that are looked into and removed; Python's own calls for that end at about a thousand, and
nobody but a mistake, or malice, makes as many."""


Step = Callable[[], None]
"""Called before each step of a long look; what it raises ends that."""


def to_the_end() -> None:
    """The step of a look that nothing ends."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A file, or a folder with all that is in it; links are counted and not followed."""

    num_bytes: int
    """Size of all files; one that has several names counts with each."""
    written: float
    """When something in it was last written, in seconds since the epoch."""
    used: float
    """When something in it was last written or read, as far as the file system keeps the latter."""


def measure(path: Path, step: Step = to_the_end) -> Measure | None:
    """Look at a file, or at everything in a folder.

    Args:
        path: The file or folder.
        step: Called for each file.

    Returns:
        None where it is gone or goes meanwhile, where nobody may look, or where folders are in each other more deeply
        than `DEEPEST`.
    """
    total, last_written, last_used = 0, 0.0, 0.0
    try:
        for num_bytes, written, read in _parts(path) if _is_folder(path) else [_part(path.lstat())]:
            step()
            total += num_bytes
            last_written, last_used = max(last_written, written), max(last_used, written, read)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _log.warning("%s is kept: %s", path, error.strerror)
        return None
    return Measure(total, last_written, last_used)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _parts(folder: Path, depth: int = 0) -> Iterator[tuple[int, float, float]]:
    """Size, and when it was written and read, of each file below a folder.

    Of folders only when an empty one was written: to look into one is to read it.

    Raises:
        OSError: If nobody may look, or there is more below than can be removed.
    """
    if depth > DEEPEST:
        raise OSError(errno.ENAMETOOLONG, f"more than {DEEPEST} folders are in each other")
    empty = True
    with os.scandir(folder) as entries:
        for entry in entries:
            empty = False
            if entry.is_dir(follow_symlinks=False):
                yield from _parts(Path(entry.path), depth + 1)
            else:
                yield _part(entry.stat(follow_symlinks=False))
    if empty:
        yield 0, folder.stat().st_mtime, 0.0


def _part(status: os.stat_result) -> tuple[int, float, float]:
    return status.st_size, status.st_mtime, status.st_atime


def remove_whole(root: Path, name: str) -> None:
    """Remove a folder or a file below `root`: aside in one step, then for good.

    Args:
        root: Folder of all of them.
        name: Path below it; nothing on the way may be a link.

    Raises:
        Unavailable: If it cannot be moved, or something of it not removed; `sweep` tries the latter again.
    """
    aside = make_folder(root / ASIDE)
    place = Path(tempfile.mkdtemp(dir=aside))
    *above, last = Path(name).parts
    with file_errors(root / name):
        try:
            with _folder(root, above) as descriptor:
                _open_up(last, descriptor)
                os.rename(last, place / "it", src_dir_fd=descriptor)
        except FileNotFoundError:
            # Somebody else removed it.
            pass
        _remove(place)


def sweep(root: Path) -> None:
    """Finish what a kill cut off; what cannot be removed keeps nothing else from going.

    Raises:
        Unavailable: If something of it cannot be removed.
    """
    aside, failed = root / ASIDE, None
    with file_errors(aside):
        for left in sorted(aside.iterdir()) if aside.is_dir() else ():
            try:
                _remove(left)
            except OSError as error:
                failed = error
        if failed is not None:
            raise failed


def _open_up(name: str, above: int) -> None:
    """Let a folder be moved: its own permission to write is asked for that, as its `..` changes."""
    with suppress(OSError):  # it is a file, or somebody else's; the move says what is wrong
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
        try:
            os.fchmod(descriptor, stat.S_IRWXU)
        finally:
            os.close(descriptor)


def _remove(folder: Path) -> None:
    """Remove a folder with all that is in it, also what its owner made read-only, as some tools do with their caches.

    Raises:
        OSError: If something of it cannot be removed.
    """
    for *_, descriptor in os.fwalk(folder):
        with suppress(PermissionError):  # it is somebody else's
            os.fchmod(descriptor, stat.S_IRWXU)
    shutil.rmtree(folder)


@contextmanager
def _folder(root: Path, above: list[str]) -> Iterator[int]:
    """A descriptor of the folder that is reached from `root` by these names, none of which may be a link."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in above:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)
