"""Keep the newest snapshot: ask control for changes, and keep what it said for the times when it does not answer.

Knows nothing of requests.
"""

import asyncio
import json
import logging
import math
import os
import tempfile
import time
from pathlib import Path

import httpx
from pydantic import ValidationError

from fabric.api.admin import GATEWAY
from fabric.api.gateway import GatewaySnapshot
from fabric.core.errors import Unavailable
from fabric.gateway.settings import GatewaySettings
from fabric.gateway.table import Table

_log = logging.getLogger(__name__)
FILE = "gateway.json"
"""Name of the saved snapshot in the state folder."""
_PARTIAL = f".{FILE}."
_SOON_S = 2.0
"""Longest that a request which would be refused waits for what control says, in seconds."""


class Follower:
    """The table as control last told it."""

    def __init__(self, client: httpx.AsyncClient, folder: Path, settings: GatewaySettings) -> None:
        """Begin with what was saved, if anything was.

        Args:
            client: Talks to control; its base URL and key are set.
            folder: Where the snapshot is kept between runs.
            settings: How often to ask.
        """
        self._client = client
        self._file = folder / FILE
        self._settings = settings
        _sweep(self._file)
        saved = _read(self._file)
        self._table = None if saved is None else Table(saved)
        self._turn = asyncio.Lock()
        self._asked_at = -math.inf
        self.problem: str | None = "control has not been asked yet"
        """Why control's last answer could not be had; None while it answers."""

    @property
    def table(self) -> Table:
        """The newest known.

        Raises:
            Unavailable: If there has never been one.
        """
        if self._table is None:
            raise Unavailable(f"the gateway does not know any models yet: {self.problem}. Try again in a few seconds.")
        return self._table

    async def run(self) -> None:
        """Follow control until cancelled; a mistake of ours is logged, and the next answer may be better."""
        while True:
            try:
                changed = await self.ask()
            except Exception as error:
                changed = False
                if self.problem != (problem := f"internal error: {type(error).__name__}: {_first_line(error)}"):
                    _log.exception("following control goes on in spite of an error")
                self.problem = problem
            # A control that holds questions back has been waited for already, and a change may be followed by another.
            await asyncio.sleep(0.0 if changed else self._settings.poll_s)

    async def refresh(self) -> None:
        """Learn what is true now, for a request that would be refused by what is known.

        Who deploys a model or makes a key may use it as soon as control says that it is there, which is a moment before
        the gateway hears of it by itself. Requests share a question that is asked after they came.
        """
        came = time.monotonic()
        async with self._turn:
            if self._asked_at >= came or self.problem is not None:
                return
            await asyncio.sleep(self._asked_at + self._settings.hurry_s - time.monotonic())
            self._asked_at = time.monotonic()
            await self.ask(hold_s=0.0, patience_s=_SOON_S)

    async def ask(self, hold_s: float | None = None, patience_s: float = 10.0) -> bool:
        """Ask once; returns whether there was something new.

        Args:
            hold_s: How long control may wait for a change, in seconds; by default as set.
            patience_s: How long its answer may take beyond that, in seconds.
        """
        hold_s = self._settings.hold_s if hold_s is None else hold_s
        known = self._table
        query = {"version": known.snapshot.version, "wait_s": hold_s} if known else {}
        try:
            answer = await self._client.get(GATEWAY, params=query, timeout=hold_s + patience_s)
            answer.raise_for_status()
            snapshot = GatewaySnapshot.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError) as error:
            self._note(f"{type(error).__name__}: {_first_line(error)}")
            return False
        self._note(None)
        if self._table is not None and snapshot == self._table.snapshot:
            return False
        if self._table is not known and self._table is not None and snapshot.version < self._table.snapshot.version:
            return True  # An answer that another one has overtaken.
        self._table = Table(snapshot)
        self._save(snapshot)
        _log.info("snapshot %d: %d models, %d keys", snapshot.version, len(snapshot.models), len(snapshot.keys))
        return True

    def _note(self, problem: str | None) -> None:
        if (problem is None) != (self.problem is None):
            _log.warning("control %s", "answers" if problem is None else f"does not answer ({problem}); serving on")
        self.problem = problem

    def _save(self, snapshot: GatewaySnapshot) -> None:
        """Replace the file as a whole, readable by its owner only: it holds the services' secrets."""
        beside = None
        try:
            with tempfile.NamedTemporaryFile(dir=self._file.parent, prefix=_PARTIAL, delete=False) as file:
                beside = Path(file.name)
                file.write(snapshot.model_dump_json().encode())
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._file)
        except OSError as error:
            _log.warning("%s: cannot be written (%s); a restart begins with an older snapshot", self._file, error)
            if beside:
                beside.unlink(missing_ok=True)


def _sweep(file: Path) -> None:
    """Remove what a gateway left that was killed while it wrote."""
    for partial in file.parent.glob(f"{_PARTIAL}*"):
        partial.unlink(missing_ok=True)


def _read(file: Path) -> GatewaySnapshot | None:
    try:
        return GatewaySnapshot.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError, json.JSONDecodeError) as error:
        _log.warning("%s: cannot be read (%s); waiting for control", file, _first_line(error))
        return None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else "no reason given"
