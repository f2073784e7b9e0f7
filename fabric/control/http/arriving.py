"""Large bodies as they arrive, for threads that write them; so many at the same time, and none of them for ever.

Knows nothing of what is in them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import anyio
import anyio.from_thread
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Request
from starlette.requests import ClientDisconnect

from fabric.control.http.errors import HangsUp, TooSlow
from fabric.control.http.lanes import TooBusy
from fabric.core.errors import FabricError

T = TypeVar("T")

SLOWEST_BYTES_PER_S = 2**14
"""How fast a large body must arrive in the long run, in bytes per second: whoever sends it has one of few places."""

STALLED_AFTER_S = 60.0
"""How far behind that its sender may fall, in seconds, which is its longest pause too."""


class NoPlace(HangsUp, TooBusy):
    """A large body comes while others have all the places."""


@dataclass(slots=True)
class Pace:
    """How a sender keeps up; the time in which nobody waits for it is not its own, and does not count."""

    behind_s: float = 0.0
    """How far it has fallen behind the slowest pace, in seconds."""

    @property
    def left_s(self) -> float:
        """How long the next piece may take, in seconds."""
        return max(0.0, STALLED_AFTER_S - self.behind_s)

    def came(self, num_bytes: int, waited_s: float) -> None:
        """Count a piece.

        Args:
            num_bytes: Its size.
            waited_s: How long it was waited for, in seconds.
        """
        self.behind_s = max(0.0, self.behind_s + waited_s - num_bytes / SLOWEST_BYTES_PER_S)


class Arriving:
    """A large body on its way."""

    def __init__(self, request: Request, cut_off: Callable[[int], FabricError]) -> None:
        """Read nothing yet.

        Args:
            request: Whose body it is.
            cut_off: What to raise if the sender breaks off after so many bytes.
        """
        self.announced_bytes = announced_bytes(request)
        """The size that its sender says it has; 0 where it says none."""
        self._body, self._cut_off, self._pace = request.stream(), cut_off, Pace()

    def pieces(self) -> Iterator[bytes]:
        """It as it arrives, for a thread of anyio's.

        Raises:
            FabricError: If the sender breaks off.
            TooSlow: If it falls too far behind.
        """
        total = 0
        try:
            while (piece := anyio.from_thread.run(self._next)) is not None:
                total += len(piece)
                yield piece
        except ClientDisconnect:
            raise self._cut_off(total) from None
        except TimeoutError:
            raise TooSlow(
                f"body: the sender was {STALLED_AFTER_S:g} s behind {SLOWEST_BYTES_PER_S} bytes per second after "
                f"{total} bytes; nothing of it was kept. Send it again over a faster line."
            ) from None

    async def drain(self, max_bytes: int) -> None:
        """Read and drop what is still coming, up to so many bytes."""
        left = max_bytes
        try:
            while left > 0 and (piece := await self._next()) is not None:
                left -= len(piece)
        except (ClientDisconnect, TimeoutError):
            return

    async def _next(self) -> bytes | None:
        began = anyio.current_time()
        with anyio.fail_after(self._pace.left_s):
            piece = await anext(self._body, None)
        self._pace.came(len(piece or b""), anyio.current_time() - began)
        return piece


class Places:
    """Where large bodies are received, each in a thread of its own; so slow senders hold up only each other."""

    def __init__(self, what: str, most: int) -> None:
        """All are free.

        Args:
            what: What is received in them, for people.
            most: How many there are.
        """
        self._what, self._most, self._taken = what, most, 0
        self._threads = CapacityLimiter(most)

    async def receive(self, body: Arriving, keep: Callable[[], T], *, most_drained: int) -> T:
        """What a body becomes.

        Args:
            body: What arrives.
            keep: Reads its pieces, in a thread.
            most_drained: How much of a refused one is still read, in bytes.

        Raises:
            FabricError: Of `keep`.
            TooBusy: If there is no place, at once; nothing is read then.
        """
        if self._taken >= self._most:
            # What is small may come to its end, as its sender is sure to look at the answer then.
            kind = NoPlace if body.announced_bytes > most_drained else TooBusy
            raise kind(f"{self._taken} {self._what} are being received already. Come again a little later.")
        try:
            return await self._in_a_thread(keep)
        except FabricError:
            # Clients that are still sending would take an early answer for a broken connection.
            await body.drain(most_drained)
            raise

    async def _in_a_thread(self, keep: Callable[[], T]) -> T:
        self._taken += 1
        try:
            return await run_sync(keep, limiter=self._threads)
        finally:
            self._taken -= 1


def announced_bytes(request: Request) -> int:
    """The size that a sender says its body has; 0 where it says none."""
    length = request.headers.get("content-length")
    return int(length) if length and length.isascii() and length.isdigit() else 0
