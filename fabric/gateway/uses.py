"""When keys were last used here, told to control now and then.

Knows nothing of requests.
"""

import asyncio
import logging

import httpx

from fabric.api.gateway import USES, Uses

_log = logging.getLogger(__name__)

TELL_EVERY_S = 60.0
"""Seconds between two messages to control; as exact as what control itself remembers of keys."""


class UsedKeys:
    """Last uses that control has not been told of."""

    def __init__(self, control: httpx.AsyncClient) -> None:
        """Remember nothing yet.

        Args:
            control: Talks to control; its base URL and key are set.
        """
        self._control = control
        self._at: dict[str, float] = {}

    def note(self, key: str, now: float) -> None:
        """Remember that the key of this name opened something at `now`, in seconds since the epoch."""
        if key:
            self._at[key] = now

    async def tell(self) -> bool:
        """Tell control; whether it knows all now. What it could not be told is kept for the next time."""
        told = dict(self._at)
        if not told:
            return True
        try:
            answer = await self._control.post(USES, content=Uses(at=told).model_dump_json())
            answer.raise_for_status()
        except httpx.HTTPError as error:
            _log.warning("control does not hear which keys were used (%s); it is told again", type(error).__name__)
            return False
        self._at = {key: at for key, at in self._at.items() if told.get(key) != at}
        return True

    async def run(self) -> None:
        """Tell control every minute until cancelled."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            await self.tell()
