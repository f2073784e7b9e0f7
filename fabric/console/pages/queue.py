"""The queue: who waits, why, and when each should start.

Knows nothing of how the order is made.
"""

import time

from nicegui import ui
from starlette.requests import Request

from fabric.api.admin import WorkloadView
from fabric.api.lists import WorkloadPage
from fabric.console.frame import Console, part
from fabric.console.markup import Child, Markup, join, tag
from fabric.console.words import link_to, pager, roughly, table, when

COLUMNS = ("Place", "Workload", "Project", "Class", "Waits for", "Why", "Starts")
"""Of the table."""
_WAITS = "waits: "
_ABOUT_START = ("promised to start by ", "expected start ", "its start cannot be foreseen yet")


def add(console: Console) -> None:
    """Add the page."""

    @ui.page("/queue", title="Queue · fabric", response_timeout=20)
    async def queue(request: Request, offset: int = 0) -> None:
        visit = console.visit(request)
        rows = console.settings.rows
        with console.page(visit, "Queue", "/queue"):
            shown = part()

            async def refresh() -> None:
                found = await visit.session.client.queue(offset=max(0, offset), limit=rows)
                shown.show(queue_of(found, time.time(), rows))

            await console.keep(visit, refresh)


def queue_of(found: WorkloadPage, now: float, rows: int) -> Markup:
    """A part of the queue.

    Args:
        found: What control says.
        now: Seconds since the epoch.
        rows: Workloads in a full page.
    """
    lines = [_row(found.offset + i + 1, view, now) for i, view in enumerate(found.workloads)]
    count = tag("p", f"{found.total:,} waiting" if found.total else None, class_="quiet")
    turn = pager("/queue", "", offset=found.offset, shown=len(lines), total=found.total, rows=rows)
    return join(
        count, table(COLUMNS, lines, "Nobody waits: everything that was asked for has its nodes.", "Queue"), turn
    )


def _row(place: int, view: WorkloadView, now: float) -> tuple[Child, ...]:
    return (
        f"{place:,}",
        link_to(view.name),
        view.project,
        view.priority,
        roughly(now - view.submitted_at),
        tag("span", reason_of(view), class_="why"),
        start_of(view),
    )


def reason_of(view: WorkloadView) -> str:
    """Why somebody waits, without what other columns say."""
    parts = [said for said in view.message.split("; ") if not any(word in said for word in _ABOUT_START)]
    return "; ".join(parts).replace(_WAITS, "", 1) or view.message


def start_of(view: WorkloadView) -> Child:
    """When somebody should start, and whether that is a promise."""
    if view.expected_start is None:
        return tag("span", "not known yet", class_="quiet")
    word = tag("span", "promised", class_="state good") if view.promised else tag("span", "expected", class_="quiet")
    return join(when(view.expected_start), " ", word)
