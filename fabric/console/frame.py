"""What all pages have around them: navigation, who is logged in, and parts that stay up to date.

Knows nothing of what the pages show.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nicegui import ui
from starlette.requests import Request

from fabric.console.guard import LOGIN, word_of
from fabric.console.markup import Markup, tag
from fabric.console.sessions import Session, Sessions
from fabric.console.settings import ConsoleSettings
from fabric.console.words import problem
from fabric.core.errors import FabricError, Unauthenticated

PAGES = (
    ("/", "Overview", "o"),
    ("/queue", "Queue", "q"),
    ("/workloads", "Workloads", "w"),
    ("/nodes", "Nodes", "n"),
    ("/projects", "Projects", "p"),
    ("/models", "Models", "m"),
    ("/simulate", "Simulate", "s"),
    ("/submit", "Submit", "j"),
)
"""Address, name, and the key that leads there after `g`."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A page that somebody has open."""

    session: Session
    """Who."""
    word: str | None
    """Of the session, to notice its end."""


class Console:
    """What all pages share."""

    def __init__(self, settings: ConsoleSettings, sessions: Sessions) -> None:
        self.settings, self.sessions = settings, sessions

    def visit(self, request: Request) -> Visit:
        """Who asks for a page.

        Raises:
            Unauthenticated: If nobody is logged in; the guard lets no such request through.
        """
        word = word_of(request.headers)
        session = self.sessions.find(word)
        if session is None:
            raise Unauthenticated("log in first")
        return Visit(session, word)

    @contextmanager
    def page(self, visit: Visit, title: str, path: str = "") -> Iterator[None]:
        """Everything around a page's own contents."""
        ui.add_head_html(
            '<script src="/static/theme.js"></script><link rel="stylesheet" href="/static/console.css">'
            '<script defer src="/static/console.js"></script>'
        )
        ui.html(_header(visit.session.name, path), sanitize=False)
        with ui.element("main").props("id=main tabindex=-1"):
            ui.html(tag("h1", title), sanitize=False)
            yield

    async def keep(self, visit: Visit, refresh: Callable[[], Awaitable[None]]) -> None:
        """Fill a page now and keep it up to date while it is open.

        Args:
            visit: Who looks.
            refresh: Asks control and shows the answer.
        """
        said = part()

        async def again() -> None:
            if self.sessions.find(visit.word) is None:
                ui.navigate.to(LOGIN)
                return
            try:
                await refresh()
                said.show(Markup(""))
            except Unauthenticated:
                await self.sessions.end(visit.word)
                ui.navigate.to(LOGIN)
            except FabricError as error:
                said.show(problem(error.message))

        await again()
        ui.timer(self.settings.refresh_s, again, immediate=False)


class Part:
    """A part of a page; only what differs from before is sent to the browser."""

    def __init__(self) -> None:
        self._element = ui.html("", sanitize=False)

    def show(self, content: Markup) -> None:
        """Show this instead of what was there. `Markup` is escaped already, so nothing is cleaned again."""
        if self._element.content != content:
            self._element.set_content(content)


def part() -> Part:
    """An empty part at this place of the page."""
    return Part()


def _header(name: str, path: str) -> Markup:
    links = [
        tag("a", label, href=address, aria_current="page" if address == path else None, data_key=key)
        for address, label, key in PAGES
    ]
    theme = tag("button", "◐", type="button", id="theme", title="Light or dark", aria_label="Light or dark")
    leave = tag("form", tag("button", "Log out", type="submit"), method="post", action="/logout")
    return tag(
        "header",
        tag("a", "Skip to the page", href="#main", class_="skip"),
        tag("a", "fabric", href="/", class_="brand"),
        tag("nav", links, aria_label="Pages"),
        tag("div", tag("span", name, class_="who"), theme, leave, class_="me"),
        class_="top",
    )
