"""How full tiers were and what is ahead of them, as whoever asks may see it.

Knows nothing of HTTP or SQL. The past is what the ledger says was held, the future what the last decision leaves; both
are worked out once and told to everybody who asks within some seconds.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fabric.api.occupancy import (
    LONGEST_AHEAD_S,
    LONGEST_BACK_S,
    MOST_BOOKINGS,
    BookingView,
    NeedView,
    OccupancyView,
    Series,
    ServiceForecast,
    Steps,
    TierOccupancy,
)
from fabric.control.callers import Caller, Permission
from fabric.control.discretion import OTHERS
from fabric.control.draining import node_of_drain
from fabric.control.ports import Ports
from fabric.control.views import amounts_of
from fabric.core.resources import Resources
from fabric.scheduler.ahead import Ahead, Booking, Held, ahead
from fabric.scheduler.forecast import Demand
from fabric.scheduler.replay import Decision
from fabric.scheduler.snapshot import Node, Running, Waiting
from fabric.store.occupancy import HeldOverTime, Mean

T = TypeVar("T")

PAST_STEPS, AHEAD_STEPS = 96, 72
"""Steps of one answer: a day in quarters of an hour, half a day ahead in sixths of one."""
KNOWN_FOR_S = 15.0
"""Seconds for which what was read of the ledger is told again; it grows by the second and the answer by the step."""
MOST_KNOWN = 16
"""Answers that are remembered."""


@dataclass(frozen=True, slots=True)
class _Coming:
    decision: Decision
    steps: Steps
    found: Ahead


class Occupancy:
    """The site over time; safe to call from several threads at once."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._past: dict[int, tuple[float, HeldOverTime]] = {}
        self._coming: dict[int, _Coming] = {}

    def view(self, caller: Caller, back_s: int, ahead_s: int) -> OccupancyView:
        """How full tiers were and will be.

        Args:
            caller: Who asks.
            back_s: How far to look back, in seconds; 0 for not at all.
            ahead_s: How far to look ahead, in seconds; 0 for not at all.

        Raises:
            Denied: If the caller may not see the site.
        """
        caller.require(Permission.SITE)
        now, nodes = self._ports.clock.now(), self._ports.nodes()
        before = self._held(min(back_s, LONGEST_BACK_S), now)
        decision = self._ports.decision()
        coming = None if decision is None or not ahead_s else self._ahead(decision, min(ahead_s, LONGEST_AHEAD_S))
        booked, services = _booked(coming, caller) if coming else ([], [])
        return OccupancyView(
            at=now,
            decided_at=decision.now if decision else None,
            past=_past_steps(before, now),
            ahead=coming.steps if coming else Steps(begins=now, step_s=1.0, num=0),
            tiers=tuple(_tiers(nodes, before, coming)),
            bookings=tuple(booked[:MOST_BOOKINGS]),
            num_bookings=len(booked),
            services=tuple(services),
        )

    def _held(self, back_s: int, now: float) -> HeldOverTime:
        if not back_s:
            return HeldOverTime(now, 1.0, {})
        known = self._past.get(back_s)
        if known is not None and known[0] <= now < known[0] + KNOWN_FOR_S:
            return known[1]
        step_s = float(max(1, math.ceil(back_s / PAST_STEPS)))
        begins = math.floor((now - back_s) / step_s) * step_s
        found = self._ports.ledger.held_over_time(begins, now, step_s)
        _remember(self._past, back_s, (now, found))
        return found

    def _ahead(self, decision: Decision, ahead_s: int) -> _Coming:
        known = self._coming.get(ahead_s)
        # Each question gets a decision object of its own; what was seen when is the same.
        if known and known.decision.snapshot is decision.snapshot and known.decision.now == decision.now:
            return known
        steps = Steps(begins=decision.now, step_s=ahead_s / AHEAD_STEPS, num=AHEAD_STEPS)
        instants = [steps.begins + number * steps.step_s for number in range(steps.num)]
        made = _Coming(decision, steps, ahead(decision.snapshot, decision.plan, decision.now, instants))
        _remember(self._coming, ahead_s, made)
        return made


