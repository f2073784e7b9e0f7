"""Every workload, newest first, found by name or state.

Knows nothing of single workloads' pages.
"""

import time
from urllib.parse import quote

from nicegui import ui
from starlette.requests import Request

from fabric.api.admin import WorkloadView
from fabric.api.lists import WorkloadPage
from fabric.console.frame import Console, part
from fabric.console.markup import Child, Markup, join, tag
from fabric.console.words import duration, link_to, pager, roughly, state, table, when
from fabric.workloads.states import FINAL, State

CHOICES = (("", "all"), ("active", "active"), *((str(each), str(each)) for each in State))
"""What the list may be narrowed to."""
COLUMNS = ("Workload", "State", "Kind", "Project", "Class", "Submitted", "Ran for", "Said")
"""Of the table."""


def add(console: Console) -> None:
    """Add the page."""

    @ui.page("/workloads", title="Workloads · fabric", response_timeout=20)
    async def workloads(request: Request, text: str = "", state: str = "", offset: int = 0) -> None:
        visit = console.visit(request)
        rows = console.settings.rows
        with console.page(visit, "Workloads", "/workloads"):
            ui.html(_form(text, state), sanitize=False)
            shown = part()

            async def refresh() -> None:
                found = await visit.session.client.search(
                    text[:200], states_of(state), offset=max(0, offset), limit=rows
                )
                query = f"text={quote(text)}&state={quote(state)}&"
                shown.show(list_of(found, time.time(), rows, query))

            await console.keep(visit, refresh)


def states_of(choice: str) -> tuple[str, ...]:
    """The states that a choice means; none means all."""
    if choice == "active":
        return tuple(str(each) for each in State if each not in FINAL)
    return (choice,) if choice else ()


def list_of(found: WorkloadPage, now: float, rows: int, query: str) -> Markup:
    """A part of the list.

    Args:
        found: What control says.
        now: Seconds since the epoch.
        rows: Workloads in a full page.
        query: What the address says, `&` at its end.
    """
    lines = [_row(view, now) for view in found.workloads]
    turn = pager("/workloads", query, offset=found.offset, shown=len(lines), total=found.total, rows=rows)
    count = tag("p", f"{found.total:,} found" if found.total else None, class_="quiet")
    return join(count, table(COLUMNS, lines, "No workload is like this.", "Workloads"), turn)


def _row(view: WorkloadView, now: float) -> tuple[Child, ...]:
    return (
        link_to(view.name),
        state(view.state, view.condition),
        view.kind,
        view.project,
        view.priority,
        when(view.submitted_at),
        ran_for(view, now),
        tag("span", view.message, class_="why"),
    )


def ran_for(view: WorkloadView, now: float) -> str:
    """How long the present or last attempt ran."""
    if view.running_at is None:
        return "–"
    if view.ended_at is not None:
        return duration(view.ended_at - view.running_at)
    return roughly(now - view.running_at)


def _form(text: str, chosen: str) -> Markup:
    options = [tag("option", label, value=value, selected=value == chosen) for value, label in CHOICES]
    return tag(
        "form",
        tag("label", "Name contains", tag("input", name="text", value=text, type="search", maxlength=200, id="find")),
        tag("label", "State", tag("select", options, name="state")),
        tag("button", "Find", type="submit"),
        method="get",
        action="/workloads",
        class_="find",
    )
