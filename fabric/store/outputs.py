"""Outputs of stages: read a folder's manifest, verify its files, keep a copy that never changes.

Knows nothing of what a stage does; every stage writes `manifest.json` last, with a version and the hash of each file.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric.core.errors import BadInput, Corrupt, NotFound
from fabric.store.errors import file_error, file_errors
from fabric.store.files import flush_folder

MANIFEST = "manifest.json"
"""Name of the file that makes a folder an output; one without it is unfinished."""


@dataclass(frozen=True, slots=True)
class Output:
    """A finished folder."""

    name: str
    """Below the artifacts' root."""
    folder: Path
    kind: str
    """`dataset`, `model`, `evaluation` ..."""
    version: str
    """Content hash."""
    manifest: Mapping[str, Any]
    """All that the stage wrote down."""

    @property
    def files(self) -> dict[str, tuple[int, str]]:
        """Size in bytes and SHA-256 of each file, by its place below the folder."""
        listed = self.manifest.get("files", {})
        entries = listed.items() if isinstance(listed, dict) else ((entry["path"], entry) for entry in listed)
        return {path: (int(entry["bytes"]), str(entry["sha256"])) for path, entry in entries}

    @property
    def metrics(self) -> dict[str, float]:
        """Numbers that were measured."""
        found = self.manifest.get("metrics") or {}
        return {str(name): float(value) for name, value in found.items() if isinstance(value, int | float)}

    @property
    def parents(self) -> list[tuple[str, str]]:
        """Name and version of what it was made from."""
        return [(str(parent["name"]), str(parent.get("version", ""))) for parent in self.manifest.get("parents", ())]


def read_output(root: Path, name: str, stage: str = "") -> Output:
    """Read the manifest of the output `name` below `root`.

    Args:
        root: The artifacts' root.
        name: The output's folder below it.
        stage: The stage that makes it, for the error.

    Raises:
        BadInput: If `name` leads out of `root`.
        NotFound: If the stage has not finished there.
        Corrupt: If the manifest is none.
        Unavailable: If it cannot be read at the moment, which says nothing of what it holds.
    """
    folder = (root / name).resolve()
    if not folder.is_relative_to(root.resolve()):
        raise BadInput(f"output {name!r} leads out of {root}. Name a folder below it.", output=name)
    path = folder / MANIFEST
    remedy = f"Run the {stage or 'stage that makes it'} {'stage ' if stage else ''}first."
    try:
        manifest = json.loads(path.read_bytes())
        output = Output(name, folder, str(manifest.get("kind", "")), str(manifest["version"]), manifest)
        # Read now, so that what is wrong with them is found here.
        _ = output.files, output.metrics, output.parents
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{folder} holds no finished output: {MANIFEST} is missing. {remedy}", output=name) from None
    except (IsADirectoryError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"{path}: cannot be read: {error!r}. Run the stage again.", path=str(path)) from None
    except OSError as error:
        refused = file_error(error, path)
        raise refused from None
    return output


def verify_output(output: Output) -> None:
    """Compare every file with the manifest.

    Raises:
        Corrupt: Naming the first file that is missing or not what was written.
        Unavailable: If one cannot be read at the moment.
    """
    for name, (size, sha256) in output.files.items():
        path = output.folder / name
        try:
            with path.open("rb") as stream:
                found = os.fstat(stream.fileno()).st_size
                same = found == size and hashlib.file_digest(stream, "sha256").hexdigest() == sha256
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise Corrupt(f"{path}: {error.strerror}, but {MANIFEST} names it", path=str(path)) from None
        except OSError as error:
            refused = file_error(error, path)
            raise refused from None
        if not same:
            wrong = f"has {found} bytes instead of {size}" if found != size else "its bytes are not those written"
            raise Corrupt(f"{path}: {wrong}. Run the stage again.", path=str(path))


def keep(source: Path, target: Path) -> Path:
    """Make `target` a copy of the folder `source` that stays when `source` is written anew.

    Args:
        source: A folder whose files are only ever replaced, never changed in place: the copy is made of links to them
            where the file system has any, so it costs no room.
        target: Where the copy goes; one that is there is complete and stays.

    Raises:
        NotFound: If there is no such folder.
        StorageFull: If the disk is full; nothing is left of the copy.
    """
    if target.is_dir():
        return target
    with file_errors(source):
        if not source.is_dir():
            raise NotFound(f"{source}: no such folder", path=str(source))
    with file_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            copy = partial / "copy"
            for folder in (source, *sorted(path for path in source.rglob("*") if path.is_dir())):
                (copy / folder.relative_to(source)).mkdir()
            for file in sorted(path for path in source.rglob("*") if path.is_file()):
                _link_or_copy(file, copy / file.relative_to(source))
            copy.rename(target)
            flush_folder(target.parent)
        except FileExistsError:
            # Somebody else made the same at the same time.
            return target
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        # Another file system, or one without links.
        shutil.copyfile(source, target)
        with target.open("rb") as stream:
            os.fsync(stream.fileno())