def _remember(known: dict[int, T], key: int, value: T) -> None:
    if len(known) >= MOST_KNOWN:
        known.clear()
    known[key] = value


def _past_steps(before: HeldOverTime, now: float) -> Steps:
    num = max((len(means) for means in before.tiers.values()), default=0)
    return Steps(begins=before.begins if num else now, step_s=before.step_s, num=num)


def _tiers(nodes: Iterable[Node], before: HeldOverTime, coming: _Coming | None) -> Iterator[TierOccupancy]:
    total: dict[str, Resources] = {}
    for node in nodes:
        total[node.tier] = total.get(node.tier, Resources()) + node.capacity
    for name in sorted(total):
        steps = coming.found.tiers.get(name, ()) if coming else ()
        yield TierOccupancy(
            name=name,
            total=amounts_of(total[name]),
            past=_of_means(before.tiers.get(name, ())),
            running=_series(steps, lambda held: held.running),
            kept=_series(steps, lambda held: held.kept),
            away=_series(steps, lambda held: held.away),
        )


def _of_means(means: Sequence[Mean]) -> Series:
    return Series(
        cpus=tuple(round(each[0] / 1000, 3) for each in means),
        gpus=tuple(round(each[1] / 1000, 3) for each in means),
        memory_bytes=tuple(round(each[2], 0) for each in means),
    )


def _series(steps: Sequence[Held], part: Callable[[Held], Resources]) -> Series:
    found = [part(step) for step in steps]
    return Series(
        cpus=tuple(each.cpus.whole() for each in found),
        gpus=tuple(each.gpus.whole() for each in found),
        memory_bytes=tuple(float(each.memory.count) for each in found),
    )


def _booked(coming: _Coming, caller: Caller) -> tuple[list[BookingView], list[ServiceForecast]]:
    """Claims on what is ahead, and forecasts; both without what is none of the caller's."""
    seen, until = coming.decision.snapshot, coming.steps.begins + coming.steps.num * coming.steps.step_s
    known: list[Waiting | Running] = [*seen.waiting, *seen.running]
    theirs = {work.name for work in known if caller.project not in (None, work.project)}
    services = [
        _forecast(work, work.told.demand, coming.decision.now, until)
        for work in seen.running
        if work.service and work.name not in theirs and work.told is not None and work.told.demand is not None
    ]
    booked = [_booking(each, theirs) for each in coming.found.bookings if each.start < until]
    return booked, sorted(services, key=lambda each: each.name)


def _booking(booking: Booking, theirs: Collection[str]) -> BookingView:
    node = node_of_drain(booking.name) if booking.kind == "window" else None
    hidden = booking.kind in {"promise", "forecast"} and booking.name in theirs
    return BookingView(
        kind=booking.kind if node is None else "drain",
        name=OTHERS if hidden else node or booking.name,
        starts_at=booking.start,
        ends_at=booking.end if math.isfinite(booking.end) else None,
        amounts={tier: amounts_of(amount) for tier, amount in booking.amounts.items()},
        nodes=booking.nodes,
        replicas=booking.replicas,
    )


def _forecast(work: Running, demand: Demand, now: float, until: float) -> ServiceForecast:
    """What a service will need, told where it changes."""
    first = max(0, math.floor((now - demand.start_s) / demand.step_s))
    needs: list[NeedView] = []
    for number in range(first, len(demand.replicas)):
        at = max(now, demand.start_s + number * demand.step_s)
        if at >= until:
            break
        if not needs or needs[-1].replicas != demand.replicas[number]:
            needs.append(NeedView(at=at, replicas=demand.replicas[number]))
    group = work.replicas or work.elastic
    has = work.grant.size(group.name) if group is not None else 0
    return ServiceForecast(name=work.name, replicas=has, needs=tuple(needs), method=demand.method)
