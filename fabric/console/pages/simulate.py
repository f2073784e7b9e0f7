"""What if: the recent past decided again with another policy or more nodes, beside what was.

Knows nothing of how it is decided.
"""

import asyncio
import time
from collections.abc import Callable

from nicegui import ui
from starlette.requests import Request

from fabric.api.past import PastView
from fabric.console.chart import Point, curve
from fabric.console.frame import Console, Visit, part
from fabric.console.markup import Child, Markup, join, tag
from fabric.console.whatif import AS_NOW, POLICIES, Answer, Outcome, what_if
from fabric.console.words import duration, heading, number, problem, table
from fabric.core.errors import FabricError
from fabric.simulator.report import Occupancy

SPANS: dict[float, str] = {
    3600.0: "last hour", 6 * 3600.0: "last 6 hours", 86_400.0: "last day", 7 * 86_400.0: "last week",
}  # fmt: skip
"""How far back, in seconds."""
SIZES = (100, 300, 1000)
"""How many of the newest workloads are decided again."""
COLUMNS = ("", "As it was", "Decided as now", "What if")
"""Of the comparison."""


def add(console: Console) -> None:
    """Add the page."""

    @ui.page("/simulate", title="Simulate · fabric", response_timeout=20)
    async def simulate(request: Request) -> None:
        visit = console.visit(request)
        with console.page(visit, "What if", "/simulate"):
            about = (
                "The work of the recent past is decided again by the fabric's own scheduler on a virtual clock. "
                "Projects' shares and budgets, and changes of size, are left out."
            )
            ui.html(tag("p", about, class_="quiet"), sanitize=False)
            try:
                found = await visit.session.client.past(limit=1)
            except FabricError as error:
                ui.html(problem(error.message), sanitize=False)
                return
            _Form(visit, found)


class _Form:
    """What is to be tried, and what came of it."""

    def __init__(self, visit: Visit, site: PastView) -> None:
        self._visit = visit
        plain = "outlined dense"
        with ui.element("section").classes("form"):
            self._span = ui.select(SPANS, value=86_400.0, label="Of the").props(plain)
            self._most = ui.select(list(SIZES), value=SIZES[0], label="Workloads at most").props(plain)
            self._policy = ui.select(list(POLICIES), value=AS_NOW, label="Policy").props(plain).classes("wide")
            self._more = {
                tier.name: ui.number(f"Nodes more of {tier.name} (has {tier.nodes})", value=0, precision=0).props(plain)
                for tier in site.tiers
            }
            self._button = ui.button("Decide it again", on_click=self._run).props("no-caps unelevated")
        self._said = part()

    async def _run(self) -> None:
        self._button.disable()
        self._said.show(tag("p", "Deciding …", class_="quiet"))
        try:
            since = time.time() - float(self._span.value)
            past = await self._visit.session.client.past(since, limit=int(self._most.value))
            more = {name: int(field.value or 0) for name, field in self._more.items()}
            answer = await asyncio.to_thread(what_if, past, str(self._policy.value), more)
            self._said.show(answer_of(answer))
        except FabricError as error:
            self._said.show(problem(error.message))
        finally:
            self._button.enable()


def answer_of(answer: Answer) -> Markup:
    """The comparison as a table, and how full each tier was."""
    outcomes = (answer.was, answer.now, answer.otherwise)
    rows: list[tuple[Child, ...]] = [
        ("Started", *(number(one.num_started) for one in outcomes)),
        *(_line(label, read, outcomes) for label, read in _WAITS),
        ("Average bounded slowdown", *("–" if one.slowdown is None else number(one.slowdown) for one in outcomes)),
        ("All done after", *(duration(one.span_s) if one.span_s else "–" for one in outcomes)),
    ]
    for tier in answer.now.occupancy:
        rows.append((f"{tier.tier}: {tier.device} in use", "–", *(_share(one, tier.tier) for one in outcomes[1:])))
    left = f"; {len(answer.left_out):,} left out, as nothing says how long they run, or they fit nowhere"
    count = tag("p", f"{answer.num_works:,} workloads decided again{left if answer.left_out else ''}", class_="quiet")
    return join(
        heading("What came of it"),
        table(COLUMNS, rows, "", "The past, decided again"),
        count,
        tag("div", [_drawn(tier, answer.otherwise) for tier in answer.now.occupancy], class_="curves"),
    )


_WAITS: tuple[tuple[str, Callable[[Outcome], float]], ...] = (
    ("Mean wait", lambda one: one.mean_wait_s),
    ("95 of 100 waited at most", lambda one: one.p95_wait_s),
    ("Longest wait", lambda one: one.longest_wait_s),
)


def _line(label: str, read: Callable[[Outcome], float], outcomes: tuple[Outcome, ...]) -> tuple[Child, ...]:
    """Times, the last beside the one before: how much shorter or longer."""
    values = [read(one) for one in outcomes]
    now, otherwise = values[-2], values[-1]
    change = "" if not now else f"{100 * (otherwise - now) / now:+.0f} %"
    badge = tag("span", change, class_=f"state {'good' if otherwise < now else 'waits'}") if change else None
    same = abs(otherwise - now) <= 0.005 * now
    return (label, *(duration(value) for value in values[:-1]), join(duration(otherwise), " ", None if same else badge))


def _share(one: Outcome, tier: str) -> str:
    found = next((each for each in one.occupancy if each.tier == tier), None)
    return "–" if found is None else f"{100 * found.share(one.span_s or 1.0):.0f} %"


def _drawn(now: Occupancy, otherwise: Outcome) -> Markup:
    """A tier's curve as decided now, and what if."""
    found = next((each for each in otherwise.occupancy if each.tier == now.tier), None)
    both = [(f"{now.tier}: {now.device}, as now", now)] + ([(f"{now.tier}: what if", found)] if found else [])
    most = max(each.there for _, each in both)
    return join([curve(name, stairs(each.steps), least=0.0, most=most) for name, each in both if each.steps])


def stairs(steps: tuple[tuple[float, float], ...]) -> list[Point]:
    """A step function as points of a line."""
    points: list[Point] = []
    for at, height in steps:
        if points:
            points.append((at, points[-1][1]))
        points.append((at, height))
    return points
