"""Copy what an entrypoint writes from Ray's session folder to the store, byte by byte.

Knows nothing of what the bytes say.
"""

from pathlib import Path

from fabric.backends.keeping.ports import DriverLogs

_CHUNK_BYTES = 1 << 20


class DriverLog:
    """The output file of one attempt, and how far it is copied."""

    def __init__(self, logs: DriverLogs, temp_dir: Path, cluster: str, *, key: tuple[str, int]) -> None:
        self._logs = logs
        self._file = temp_dir / "session_latest" / "logs" / f"job-driver-{cluster}.log"
        self._key = key

    def copy(self) -> None:
        """Copy everything that is there and not yet kept."""
        offset = self._logs.end(*self._key)
        try:
            with self._file.open("rb") as source:
                source.seek(offset)
                while data := source.read(_CHUNK_BYTES):
                    self._logs.append(*self._key, offset, data)
                    offset += len(data)
        except FileNotFoundError:
            return  # the entrypoint has not written yet, or Ray's session is gone

    def note(self, sentence: str) -> None:
        """Write a line of ours where the entrypoint writes, so that offsets stay those of one file."""
        try:
            with self._file.open("ab") as target:
                target.write(f"[fabric] {sentence}\n".encode())
        except OSError:
            return  # nobody reads a log that cannot be written; the status shows the sentence too

    def finish(self) -> None:
        """Copy the rest and note that nothing follows."""
        self.copy()
        self._logs.mark_complete(*self._key)
