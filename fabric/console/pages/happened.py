"""What happened at the site, newest first.

Knows nothing of how it is found out.
"""

from nicegui import ui
from starlette.requests import Request

from fabric.api.site_events import LARGEST_NUMBER, SiteEventKind, SiteEventList, SiteEventView
from fabric.console.frame import Console, part
from fabric.console.markup import Child, Markup, join, tag
from fabric.console.words import link_to, node_path, when

PATH = "/happened"
"""Address of the page."""
KINDS: dict[SiteEventKind, tuple[str, str]] = {
    "failed": ("failed", "bad"), "lost": ("lost an attempt", "bad"), "preempted": ("preempted", "waits"),
    "warning": ("warning", "waits"), "deployed": ("deployed", "good"), "ended": ("service ended", "quiet"),
    "alias": ("alias moved", "moves"), "node_up": ("node up", "good"), "node_down": ("node down", "bad"),
    "node_refused": ("node refused", "bad"), "node_cordoned": ("node cordoned", "waits"),
    "node_gone": ("node gone", "bad"), "node_drained": ("node drained", "waits"),
    "node_returned": ("node returned", "good"),
    "reloaded": ("site file read", "moves"), "reload_refused": ("site file refused", "bad"),
}  # fmt: skip
"""What is written of each kind, and how it looks."""
NOTHING = (
    "Nothing is told yet: nodes that come and go, work that fails or is preempted, deployments and aliases will be."
)


def add(console: Console) -> None:
    """Add the page."""

    @ui.page(PATH, title="What happened · fabric", response_timeout=20)
    async def happened(request: Request) -> None:
        visit = console.visit(request)
        before = _number(request.query_params.get("before", ""))
        with console.page(visit, "What happened"):
            shown = part()

            async def refresh() -> None:
                found = await visit.session.client.site_events(before=before, limit=console.settings.rows)
                shown.show(page_of(found, first=before is None))

            await console.keep(visit, refresh)


def _number(text: str) -> int | None:
    """A number of an event; None where there is none, or where no event has it."""
    known = text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_NUMBER))
    return int(text) if known and 0 < int(text) <= LARGEST_NUMBER else None


def page_of(found: SiteEventList, *, first: bool = True) -> Markup:
    """A page of what happened.

    Args:
        found: What control says.
        first: Whether it is the newest page.
    """
    newest = None if first else tag("a", "← Newest", href=PATH, id="newest")
    older = f"{PATH}?before={found.before}" if found.before is not None else None
    links = [newest, tag("a", "Older →", href=older, id="older", rel="next") if older else None]
    pager = tag("nav", links, class_="pager", aria_label="Pages of the list") if any(links) else None
    return join(list_of(found.events), pager)


def list_of(events: tuple[SiteEventView, ...]) -> Markup:
    """What happened, in the order in which it is told."""
    if not events:
        return tag("p", NOTHING, class_="empty")
    return tag("ol", [_line(event) for event in events], class_="history")


def _line(event: SiteEventView) -> Markup:
    label, look = KINDS[event.kind]
    by = tag("span", f"by {event.by}", class_="quiet") if event.by else None
    badge = tag("span", label, class_=f"state {look}")
    return tag("li", when(event.at), badge, _about(event), tag("span", event.said, class_="why"), by)


def _about(event: SiteEventView) -> Child:
    """A link to the page of what it is about, where there is one."""
    if not event.about:
        return None
    if event.kind.startswith("node_"):
        return tag("a", event.about, href=node_path(event.about), id=f"event-{event.number}", class_="name")
    if event.kind == "alias":
        return tag("a", event.about, href="/models", id=f"event-{event.number}", class_="name")
    return link_to(event.about, f"event-{event.number}")
