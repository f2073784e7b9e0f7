"""Who is logged in: keys by a random word that only the person's browser holds.

Knows nothing of HTTP. Keys are in memory alone, so everybody logs in again after a restart.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fabric.sdk import AsyncClient

MOST_SESSIONS = 10_000
"""People who are logged in at once; beyond them, who has been idle longest is logged out."""


@dataclass(slots=True)
class Session:
    """Somebody who is logged in."""

    client: AsyncClient = field(repr=False)
    """Asks control with the person's own key."""
    key: str = field(repr=False)
    """The key, for the gateway."""
    name: str
    """What the pages call the person."""
    seen: float
    """When the last request came, on the clock of `Sessions`."""


class Sessions:
    """Everybody who is logged in."""

    def __init__(self, idle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nobody.

        Args:
            idle_s: Seconds without any request after which somebody is forgotten.
            clock: Seconds that never go back.
        """
        self._idle_s, self._clock = idle_s, clock
        self._by_word: dict[str, Session] = {}
        # A task that nobody holds may be collected before it is done.
        self._closing: set[asyncio.Task[None]] = set()

    def begin(self, client: AsyncClient, key: str, name: str) -> str:
        """Remember somebody; the word is for their browser's cookie. Connections of those who left are closed."""
        self._forget_idle()
        word = secrets.token_urlsafe(32)
        self._by_word[word] = Session(client, key, name, self._clock())
        return word

    def find(self, word: str | None) -> Session | None:
        """Whose word it is; looking counts as a request."""
        session = self._by_word.get(word or "")
        now = self._clock()
        if session is None or now - session.seen > self._idle_s:
            return None
        session.seen = now
        return session

    async def end(self, word: str | None) -> None:
        """Forget somebody, and close their connections."""
        session = self._by_word.pop(word or "", None)
        if session is not None:
            await session.client.close()

    def _forget_idle(self) -> None:
        latest = sorted(self._by_word.items(), key=lambda item: item[1].seen, reverse=True)[: MOST_SESSIONS - 1]
        alive_from = self._clock() - self._idle_s
        kept = {word: session for word, session in latest if session.seen >= alive_from}
        for word, session in self._by_word.items():
            if word not in kept:
                closing = asyncio.get_running_loop().create_task(session.client.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        self._by_word = kept


class Failures:
    """Counts failed log-ins by where they came from, so that nobody can guess keys all day."""

    def __init__(self, most: int, within_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._within_s, self._clock = most, within_s, clock
        self._at: dict[str, list[float]] = {}

    def add(self, source: str) -> None:
        """Count one more."""
        self._at.setdefault(source, []).append(self._clock())

    def wait_s(self, source: str) -> float:
        """Seconds until the next try is heard; 0 if it is at once."""
        began = self._clock() - self._within_s
        self._at = {who: kept for who, times in self._at.items() if (kept := [at for at in times if at > began])}
        times = self._at.get(source, [])
        return times[-self._most] - began if len(times) >= self._most else 0.0
