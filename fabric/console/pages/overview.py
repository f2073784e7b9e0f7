"""The site at one glance.

Knows nothing of single workloads' pages.
"""

import time
from collections.abc import Callable, Sequence

from nicegui import ui
from starlette.requests import Request

from fabric.api.admin import WorkloadView
from fabric.api.occupancy import BookingKind, BookingView, NeedView, OccupancyView, ServiceForecast, Steps
from fabric.api.overview import Amounts, Overview, PromisesView, TierView
from fabric.api.site_events import SiteEventList
from fabric.console.chart import Point, curve
from fabric.console.frame import Console, Visit, part
from fabric.console.markup import Child, Markup, join, tag
from fabric.console.occupancy import legend_of, occupancy_of
from fabric.console.pages import happened
from fabric.console.pages.queue import reason_of, start_of
from fabric.console.words import amounts, bar, cards, heading, link_to, node_path, number, size, state, table, when

HEAD_OF_QUEUE = 8
"""Waiting workloads that the overview shows."""
NEWEST = 8
"""Things that happened that the overview shows."""
MOST_AHEAD = 12
"""Claims on future capacity that the overview shows."""
OVER_TIME_S = 10.0
"""Seconds between two looks at what changes slowly: how full tiers were and will be, and what happened."""
BOOKINGS: dict[BookingKind, tuple[str, str]] = {
    "window": ("maintenance", "waits"), "drain": ("drain", "waits"), "claim": ("set aside", "moves"),
    "promise": ("promised start", "good"), "forecast": ("forecast", "moves"),
}  # fmt: skip
"""What is written of each claim on future capacity, and how it looks."""


def add(console: Console) -> None:
    """Add the page."""

    @ui.page("/", title="fabric", response_timeout=20)
    async def overview(request: Request) -> None:
        visit = console.visit(request)
        with console.page(visit, "Overview", "/"):
            shown, slowly = part(), _Slowly(visit)

            async def refresh() -> None:
                seen = await visit.session.client.overview()
                shown.show(overview_of(seen, *await slowly.look()))

            await console.keep(visit, refresh)


class _Slowly:
    """What is asked for more rarely than the page is refreshed."""

    def __init__(self, visit: Visit) -> None:
        self._client = visit.session.client
        self._known: tuple[float, OccupancyView, SiteEventList] | None = None

    async def look(self) -> tuple[OccupancyView, SiteEventList]:
        """Ask, or tell again what was answered a moment ago."""
        now = time.monotonic()
        if self._known is None or now >= self._known[0] + OVER_TIME_S:
            over_time, events = await self._client.occupancy(), await self._client.site_events(limit=NEWEST)
            self._known = (now, over_time, events)
        return self._known[1:]


def overview_of(seen: Overview, over_time: OccupancyView, events: SiteEventList) -> Markup:
    """Everything of the page.

    Args:
        seen: What control says.
        over_time: How full tiers were and will be.
        events: What happened of late.
    """
    drawn = {tier.name: occupancy_of(tier, over_time) for tier in over_time.tiers}
    return join(
        cards(
            ("waiting", number(seen.num_waiting)),
            ("jobs running", number(sum(seen.running.values()))),
            ("services", number(len(seen.services))),
            ("promises kept", promises_of(seen.promises)),
        ),
        heading("Tiers"),
        tag("div", [tier_of(tier, drawn.get(tier.name)) for tier in seen.tiers], class_="tiers"),
        legend_of() if any(drawn.values()) else None,
        heading("Ahead"),
        ahead_of(over_time),
        heading("What changed"),
        happened.list_of(events.events),
        tag("p", tag("a", "All that happened", href=happened.PATH, id="happened")) if events.events else None,
        heading("Next in the queue"),
        _queue(seen.queue[:HEAD_OF_QUEUE]),
        tag("p", tag("a", f"All {seen.num_waiting:,} that wait", href="/queue", id="all")) if seen.queue else None,
        heading("Services"),
        _services(seen.services),
        forecasts_of(over_time),
    )


def ahead_of(over_time: OccupancyView) -> Markup:
    """What of the future is spoken for: windows, drains, promised starts, and what services will need again."""
    if over_time.decided_at is None:
        return tag("p", "Nothing was decided here yet, so nothing is known of what is ahead.", class_="empty")
    rows = [_booked(booking) for booking in over_time.bookings[:MOST_AHEAD]]
    more = over_time.num_bookings - len(rows)
    shown = table(("What", "From", "Until", "Takes", "For"), rows, "Nothing is set aside or taken away.", "Ahead")
    return join(shown, tag("p", f"and {more:,} more", class_="quiet") if more > 0 else None)


def _booked(booking: BookingView) -> tuple[Child, ...]:
    label, look = BOOKINGS[booking.kind]
    takes = [
        tag("div", f"{tier}: {amounts(each.cpus, each.gpus, each.memory_bytes)}")
        for tier, each in booking.amounts.items()
    ]
    counted = f"{number(booking.nodes)} nodes" if booking.nodes > 1 else None
    return (
        tag("span", label, class_=f"state {look}"),
        when(booking.starts_at),
        when(booking.ends_at),
        [tag("div", counted) if counted else None, takes],
        _for(booking),
    )


def _for(booking: BookingView) -> Child:
    where = f"ahead-{booking.kind}-{booking.starts_at:.0f}"
    if booking.kind == "drain":
        return tag("a", booking.name, href=node_path(booking.name), id=f"{where}-{booking.name}", class_="name")
    if booking.kind not in {"promise", "forecast"} or " " in booking.name:
        return booking.name
    more = f" ({booking.replicas} more)" if booking.replicas else None
    return [link_to(booking.name, where), more]


def forecasts_of(over_time: OccupancyView) -> Markup:
    """What each service will need."""
    drawn = [_forecast(service, over_time.ahead) for service in over_time.services if service.needs]
    return tag("div", drawn, class_="curves") if drawn else Markup("")


def _forecast(service: ServiceForecast, ahead: Steps) -> Markup:
    ends = ahead.begins + ahead.num * ahead.step_s
    most = max(need.replicas for need in service.needs)
    title = f"{service.name}: replicas needed, has {service.replicas}, at most {most}"
    return curve(title, _stairs(service.needs, ends), least=0.0, ahead=True)


def _stairs(needs: Sequence[NeedView], ends: float) -> list[Point]:
    points: list[Point] = []
    for number_of, need in enumerate(needs):
        until = needs[number_of + 1].at if number_of + 1 < len(needs) else max(ends, need.at + 1.0)
        points += [(need.at, float(need.replicas)), (until, float(need.replicas))]
    return points


def promises_of(kept: PromisesView) -> str:
    """How many promised starts were kept."""
    return f"{kept.num_kept} of {kept.num}" if kept.num else "–"


def tier_of(tier: TierView, over_time: Markup | None) -> Markup:
    """What a tier has, who holds it, and how full it was and will be."""
    ready = f"{tier.ready} of {tier.nodes} nodes ready" if tier.ready != tier.nodes else f"{tier.nodes} nodes"
    held = [_held(name, amount) for name, amount in tier.held.items()]
    return tag(
        "section",
        tag("h3", tier.name, tag("span", ready, class_="quiet")),
        _line("GPUs", tier.total.gpus, tier.free.gpus, number) if tier.total.gpus else None,
        _line("CPUs", tier.total.cpus, tier.free.cpus, number),
        _line("Memory", tier.total.memory_bytes, tier.free.memory_bytes, size),
        tag("p", "held by ", ", ".join(held) if held else "nobody", class_="quiet"),
        over_time,
        class_="tier",
    )


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
