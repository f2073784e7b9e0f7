"""How many requests are let in at the same time: the others wait a moment in order, or are told to come again.

Knows nothing of what the routes do. A request that is turned away costs next to nothing, as neither its body nor its
key is looked at; so however much is asked, what was let in is answered soon, and everybody else at once.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from fabric.api.admin import GATEWAY, HEALTH, WORKLOADS
from fabric.api.arrays import ARRAYS
from fabric.api.artifacts import ARTIFACTS
from fabric.api.dashboard import DASHBOARD
from fabric.api.jobs import JOBS, PACKAGES
from fabric.api.notebook import NOTEBOOK
from fabric.control.http.errors import answer_to
from fabric.control.http.mlflow import PREFIX
from fabric.control.http.settings import HttpSettings
from fabric.core.errors import Unavailable
from fabric.telemetry.http import METRICS

SUBMISSIONS, QUESTIONS, HELD = "submissions", "questions", "held"
"""New work; everything else that is answered soon; what is held back or flows as long as its reader likes."""

_NEW = frozenset({("POST", WORKLOADS), ("POST", ARRAYS), ("POST", JOBS), ("POST", f"{JOBS}/")})
_FLOWS = (f"{PREFIX}/", f"{PACKAGES}/", f"{ARTIFACTS}/", f"{NOTEBOOK}/", f"{DASHBOARD}/", GATEWAY)


class TooBusy(Unavailable):
    """More is asked than can be answered soon; the same a little later may be answered."""


class Lane:
    """Requests of one kind; used from one event loop."""

    def __init__(self, name: str, *, at_work: int, most_waiting: int, patience_s: float) -> None:
        """Nobody is in it.

        Args:
            name: What its requests are, for people.
            at_work: Requests that are worked on at the same time.
            most_waiting: Requests that wait for those; further ones are turned away at once.
            patience_s: Longest wait in seconds; whoever waits longer is turned away.
        """
        self.name, self._at_work, self._most_waiting, self._patience_s = name, at_work, most_waiting, patience_s
        self._working = 0
        self._waiting: deque[asyncio.Future[bool]] = deque()

    @property
    def working(self) -> int:
        """How many are worked on."""
        return self._working

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def enter(self) -> None:
        """Come in, after those who came before; whoever does must `leave`.

        Raises:
            TooBusy: If too many wait already, or it would take too long.
        """
        if self._working < self._at_work:
            self._working += 1
            return
        if self.waiting >= self._most_waiting:
            raise TooBusy(f"too many {self.name} at the same time: {self._working} are being answered and "
                          f"{self._most_waiting} wait. Come again a little later.")  # fmt: skip
        await self._wait()

    async def _wait(self) -> None:
        """Wait for somebody to leave.

        Raises:
            TooBusy: If that takes too long.
        """
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_later(self._patience_s, _expire, turn)
        came = False
        try:
            came = await turn
        finally:
            timer.cancel()
            with suppress(ValueError):  # whoever let us in has taken us out
                self._waiting.remove(turn)
            if not came and turn.done() and not turn.cancelled() and turn.result():
                self.leave()  # the client left at the very instant at which its turn came
        if not came:
            raise TooBusy(
                f"too many {self.name} at the same time: this one has waited {self._patience_s:g} s for its turn. "
                "Come again a little later."
            )

    def leave(self) -> None:
        """Let in who has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self._working -= 1


def _expire(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)


def lane_of(scope: Scope) -> str | None:
    """The kind of a request; None for those that are always let in: how control is, and words that are none.

    Args:
        scope: What ASGI tells of it.
    """
    if scope["type"] == "websocket":
        return HELD
    if scope["type"] != "http" or scope["path"] in {HEALTH, METRICS}:
        return None
    path, method = scope["path"], scope["method"]
    if (method, path) in _NEW:
        return SUBMISSIONS
    return HELD if path.startswith(_FLOWS) or path.endswith("/logs") else QUESTIONS


def lanes_of(settings: HttpSettings) -> Mapping[str, Lane]:
    """The lanes of one control, by the kind of their requests."""
    soon = {"at_work": settings.at_work, "most_waiting": settings.most_waiting}
    return {
        SUBMISSIONS: Lane("submissions", **soon, patience_s=settings.patience_s),
        QUESTIONS: Lane("questions", **soon, patience_s=settings.patience_s),
        HELD: Lane("requests that stay open", at_work=settings.most_held, most_waiting=0, patience_s=0.0),
    }


class Lanes:
    """An ASGI application in front of control's own, which lets in as many as can be answered soon."""

    def __init__(self, app: ASGIApp, lanes: Mapping[str, Lane]) -> None:
        """Let nobody in yet.

        Args:
            app: What answers.
            lanes: By the kind of a request.
        """
        self._app, self._lanes = app, lanes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let answer."""
        kind = lane_of(scope)
        if kind is None:
            await self._app(scope, receive, send)
            return
        lane = self._lanes[kind]
        try:
            await lane.enter()
        except TooBusy as error:
            await answer_to(HTTPConnection(scope), error)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            lane.leave()
