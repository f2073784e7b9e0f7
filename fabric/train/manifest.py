"""Seal a folder: a manifest with the size and digest of every file, written last and all at once.

Knows nothing of what the files are.
"""

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fabric.core.errors import Corrupt, StorageFull, Unavailable

MANIFEST = "manifest.json"
"""Name of the file that makes a folder complete."""

_NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""What the file system says of a file that does not exist; all else that it may say, it may not say the next time."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_atomically(path: Path, text: str) -> None:
    """Replace a file by `text` so that a reader, or a crash, meets the old one or the new one.

    Raises:
        OSError: If the disk refuses.
    """
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Have the disk hold what was written to a file, or which files are in a folder.

    Raises:
        OSError: If the disk refuses.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def describe(folder: Path, names: Iterator[str] | None = None) -> dict[str, dict[str, Any]]:
    """Size and sha256 of files, by their place below `folder`; without `names` of all but the manifest.

    Raises:
        OSError: If one cannot be read.
    """
    below = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {
        name: {"bytes": (folder / name).stat().st_size, "sha256": _digest(folder / name)}
        for name in sorted(names or below)
    }


def version_of(files: Mapping[str, Mapping[str, Any]]) -> str:
    """Twelve hexadecimal digits that depend on every file's place and contents."""
    lines = sorted(f"{entry['sha256']} {entry['bytes']} {name}" for name, entry in files.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def seal(folder: Path, head: Mapping[str, Any], names: Iterator[str] | None = None) -> dict[str, Any]:
    """Write the manifest of a folder: `head`, the version, and every file.

    Args:
        folder: The folder.
        head: What else the manifest says.
        names: Files that count; all of them if left out.

    Raises:
        OSError: If the disk refuses.
    """
    files = describe(folder, names)
    for name in files:
        sync(folder / name)
    for inner in sorted({(folder / name).parent for name in files}):
        sync(inner)
    manifest = {**head, "version": version_of(files), "files": files}
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def verify(folder: Path, *, contents: bool = True) -> dict[str, Any]:
    """Read a sealed folder's manifest and compare every file with it.

    Args:
        folder: The folder.
        contents: Hash every byte; otherwise only presence and size are compared.

    Raises:
        Corrupt: Naming the file that is missing or not what was written.
        Unavailable: If one cannot be read at the moment, which says nothing of what it holds.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for name, entry in manifest["files"].items():
            path = folder / name
            size = _size_of(path)
            if size != entry["bytes"]:
                found = "is missing" if size is None else f"has {size} bytes instead of {entry['bytes']}"
                raise Corrupt(f"{path}: {found}", path=str(path))
            if contents and _digest(path) != entry["sha256"]:
                raise Corrupt(f"{path}: its bytes are not those that were written", path=str(path))
    except (*_NOT_THERE, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"{folder / MANIFEST}: cannot be read: {error}", path=str(folder / MANIFEST)) from None
    except OSError as error:
        refused = unreadable(path, error)
        raise refused from None
    return manifest


def unreadable(path: Path, error: OSError) -> Unavailable:
    """The error to raise where storage refuses to be read for the moment: a stale handle, no permission, no memory."""
    return Unavailable(
        f"{path}: cannot be read: {error.strerror or error}. That says nothing of what it holds. Run it again once its "
        "storage answers.",
        path=str(path),
    )


def _size_of(path: Path) -> int | None:
    """Bytes of a file; None if there is none."""
    try:
        found = path.stat()
    except _NOT_THERE:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def full_disk(error: BaseException, folder: Path, what: str) -> StorageFull | None:
    """The error to raise if `error` came, however wrapped, from a disk without room; None if it did not.

    torch and safetensors wrap the disk's refusal in errors of their own, of which only the cause or the text tells.
    """
    cause: BaseException | None = error
    while cause is not None:
        if (isinstance(cause, OSError) and cause.errno in _FULL) or "No space left on device" in str(cause):
            free = shutil.disk_usage(folder).free
            return StorageFull(
                f"{folder}: no room to write {what} ({free} bytes are free). What was there before is intact. "
                f"Free some space or choose another place for artifacts, and run it again.",
                path=str(folder),
                free_bytes=free,
            )
        cause = cause.__cause__ or cause.__context__
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
