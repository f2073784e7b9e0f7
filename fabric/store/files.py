"""Files that are there whole or not at all, and where artifacts are.

Knows nothing of what the files hold.
"""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fabric.core.errors import BadInput
from fabric.store.errors import file_errors

PRIVATE_FOLDER = 0o700
"""Mode of folders that hold secrets, logs and packages: nobody but their owner."""


def make_folder(folder: Path) -> Path:
    """Make `folder` and what is above it, readable by its owner alone.

    Raises:
        StorageFull: If the disk is full.
        Unavailable: If it cannot be made.
    """
    with file_errors(folder):
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    return folder


def write_atomically(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Write `data` to `path` so that a reader, or a crash, sees the old contents or the new ones.

    Args:
        path: Where it goes; its folder exists.
        data: The contents, whole or in pieces.

    Raises:
        StorageFull: If the disk is full; what was at `path` is intact.
        NotFound: If the folder is missing.
        Unavailable: If it cannot be written.
    """
    pieces = (data,) if isinstance(data, bytes) else data
    with file_errors(path):
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.writelines(pieces)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make names just created, renamed or removed in `folder` survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def artifact_root(uri: str) -> Path:
    """The folder that a `file://` URI names.

    Raises:
        BadInput: If it is another kind of URI, or one of another machine.
    """
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise BadInput(f"{uri!r} is no folder of this machine. Write it like file:///data/runs.", uri=uri)
    return Path(unquote(parts.path))
