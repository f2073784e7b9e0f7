"""Projects: what each is guaranteed, holds and may use, and who is what in it; with what one used day by day.

Knows nothing of who may what; control says so.
"""

import time
from urllib.parse import quote

from nicegui import ui
from starlette.requests import Request

from fabric.api.overview import Amounts
from fabric.api.people import BudgetView, ProjectView
from fabric.api.usage import UsageView
from fabric.console.chart import curve
from fabric.console.frame import Console, part
from fabric.console.markup import Child, Markup, join, tag
from fabric.console.words import amounts, bar, facts, heading, number, roughly, table, when

COLUMNS = ("Project", "Holds", "Guaranteed", "Limit", "Budget", "Running", "Waiting")
"""Of the list."""
DAYS = 30
"""How far back use is shown, in days."""
_DAY_S = 86_400.0


def add(console: Console) -> None:
    """Add the pages."""

    @ui.page("/projects", title="Projects · fabric", response_timeout=20)
    async def projects(request: Request) -> None:
        visit = console.visit(request)
        with console.page(visit, "Projects", "/projects"):
            shown = part()

            async def refresh() -> None:
                shown.show(projects_of(await visit.session.client.people.projects(), time.time()))

            await console.keep(visit, refresh)

    @ui.page("/project/{name}", title="Project · fabric", response_timeout=20)
    async def project(request: Request, name: str) -> None:
        visit = console.visit(request)
        with console.page(visit, name):
            shown, used = part(), part()

            async def refresh() -> None:
                people = visit.session.client.people
                shown.show(project_of(await people.project(name), time.time()))
                today = time.time() // _DAY_S * _DAY_S
                since = today - (DAYS - 1) * _DAY_S
                used.show(use_of(await people.usage(["day"], since=since, project=name), since))

            await console.keep(visit, refresh)


def projects_of(found: tuple[ProjectView, ...], now: float) -> Markup:
    """Every project within reach.

    Args:
        found: What control says.
        now: Seconds since the epoch.
    """
    rows: list[tuple[Child, ...]] = [
        (
            _link(view),
            by_tier(view.held) or "nothing",
            by_tier(view.guaranteed) or "–",
            join([tag("div", f"{most} on {tier}") for tier, most in view.limit.items()]) if view.limit else "–",
            budget_of(view.budget, now) if view.budget else "–",
            number(view.num_running),
            number(view.num_waiting),
        )
        for view in found
    ]
    return table(COLUMNS, rows, "No project is known yet: the site lists none, and no work names one.", "Projects")


def project_of(view: ProjectView, now: float) -> Markup:
    """One project and its members.

    Args:
        view: What control says.
        now: Seconds since the epoch.
    """
    members: list[tuple[Child, ...]] = [(member.user, member.role) for member in view.members]
    return join(
        facts(
            ("Holds", by_tier(view.held) or "nothing"),
            ("Guaranteed", by_tier(view.guaranteed) or "nothing"),
            ("Most on", ", ".join(f"{tier}: {most}" for tier, most in view.limit.items()) or None),
            ("Share of the rest", f"weight {number(view.weight)}"),
            ("Budget", budget_of(view.budget, now) if view.budget else None),
            ("At a time", f"{view.budget.running} running at most" if view.budget and view.budget.running else None),
            ("Belongs to", tag("a", view.parent, href=project_path(view.parent)) if view.parent else None),
            ("Running", number(view.num_running)),
            ("Waiting", number(view.num_waiting)),
            ("Made by", view.created_by if view.made else None),
            ("Closed", when(view.closed_at) if view.closed_at is not None else None),
        ),
        heading("Members"),
        table(("Person", "Role"), members, "Nobody has a role in it.", f"Members of {view.name}"),
    )


def use_of(found: UsageView, since: float) -> Markup:
    """What a project used day by day, those without any too.

    Args:
        found: By day.
        since: Beginning of the first day, in seconds since the epoch.
    """
    gpus = {row.begins or 0.0: row.gpu_hours for row in found.rows}
    cpus = {row.begins or 0.0: row.cpu_hours for row in found.rows}
    days = [since + i * _DAY_S for i in range(DAYS)]
    drawn = [
        curve(f"{label} a day", [(day, used.get(day, 0.0)) for day in days], least=0.0)
        for label, used in (("GPU hours", gpus), ("CPU hours", cpus))
        if any(used.values())
    ]
    title = heading("Use", tag("span", f" last {DAYS} days", class_="quiet"))
    if not drawn:
        return join(title, tag("p", "It used nothing.", class_="empty"))
    total = f"{number(sum(gpus.values()))} GPU hours and {number(sum(cpus.values()))} CPU hours in all"
    return join(title, tag("div", drawn, class_="curves"), tag("p", total, class_="quiet"))


def budget_of(budget: BudgetView, now: float) -> Markup:
    """How much of a budget is used, and when it begins anew."""
    if budget.gpu_hours is None:
        return tag("span", f"{number(budget.used_gpu_hours)} GPU hours this {budget.every}")
    said = f"{number(budget.used_gpu_hours)} of {number(budget.gpu_hours)} GPU hours a {budget.every}"
    resets = f"anew in {roughly(budget.resets_at - now)}"
    return join(
        bar(budget.used_gpu_hours, budget.gpu_hours, "budget used"), tag("div", f"{said}, {resets}", class_="quiet")
    )


def by_tier(held: dict[str, Amounts]) -> Markup | None:
    """Amounts on each tier; nothing where there are none."""
    some = [(tier, each) for tier, each in held.items() if each.cpus or each.gpus or each.memory_bytes]
    lines = [tag("div", f"{tier}: {amounts(each.cpus, each.gpus, each.memory_bytes)}") for tier, each in some]
    return join(lines) if lines else None


def project_path(name: str) -> str:
    """Address of a project's page."""
    return f"/project/{quote(name, safe='')}"


def _link(view: ProjectView) -> Markup:
    closed = tag("span", " closed", class_="quiet") if view.closed_at is not None else None
    below = tag("div", f"of {view.parent}", class_="quiet") if view.parent else None
    return join(
        tag("a", view.name, href=project_path(view.name), id=f"project-{quote(view.name)}", class_="name"),
        closed,
        below,
    )
