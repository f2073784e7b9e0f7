"""What a control that follows answers: questions about the records, and 503 to whatever only the leader can do.

Knows nothing of single routes but those that are no questions about the records.
"""

import asyncio
from collections.abc import Callable

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from fabric.api.admin import GATEWAY
from fabric.api.dashboard import DASHBOARD, VISIT
from fabric.control.http.errors import answer_to
from fabric.control.http.mlflow import PREFIX
from fabric.core.errors import FabricError, Unavailable

QUESTIONS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""

OF_THE_LEADER = (GATEWAY, PREFIX, DASHBOARD, VISIT)
"""How paths begin whose answers are in no records: where services answer, MLflow, and Ray's own pages."""


class Standby:
    """An ASGI application in front of control's own, which lets only the leader change anything."""

    def __init__(self, app: ASGIApp, leads: Callable[[], bool], leader: Callable[[], str]) -> None:
        """Ask nobody yet.

        Args:
            app: Control's own.
            leads: Whether this control leads.
            leader: URL of the one that does; empty if nobody does.
        """
        self._app, self._leads, self._leader = app, leads, leader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let answer."""
        if scope["type"] != "http" or self._leads() or _is_question(scope):
            await self._app(scope, receive, send)
            return
        # The database may be away, and nobody else should wait for that.
        words = await asyncio.to_thread(self._words)
        answer = answer_to(HTTPConnection(scope), Unavailable(words))
        await answer(scope, receive, send)

    def _words(self) -> str:
        try:
            leader = self._leader()
        except FabricError:
            leader = ""
        where = f"Ask the one that leads, {leader}" if leader else "None leads at the moment; ask again"
        return f"this control follows another one and answers only questions about the records. {where}."


def _is_question(scope: Scope) -> bool:
    path = scope["path"]
    elsewhere = any(path == root or path.startswith(f"{root}/") for root in OF_THE_LEADER)
    return scope["method"] in QUESTIONS and not elsewhere
