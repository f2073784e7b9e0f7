"""Write files so that a reader finds the whole new one or what was there before, and say why one cannot be read.

Knows nothing of what is in them.
"""

import errno
import os
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from fabric.core.errors import BadConfig, Corrupt, StorageFull, Unavailable


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` beside `path`, make it durable, and move it to `path`.

    Raises:
        StorageFull: If the disk has no room; what was there before is intact.
        Unavailable: If it cannot be written for another reason.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise_storage_error(path, error)


def raise_storage_error(path: Path, error: OSError) -> NoReturn:
    """Say in the fabric's words why something at `path` was not written.

    Raises:
        StorageFull: If its disk has no room.
        Unavailable: For every other reason.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "Free some space there and run the stage again."
        raise StorageFull(f"{path}: no room on its disk. {remedy}", path=str(path)) from None
    raise Unavailable(f"{path}: cannot be written: {error.strerror or error}", path=str(path)) from None


def unread(path: Path, error: OSError, remedy: str) -> Corrupt | Unavailable:
    """The error to raise for a file of a data set that could not be read.

    Storage that refuses for the moment (a stale handle, no permission, no memory) says nothing of what the file holds.

    Args:
        path: The file.
        error: What the file system said.
        remedy: What to do if it is not there.
    """
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return Corrupt(f"{path}: cannot be read: {error}. {remedy}", path=str(path))
    return Unavailable(
        f"{path}: cannot be read: {error.strerror or error}. That says nothing of what it holds. Run it again once its "
        "storage answers.",
        path=str(path),
    )


def folder_of(uri: str) -> Path:
    """The folder that a `file://` URI names.

    Raises:
        BadConfig: If it names something that is not a folder of this machine.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        raise BadConfig(f"artifacts are at {uri}, but data sets are written to file:// only, shared by all tiers")
    return Path(unquote(parts.path))
