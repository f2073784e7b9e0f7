"""How long requests take, by route: one middleware for every server of the fabric.

Knows nothing of what the routes do. Answers are timed to their first byte, as logs and streams stay open for hours.
"""

import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Histogram
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METRICS = "/metrics"
"""GET: Prometheus' text format, for whoever may see the whole site."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets in which durations are counted, in seconds; a held-back answer is the last."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are told apart; clients may send any word."""

OTHER = "other"
"""Route of paths that lead nowhere, and method of words that are none, so that nobody can make up series."""


def request_histogram(registry: CollectorRegistry, name: str) -> Histogram:
    """What `Timed` counts into.

    Args:
        registry: Of the application.
        name: Of the metric; its unit is seconds.
    """
    about = "Seconds from a request to the first byte of its answer."
    return Histogram(name, about, ["route", "method", "status"], registry=registry, buckets=SECONDS)


class Timed:
    """An ASGI middleware that notes how long answers took; web sockets are left out."""

    def __init__(self, app: ASGIApp, took: Callable[[], Histogram]) -> None:
        """Stand before an application.

        Args:
            app: What answers.
            took: What `request_histogram` made, asked for at each request.
        """
        self._app, self._took = app, took

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note its answer."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began, seen = time.perf_counter(), False

        def note(status: int) -> None:
            nonlocal seen
            if not seen:
                seen = True
                method = scope["method"] if scope["method"] in METHODS else OTHER
                labels = (route_of(scope), method, f"{status // 100}xx")
                self._took().labels(*labels).observe(time.perf_counter() - began)

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                note(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception:
            note(500)  # what is outside answers so for whatever was not foreseen
            raise


def route_of(scope: Scope) -> str:
    """The path of a route as it was declared, such as `/jobs/{name}`; `OTHER` where none matches."""
    route: Any = scope.get("route")
    if route is None and "app" in scope:
        # Starlette's own routes do not say that they were taken.
        route = next((each for each in scope["app"].routes if each.matches(scope)[0] is Match.FULL), None)
    return str(getattr(route, "path", OTHER))
