"""The command `top`: the site at one glance.

Knows nothing of how it is found out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from fabric.cli import show, watching
from fabric.cli.jobs import Json, message, placement
from fabric.cli.session import Session, session
from fabric.core.errors import BadInput

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fabric.api.admin import WorkloadView
    from fabric.api.occupancy import BookingView, OccupancyView
    from fabric.api.overview import Amounts, Overview, PromisesView, TierView

MOST_SHOWN = 15
"""Waiting workloads in the list; the others are counted."""

TIERS = ("TIER", "NODES", "GPUS", "CPUS", "MEMORY", "HELD BY")
"""Heads of the list of tiers; amounts are free / there."""
QUEUE = ("WAITS", "CLASS", "AGE", "STARTS", "WHY")
"""Heads of the list of waiting workloads."""
AHEAD = ("AHEAD", "FROM", "UNTIL", "AMOUNT", "FOR")
"""Heads of the list of what is set aside or taken away."""
MOST_AHEAD = 8
"""Lines in that list; the others are counted."""
SERVICES = ("SERVES", "STATE", "AGE", "ON", "MESSAGE")
"""Heads of the list of services."""


def top(
    ctx: typer.Context,
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show changes until Ctrl-C; usual on a terminal.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Show it once; usual where no terminal is.")] = False,
) -> None:
    """Show tiers, queue, services, how promised starts were kept, and, not as JSON, what is set aside ahead.

    Raises:
        BadInput: If it shall go on and not go on.
    """
    if watch and once:
        raise BadInput("--watch goes on and --once does not. Give one of them.")
    to = session(ctx)
    if watch or (sys.stdout.isatty() and not once and not json):
        if json:
            watching.go_on(lambda: _look(to), _drawn, json=show.as_json, same=_same)
        watching.go_on(lambda: (_look(to), _ahead(to)), lambda seen: _drawn(*seen))
    if json:
        show.as_json(_look(to))
    else:
        show.console().print(_drawn(_look(to), _ahead(to)))


def _look(to: Session) -> Overview:
    with to.client() as client:
        return client.overview()


def _ahead(to: Session) -> OccupancyView:
    with to.client() as client:
        return client.occupancy(back_s=0)


def _same(one: Overview, other: Overview) -> bool:
    return one.model_copy(update={"at": other.at}) == other


def _drawn(found: Overview, coming: OccupancyView | None = None) -> RenderableType:
    from rich.console import Group

    return Group(*_parts(found, coming))


def _parts(found: Overview, coming: OccupancyView | None) -> Iterator[RenderableType]:
    running = ", ".join(f"{count} {name}" for name, count in found.running.items()) or "none"
    yield f"{found.site} at {show.clock(found.at)}: {found.num_waiting} wait, jobs that run: {running}"
    yield show.table(TIERS, (_tier(tier) for tier in found.tiers))
    if found.queue:
        yield ""
        yield show.table(QUEUE, (_waits(view, found.at) for view in found.queue[:MOST_SHOWN]))
        if found.num_waiting > MOST_SHOWN:
            yield f"and {found.num_waiting - MOST_SHOWN} more"
    if found.services:
        yield ""
        yield show.table(SERVICES, (_serves(view, found.at) for view in found.services))
    if coming is not None and coming.bookings:
        yield ""
        yield show.table(AHEAD, map(_booked, coming.bookings[:MOST_AHEAD]))
        if coming.num_bookings > MOST_AHEAD:
            yield f"and {coming.num_bookings - MOST_AHEAD} more"
    yield ""
    if found.use is not None:
        yield f"uses       {found.use.words()}, by the {found.num_measured} of {found.num_holding} that are measured"
    yield promises_line(found.promises)


def _booked(booking: BookingView) -> tuple[object, ...]:
    until = "-" if booking.ends_at is None else show.clock(booking.ends_at)
    amount = "; ".join(f"{tier} {_amounts(each)}" for tier, each in booking.amounts.items()) or "-"
    return booking.kind, show.clock(booking.starts_at), until, amount, booking.name


def _tier(tier: TierView) -> tuple[object, ...]:
    nodes = str(tier.nodes) if tier.ready == tier.nodes else f"{tier.ready} of {tier.nodes}"
    gpus = f"{tier.free.gpus:g} / {tier.total.gpus:g}" if tier.total.gpus else "-"
    held = "; ".join(f"{name} {_amounts(amounts)}" for name, amounts in tier.held.items()) or "-"
    memory = f"{show.size(tier.free.memory_bytes)} / {show.size(tier.total.memory_bytes)}"
    return tier.name, nodes, gpus, f"{tier.free.cpus:g} / {tier.total.cpus:g}", memory, held


def _amounts(amounts: Amounts) -> str:
    return show.amounts(amounts.cpus, amounts.gpus, amounts.memory_bytes)


def _waits(view: WorkloadView, now: float) -> tuple[object, ...]:
    starts = "-"
    if view.expected_start is not None:
        starts = f"{'by' if view.promised else 'about'} {show.clock(view.expected_start)}"
    return view.name, view.priority, show.since(view.submitted_at, now), starts, view.message


def _serves(view: WorkloadView, now: float) -> tuple[object, ...]:
    state = f"{view.state} ({view.condition})" if view.condition else view.state
    return view.name, state, show.since(view.submitted_at, now), placement(view), message(view)


def promises_line(found: PromisesView) -> str:
    """How promised starts were kept, in one line."""
    if found.p50_s is None or found.p95_s is None or found.worst_s is None:
        return "promises   nobody who has started was promised a start"
    share = f"{found.num_kept} of {found.num} kept ({found.num_kept / found.num:.1%}, within {found.within_s:g} s)"
    errors = f"median {found.p50_s:+.1f} s, p95 {found.p95_s:+.1f} s, worst {found.worst_s:+.1f} s"
    return f"promises   {share}; start against promise: {errors}"
