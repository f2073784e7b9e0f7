"""Headers that keep browsers from making more of an answer than it is.

Knows nothing of the routes but which pass on the pages of others, who say themselves what those may do.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fabric.api.dashboard import DASHBOARD
from fabric.control.http.mlflow import PREFIX

SECURE: dict[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # Nothing of ours is a page: whatever a browser takes for one loads nothing and runs nothing.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # Answers tell what one key may see, and some a key itself.
    "Cache-Control": "no-store",
}
"""Headers of every answer of control's own that says nothing else."""
_OTHERS = (f"{PREFIX}/", f"{DASHBOARD}/")


class Secure:
    """An ASGI application around control's own."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with these headers."""
        if scope["type"] != "http" or scope["path"].startswith(_OTHERS):
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURE.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sending)
