"""What drivers wrote, by workload and attempt: plain files, byte by byte, with a line where bytes were lost.

Knows nothing of where the bytes come from.

    logs/WORKLOAD/ATTEMPT/00000000000000000000.log   what was written from that position of the driver's output on
                          00000000000000004096.log   begins a second time where bytes before it were lost
                          complete                   how many bytes there were, once nothing follows
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fabric.core.errors import Conflict
from fabric.core.ids import check_name, is_name
from fabric.store.errors import file_errors
from fabric.store.files import flush_folder, make_folder, write_atomically
from fabric.store.removal import Measure, measure, remove_whole, sweep

READ_BYTES = 2**20
"""Most bytes in one answer unless told otherwise."""

_COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class LogMark:
    """How far a log is."""

    attempt: int
    """The newest that has one; 0 where none has."""
    end: int
    """Up to which byte of that attempt's output it is here."""
    complete: bool
    """Whether nothing follows in that attempt."""


@dataclass(frozen=True, slots=True)
class _File:
    """One unbroken stretch of an attempt's output."""

    path: Path
    start: int
    """Position in the driver's output."""
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


class Logs:
    """Output of every attempt of every workload.

    Args:
        folder: Where they are; made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, workload: str, attempt: int) -> None:
        """Forget what a deleted workload of that name left from this attempt on.

        Its cluster may have written a last piece after it was deleted.

        Args:
            workload: Name.
            attempt: Number of the attempt that is about to start.

        Raises:
            StorageFull: If the disk refuses.
        """
        for left in (number for number in self._attempts(workload) if number >= attempt):
            folder = self._attempt_folder(workload, left)
            with file_errors(folder):
                shutil.rmtree(folder)

    def append(self, workload: str, attempt: int, offset: int, data: bytes) -> int:
        """Take in a piece of an attempt's output; what is there already is passed over, so it may be sent again.

        Args:
            workload: Name.
            attempt: Number, from 1.
            offset: Position of `data` in the driver's output, in bytes.
            data: May be empty, which makes the attempt known.

        Returns:
            Position up to which the output is here now: what to send next.

        Raises:
            Conflict: If the attempt is complete or a later one has begun, so that readers have gone past its end.
            StorageFull: If the disk is full; what fitted is kept, and the rest can be sent again.
        """
        folder = self._attempt_folder(workload, attempt)
        if any(later > attempt for later in self._attempts(workload)):
            raise Conflict(f"{workload}: the log of attempt {attempt} was closed by a later attempt", name=workload)
        make_folder(folder)
        files = _files(folder)
        end = files[-1].end if files else 0
        fresh = data[max(0, end - offset) :]
        if not fresh:
            return end
        if self.is_complete(workload, attempt):
            raise Conflict(f"{workload}: the log of attempt {attempt} is complete at byte {end}", name=workload)
        last = files[-1] if files and offset <= end else _File(folder / f"{offset:020d}.log", offset, 0)
        with file_errors(last.path):
            _write(last.path, fresh, last.size)
        return last.end + len(fresh)

    def end(self, workload: str, attempt: int) -> int:
        """Position up to which an attempt's output is here, in bytes; 0 for one that is not known."""
        files = _files(self._attempt_folder(workload, attempt))
        return files[-1].end if files else 0

    def written_at(self, workload: str, attempt: int) -> float | None:
        """When the last piece of an attempt's output came, in seconds since the epoch; None before the first."""
        files = _files(self._attempt_folder(workload, attempt))
        try:
            return files[-1].path.stat().st_mtime if files and files[-1].size else None
        except FileNotFoundError:  # deleted meanwhile
            return None

    def mark_complete(self, workload: str, attempt: int, total: int | None = None) -> None:
        """Remember, durably, that nothing follows.

        Args:
            workload: Name.
            attempt: Number, from 1.
            total: Bytes that the driver wrote in all, where known; what is missing at the end is shown as lost.

        Raises:
            StorageFull: If the disk is full.
        """
        folder = make_folder(self._attempt_folder(workload, attempt))
        with file_errors(folder):
            for file in _files(folder):
                descriptor = os.open(file.path, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)
            flush_folder(folder)
        end = self.end(workload, attempt)
        write_atomically(folder / _COMPLETE, str(max(end, total or 0)).encode())

    def is_complete(self, workload: str, attempt: int) -> bool:
        """Whether nothing follows in that attempt."""
        return (self._attempt_folder(workload, attempt) / _COMPLETE).is_file()

    def mark(self, workload: str) -> LogMark:
        """What changes whenever the output of a workload does; much cheaper than reading.

        Raises:
            NotFound: If it is being deleted.
        """
        with file_errors(self._folder / workload):
            attempt = max(self._attempts(workload), default=0)
            return LogMark(attempt, self.end(workload, attempt), self.is_complete(workload, attempt))

    def read(self, workload: str, offset: int = 0, max_bytes: int = READ_BYTES) -> tuple[bytes, int]:
        """A piece of the output of all attempts, one after the other, with a line between them.

        Args:
            workload: Name; one that wrote nothing, or is not known, has an empty output.
            offset: Position in what this method returns, in bytes: 0, then what the last call said.
            max_bytes: Most bytes to return.

        Returns:
            The piece, and the offset to ask for next.

        Raises:
            NotFound: If it is being deleted.
        """
        wanted, position = max_bytes, 0
        pieces: list[bytes] = []
        with file_errors(self._folder / workload):
            for piece in self._pieces(workload):
                size = piece.size if isinstance(piece, _File) else len(piece)
                skip = max(0, offset - position)
                position += size
                if skip < size and wanted > 0:
                    pieces.append(_slice(piece, skip, wanted))
                    wanted -= len(pieces[-1])
        data = b"".join(pieces)
        return data, min(offset, position) + len(data)

    def delete(self, workload: str) -> None:
        """Remove everything of a workload; one that is not known is no mistake."""
        folder = self._folder / check_name(workload)
        with file_errors(folder):
            if folder.exists():
                shutil.rmtree(folder)

    def kept(self) -> Mapping[str, Measure]:
        """Every workload that has a log, with all its attempts; what else lies there is none of ours."""
        with file_errors(self._folder):
            names = [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []
            found = {name: measure(self._folder / name) for name in sorted(names) if is_name(name)}
        return {name: size for name, size in found.items() if size is not None}

    def retire(self, workload: str, before: float) -> bool:
        """Remove everything of a workload in one step, unless something was written since `before`.

        Args:
            workload: Name.
            before: Seconds since the epoch.

        Returns:
            Whether it is gone.
        """
        found = measure(self._folder / check_name(workload))
        if found is not None and found.written < before:
            remove_whole(self._folder, workload)
            return True
        return False

    def sweep(self) -> None:
        """Finish removing what a kill cut off."""
        sweep(self._folder)

    def _attempt_folder(self, workload: str, attempt: int) -> Path:
        return self._folder / check_name(workload) / str(attempt)

    def _attempts(self, workload: str) -> list[int]:
        folder = self._folder / check_name(workload)
        return sorted(int(path.name) for path in folder.iterdir()) if folder.is_dir() else []

    def _pieces(self, workload: str) -> Iterator[_File | bytes]:
        """Files, and the lines between them that nobody wrote."""
        line_ended = True
        for attempt in self._attempts(workload):
            if attempt > 1:
                yield _line(f"[fabric] attempt {attempt}", line_ended)
                line_ended = True
            end = 0
            for file in _files(self._attempt_folder(workload, attempt)):
                if file.start > end:
                    yield _lost(file.start - end, line_ended)
                yield file
                end, line_ended = file.end, _ends_line(file)
            total = self._total(workload, attempt)
            if total > end:
                yield _lost(total - end, line_ended)
                line_ended = True

    def _total(self, workload: str, attempt: int) -> int:
        complete = self._attempt_folder(workload, attempt) / _COMPLETE
        return int(complete.read_bytes()) if complete.is_file() else 0


def _files(folder: Path) -> list[_File]:
    """An attempt's files in the order of their positions."""
    paths = sorted(folder.glob("*.log"))
    return [_File(path, int(path.stem), path.stat().st_size) for path in paths]


def _write(path: Path, data: bytes, position: int) -> None:
    """Write all of `data` at `position`, so that the same again changes nothing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        view = memoryview(data)
        while view:
            written = os.pwrite(descriptor, view, position)
            position, view = position + written, view[written:]
    finally:
        os.close(descriptor)


def _slice(piece: _File | bytes, skip: int, wanted: int) -> bytes:
    if isinstance(piece, bytes):
        return piece[skip : skip + wanted]
    with piece.path.open("rb") as stream:
        stream.seek(skip)
        # A file may have grown since it was looked at; its new end is for the next call.
        return stream.read(min(wanted, piece.size - skip))


def _ends_line(file: _File) -> bool:
    """Whether the last byte ends a line."""
    return file.size == 0 or _slice(file, file.size - 1, 1) == b"\n"


def _lost(num_bytes: int, line_ended: bool) -> bytes:
    return _line(f"[fabric: {num_bytes} bytes lost]", line_ended)


def _line(text: str, line_ended: bool) -> bytes:
    return f"{'' if line_ended else chr(10)}{text}\n".encode()
