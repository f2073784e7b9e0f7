"""Pack a working directory the way Ray's own client does, so that control keeps it as it keeps those.

Knows nothing of requests.
"""

import hashlib
import io
import os
import subprocess
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fabric.api.jobs import PACKAGES
from fabric.core.errors import BadPackage
from fabric.core.limits import MOST_PACKAGE, WHY_NO_LARGER
from fabric.core.quantity import Bytes

MOST_BYTES = 512 * 2**20
"""Largest folder that is packed, in bytes: Ray's own limit, GCS_STORAGE_MAX_SIZE."""

LEFT_OUT = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", ".fabric"})
"""Folders that are never packed; in a Git work tree, what Git ignores is left out as well."""

_REMEDY = "Name them in .gitignore, or submit from a smaller folder."
_SAME_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Package:
    """A packed folder; equal contents give an equal name."""

    name: str
    """File name, from the contents."""
    content: bytes
    """A zip archive whose top level is the folder's."""
    revision: str = ""
    """Git's commit, with `+changes` where the folder differs from it; empty outside a work tree."""

    @property
    def uri(self) -> str:
        """What a Ray runtime environment calls it."""
        return f"gcs://{self.name}"

    @property
    def path(self) -> str:
        """Where control takes and keeps it, as in Ray's Jobs API."""
        return f"{PACKAGES}/gcs/{self.name}"


def pack(folder: Path) -> Package:
    """Pack the files of `folder`.

    Raises:
        BadPackage: If it is no folder, is empty, too large or cannot be read.
    """
    if not folder.is_dir():
        raise BadPackage(f"working_dir {folder}: no such folder", folder=str(folder))
    files = sorted(set(_files(folder)))
    _check_size(folder, files)
    archive, digest = io.BytesIO(), hashlib.sha256()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for name in files:
            content, mode = _read(folder / name)
            digest.update(f"{name}\0{mode:o}\0{len(content)}\0".encode())
            digest.update(content)
            entry = zipfile.ZipInfo(name, _SAME_TIME)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(entry, content)
    if archive.tell() > MOST_PACKAGE.count:
        raise BadPackage(
            f"working_dir {folder}: packed it is {Bytes(archive.tell())}, but {WHY_NO_LARGER}. "
            f"Largest: {_largest(folder, files)}. {_REMEDY}",
            folder=str(folder),
            bytes=archive.tell(),
        )
    return Package(f"_ray_pkg_{digest.hexdigest()[:16]}.zip", archive.getvalue(), _revision(folder))


def _read(file: Path) -> tuple[bytes, int]:
    try:
        return file.read_bytes(), file.stat().st_mode & 0o777
    except OSError as error:
        raise BadPackage(f"working_dir: {file}: cannot be read: {error.strerror}", file=str(file)) from None


def _check_size(folder: Path, files: list[str]) -> None:
    total = _sizes(folder, files).total()
    if not files:
        raise BadPackage(f"working_dir {folder}: there is no file in it to pack", folder=str(folder))
    if total > MOST_BYTES:
        raise BadPackage(
            f"working_dir {folder}: {total / 2**20:.0f} MiB, but at most {MOST_BYTES // 2**20} MiB are sent. "
            f"Largest: {_largest(folder, files)}. {_REMEDY}",
            folder=str(folder),
            bytes=total,
        )


def _sizes(folder: Path, files: list[str]) -> Counter[str]:
    """Bytes by the first part of the path."""
    sizes: Counter[str] = Counter()
    for name in files:
        sizes[name.partition("/")[0]] += (folder / name).stat().st_size
    return sizes


def _largest(folder: Path, files: list[str]) -> str:
    return ", ".join(f"{name} ({size / 2**20:.0f} MiB)" for name, size in _sizes(folder, files).most_common(3))


def _files(folder: Path) -> Iterator[str]:
    """Paths of the files to pack, relative to `folder`; links that lead outside are left out."""
    listed = _tracked(folder)
    root = folder.resolve()
    for name in _walked(folder) if listed is None else listed:
        file = folder / name
        if LEFT_OUT.isdisjoint(name.split("/")) and file.is_file() and file.resolve().is_relative_to(root):
            yield name


def _revision(folder: Path) -> str:
    git = ["git", "-C", str(folder)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, check=True, text=True).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain", "--", "."], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        return ""
    return f"{commit}+changes" if changes else commit


def _tracked(folder: Path) -> list[str] | None:
    """What Git knows or would add in `folder`; None where Git does not say."""
    command = ["git", "-C", str(folder), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        return None
    # A folder that Git ignores as a whole is still what the caller asked for.
    return [name for name in listed.split("\0") if name] or None


def _walked(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        yield from ((Path(place) / name).relative_to(folder).as_posix() for name in files)
