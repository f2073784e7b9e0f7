"""The site at one glance.

Knows nothing of single workloads' pages.
"""

from collections.abc import Callable, Sequence

from nicegui import ui
from starlette.requests import Request

from fabric.api.admin import WorkloadView
from fabric.api.overview import Amounts, Overview, PromisesView, TierView
from fabric.console.chart import Point, curve
from fabric.console.frame import Console, part
from fabric.console.markup import Child, Markup, join, tag
from fabric.console.memory import Occupancy
from fabric.console.pages.queue import reason_of, start_of
from fabric.console.words import bar, cards, heading, link_to, number, roughly, size, state, table

HEAD_OF_QUEUE = 8
"""Waiting workloads that the overview shows."""


def add(console: Console) -> None:
    """Add the page."""

    @ui.page("/", title="fabric", response_timeout=20)
    async def overview(request: Request) -> None:
        visit = console.visit(request)
        with console.page(visit, "Overview", "/"):
            shown = part()

            async def refresh() -> None:
                seen = await visit.session.client.overview()
                console.occupancy.saw(seen)
                shown.show(overview_of(seen, console.occupancy))

            await console.keep(visit, refresh)


def overview_of(seen: Overview, before: Occupancy) -> Markup:
    """Everything of the page.

    Args:
        seen: What control says.
        before: How full the tiers were.
    """
    return join(
        cards(
            ("waiting", number(seen.num_waiting)),
            ("jobs running", number(sum(seen.running.values()))),
            ("services", number(len(seen.services))),
            ("promises kept", promises_of(seen.promises)),
        ),
        heading("Tiers"),
        tag("div", [tier_of(tier, before) for tier in seen.tiers], class_="tiers"),
        heading("Next in the queue"),
        _queue(seen.queue[:HEAD_OF_QUEUE]),
        tag("p", tag("a", f"All {seen.num_waiting:,} that wait", href="/queue", id="all")) if seen.queue else None,
        heading("Services"),
        _services(seen.services),
    )


def promises_of(kept: PromisesView) -> str:
    """How many promised starts were kept."""
    return f"{kept.num_kept} of {kept.num}" if kept.num else "–"


def tier_of(tier: TierView, before: Occupancy) -> Markup:
    """What a tier has, who holds it, and how full it was."""
    points = before.of(tier.name)
    ready = f"{tier.ready} of {tier.nodes} nodes ready" if tier.ready != tier.nodes else f"{tier.nodes} nodes"
    held = [_held(name, amount) for name, amount in tier.held.items()]
    return tag(
        "section",
        tag("h3", tier.name, tag("span", ready, class_="quiet")),
        _line("GPUs", tier.total.gpus, tier.free.gpus, number) if tier.total.gpus else None,
        _line("CPUs", tier.total.cpus, tier.free.cpus, number),
        _line("Memory", tier.total.memory_bytes, tier.free.memory_bytes, size),
        tag("p", "held by ", ", ".join(held) if held else "nobody", class_="quiet"),
        curve(_since(points), points, least=0.0, most=100.0) if len(points) > 1 else None,
        class_="tier",
    )


def _since(points: Sequence[Point]) -> str:
    return f"% held, last {roughly(points[-1][0] - points[0][0])}"


def _held(name: str, amount: Amounts) -> str:
    what = f"{number(amount.gpus)} GPUs" if amount.gpus else f"{number(amount.cpus)} CPUs"
    return f"{name} ({what})"


def _line(name: str, total: float, free: float, write: Callable[[float], str]) -> Markup:
    used = total - free
    return tag(
        "div", tag("span", name), bar(used, total, f"{name} used"),
        tag("span", f"{write(used)} of {write(total)}", class_="quiet"), class_="line",
    )  # fmt: skip


def _queue(queue: tuple[WorkloadView, ...]) -> Markup:
    rows: list[tuple[Child, ...]] = [
        (link_to(view.name), view.priority, tag("span", reason_of(view), class_="why"), start_of(view))
        for view in queue
    ]
    return table(("Workload", "Class", "Why it waits", "Starts"), rows, "Nobody waits.", "Next in the queue")


def _services(services: tuple[WorkloadView, ...]) -> Markup:
    rows: list[tuple[Child, ...]] = [
        (
            link_to(view.name),
            state(view.state, view.condition),
            view.project,
            "–" if view.workers is None else f"{view.workers}",
            tag("span", view.message, class_="why"),
        )
        for view in services
    ]
    return table(("Service", "State", "Project", "Replicas", "Said"), rows, "No services.", "Services")
