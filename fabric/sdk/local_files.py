"""Files on this machine that are sent, or written as they come; blocking calls are made in threads.

Knows nothing of requests.
"""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from fabric.core.errors import BadInput, Conflict

PIECE_BYTES = 2**20
"""Most that is held of a file, in bytes."""


class Outgoing:
    """A file, or bytes, that may be sent several times."""

    def __init__(self, source: Path | bytes) -> None:
        """Remember what to send.

        Raises:
            BadInput: If the file cannot be read.
        """
        self._source = source
        self.sha256 = ""
        """Digest of what was sent last, in hexadecimal digits."""
        try:
            self.num_bytes = len(source) if isinstance(source, bytes) else source.stat().st_size
        except OSError as error:
            raise BadInput(_told(error, source)) from None

    async def pieces(self) -> AsyncIterator[bytes]:
        """What is sent, once more from its beginning.

        Raises:
            BadInput: If the file cannot be read.
        """
        digest = hashlib.sha256()
        try:
            async for piece in self._read():
                digest.update(piece)
                yield piece
        except OSError as error:
            raise BadInput(_told(error, self._source)) from None
        self.sha256 = digest.hexdigest()

    async def _read(self) -> AsyncIterator[bytes]:
        if isinstance(self._source, bytes):
            yield self._source
            return
        stream: BinaryIO = await asyncio.to_thread(open, self._source, "rb")
        with stream:
            while piece := await asyncio.to_thread(stream.read, PIECE_BYTES):
                yield piece


def files_below(folder: Path) -> tuple[str, ...]:
    """Paths of the files below a folder, with slashes, in order; folders are not entered through links."""
    return tuple(
        sorted(
            (Path(place) / name).relative_to(folder).as_posix()
            for place, _, names in os.walk(folder)
            for name in names
            if (Path(place) / name).is_file()
        )
    )


async def write_whole(target: Path, pieces: AsyncIterable[bytes], *, replace: bool) -> None:
    """Write a file, whole or not at all; folders above it are made.

    Raises:
        BadInput: If it cannot be written.
        Conflict: If there is one that is not to be replaced.
    """
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}")
    try:
        if not replace and target.exists():
            raise Conflict(f"{target} is there already. Replace it, or choose another place.", path=str(target))
        target.parent.mkdir(parents=True, exist_ok=True)
        with await asyncio.to_thread(open, temporary, "xb") as stream:
            async for piece in pieces:
                await asyncio.to_thread(stream.write, piece)
        temporary.replace(target)
    except OSError as error:
        raise BadInput(f"{target}: cannot be written: {error.strerror or error}", path=str(target)) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _told(error: OSError, place: object) -> str:
    return f"{place}: cannot be read: {error.strerror or error}"
