"""Training state on disk: written whole or not at all, verified before use, the last few kept.

Knows nothing of what the state is: callers fill a folder and read it again.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric.core.errors import Conflict, Corrupt, Unavailable
from fabric.train.manifest import full_disk, seal, sync, unreadable, verify

FOLDER = "checkpoints"
"""Folder of a run's checkpoints, below its output."""

_PARTIAL, _CORRUPT, _STALE = ".partial", ".corrupt", ".stale"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State after `step` steps, every byte of it verified."""

    path: Path
    """Its folder."""

    step: int
    """Steps taken."""

    num_bytes: int
    """Size on disk."""

    notes: Mapping[str, Any]
    """What its writer noted."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a run may go on from."""

    checkpoint: Checkpoint | None
    """The newest good one, or None if none was ever finished."""

    skipped: tuple[str, ...]
    """Newer ones that were corrupt, in words, newest first; they were set aside."""


class Checkpoints:
    """The checkpoints of one run; only one process may write them at a time."""

    def __init__(self, folder: Path, keep_last: int) -> None:
        self._folder = folder
        self._keep_last = keep_last

    def save(self, step: int, fill: Callable[[Path], None], notes: Mapping[str, Any]) -> Checkpoint:
        """Write the state after `step` steps, unless it is there; whatever happens, what was there stays loadable.

        Args:
            step: Steps taken.
            fill: Writes the state into the empty folder it is given.
            notes: JSON values to be found again with the checkpoint.

        Raises:
            StorageFull: If the disk has no room.
            Corrupt: If the step is there and was damaged since `newest`.
            Unavailable: If it is there and cannot be read at the moment.
        """
        final = self._folder / f"step-{step:08d}"
        if final.exists():  # `newest` has verified it, and the same step of the same run is the same state
            return _checkpoint(final, verify(final))
        partial = final.with_name(final.name + _PARTIAL)
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            fill(partial)
            manifest = seal(partial, {"kind": "checkpoint", "step": step, "notes": dict(notes)})
            partial.rename(final)
            sync(self._folder)
        except Exception as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise full_disk(error, self._folder, f"the checkpoint of step {step}") or error from error
        self._prune()
        return _checkpoint(final, manifest)

    def newest(self) -> Found:
        """Find what to go on from, set corrupt checkpoints aside and remove what a killed writer left.

        Raises:
            Corrupt: If there are checkpoints and none is good; those that an earlier attempt has set aside count too.
            Unavailable: If one cannot be read at the moment; it may be whole, so it is neither set aside nor passed by.
        """
        for left in (*self._named(_PARTIAL), *self._named(_STALE)):
            shutil.rmtree(left)
        # An earlier attempt may have ended before it said that it had set them aside, or nobody may have read it.
        earlier = sorted(path.name for path in self._named(_CORRUPT))
        skipped: list[str] = []
        for path in reversed(self._finished()):
            try:
                return Found(_checkpoint(path, verify(path)), tuple(skipped))
            except Corrupt as error:
                skipped.append(error.message)
                _set_aside(path)
            except Unavailable as error:
                raise Unavailable(
                    f"{error.message} It was not set aside. If it stays so, remove {path} to go on from the "
                    "checkpoint before.",
                    path=str(path),
                ) from None
        if bad := [*skipped, *earlier]:
            raise Corrupt(
                f"{self._folder}: no checkpoint is good: {'; '.join(bad)}. They are set aside as *{_CORRUPT}. "
                f"Remove {self._folder} to train from the beginning.",
                path=str(self._folder),
            )
        return Found(None, ())

    def _finished(self) -> list[Path]:
        """Folders of finished checkpoints, oldest first."""
        found = [path for path in self._entries() if path.name[5:].isdigit()]
        return sorted(found, key=lambda path: int(path.name[5:]))

    def _named(self, suffix: str) -> list[Path]:
        return [path for path in self._entries() if path.name.endswith(suffix)]

    def _entries(self) -> list[Path]:
        """What is there of any checkpoint; unlike with `glob`, a folder that may not be looked into is not empty."""
        try:
            return [path for path in self._folder.iterdir() if path.name.startswith("step-")]
        except FileNotFoundError:
            return []
        except OSError as error:
            refused = unreadable(self._folder, error)
            raise refused from None

    def _prune(self) -> None:
        for path in self._finished()[: -self._keep_last]:
            # Renamed first, so that a kill in between leaves no half checkpoint under a good name.
            stale = path.rename(path.with_name(path.name + _STALE))
            shutil.rmtree(stale)


def check_same_run(checkpoint: Checkpoint, run: Mapping[str, object]) -> None:
    """Refuse to go on from the checkpoint of another run.

    Args:
        checkpoint: Its notes hold, under `run`, what the run that wrote it was.
        run: What this run is.

    Raises:
        Conflict: Naming what differs.
    """
    theirs = checkpoint.notes.get("run", {})
    different = sorted(key for key in {*theirs, *run} if theirs.get(key) != run.get(key))
    if different:
        raise Conflict(
            f"{checkpoint.path} belongs to a run with other settings ({', '.join(different)}). "
            f"Choose another `output`, or remove {checkpoint.path.parent.parent} to train anew.",
            path=str(checkpoint.path),
        )


def _checkpoint(path: Path, manifest: Mapping[str, Any]) -> Checkpoint:
    size = sum(int(entry["bytes"]) for entry in manifest["files"].values())
    return Checkpoint(path, int(manifest["step"]), size, manifest["notes"])


def _set_aside(path: Path) -> None:
    aside = path.with_name(path.name + _CORRUPT)
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
