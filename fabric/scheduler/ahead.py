"""What is ahead of a site, as the availability profile of its last decision knows it: how full each tier will be.

Knows nothing of who may see it. Running work stays until its walltime ends, and for ever where it has none.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from fabric.core.resources import Resources
from fabric.scheduler.columns import Amounts, Flags, Slot, amount_of, resources_of, subtract
from fabric.scheduler.plan import Plan
from fabric.scheduler.profile import Change, Profile
from fabric.scheduler.snapshot import Claim, NodeState, Running, Snapshot

Kind = Literal["window", "claim", "promise", "forecast"]
"""Whole nodes are taken away; a part of them is; a start was promised; a service will need replicas again."""


@dataclass(frozen=True, slots=True)
class Booking:
    """A claim on future capacity."""

    kind: Kind
    name: str
    """Of the window, of who waits, or of the service."""
    start: float
    """Seconds since the epoch, like `end`."""
    end: float
    """Infinite where nothing says."""
    amounts: Mapping[str, Resources]
    """By tier."""
    nodes: int = 0
    """Of a window or claim: nodes that it is about."""
    replicas: int = 0
    """Of a forecast."""


@dataclass(frozen=True, slots=True)
class Held:
    """A tier at one instant; the three never overlap."""

    running: Resources
    """What those have who run now, or start now, and have not ended by then."""
    kept: Resources
    """What is set aside on top: promised starts, forecasts, claims on parts of nodes."""
    away: Resources
    """What is nobody's: nodes that are not ready, and those that a window takes."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """The coming hours."""

    total: Mapping[str, Resources]
    """What the nodes of each tier have, whatever their state."""
    tiers: Mapping[str, tuple[Held, ...]]
    """Each tier at each of the instants that were asked for."""
    bookings: tuple[Booking, ...]
    """By start, then name."""


def ahead(snapshot: Snapshot, plan: Plan, now: float, instants: Sequence[float]) -> Ahead:
    """What a decision leaves for the coming hours.

    Args:
        snapshot: What was seen.
        plan: What was decided.
        now: When, in seconds since the epoch.
        instants: When to look, in order, none before `now`.
    """
    site = snapshot.site
    seen = replace(snapshot, running=tuple(_leaving(snapshot.running, plan, now)))
    stays_s = {work.name: work.duration_s for work in snapshot.waiting}
    starts = [
        change
        for place in plan.placed
        for change in _span(site.slots(place.grant.slices), now, now + stays_s.get(place.workload, math.inf))
    ]
    kept = [
        change
        for name, promise in plan.promises.items()
        for change in _span(promise.slots, promise.start, promise.start + stays_s.get(name, math.inf))
    ]
    kept += [change for each in plan.foreseen for change in _span(each.slots, each.start, math.inf)]
    whole = np.array([amount_of(node.capacity) for node in seen.nodes], dtype=np.int64).reshape(-1, 3)
    ready = np.array([node.state is NodeState.READY for node in seen.nodes], dtype=np.bool_)
    windows = _Windows.of(seen.claims, site.row)
    rows = {tier: site.rows_of[tier] for tier in site.tiers}
    found: dict[str, list[Held]] = {tier: [] for tier in rows}
    free_of_work = _walk(Profile(replace(seen, claims=()), now), starts, instants)
    free_of_all = _walk(Profile(seen, now), [*starts, *kept], instants)
    for instant, work, everything in zip(instants, free_of_work, free_of_all, strict=True):
        taken = windows.at(instant, len(whole)) & ready
        held = np.clip(site.capacity - work, 0, whole)
        held[taken] = 0
        gone = np.where(ready[:, None], 0, whole - held)
        gone[taken] = whole[taken]
        aside = np.clip(site.capacity - np.maximum(everything, 0) - held, 0, None)
        aside[taken | ~ready] = 0
        for tier, of_tier in rows.items():
            found[tier].append(
                Held(*(resources_of(part[of_tier].sum(axis=0).tolist()) for part in (held, aside, gone)))
            )
    return Ahead(
        total={tier: resources_of(whole[of_tier].sum(axis=0).tolist()) for tier, of_tier in rows.items()},
        tiers={tier: tuple(steps) for tier, steps in found.items()},
        bookings=bookings_of(snapshot, plan, now),
    )


def bookings_of(snapshot: Snapshot, plan: Plan, now: float) -> tuple[Booking, ...]:
    """Every claim on capacity after `now`, by start, then name."""
    site = snapshot.site
    stays_s = {work.name: work.duration_s for work in snapshot.waiting}
    found = [_claimed(claim, snapshot) for claim in snapshot.claims if claim.end > now]
    for name, promise in plan.promises.items():
        end = promise.start + stays_s.get(name, math.inf)
        found.append(Booking("promise", name, promise.start, end, _by_tier(promise.slots, site.tier_of)))
    for each in plan.foreseen:
        amounts = _by_tier(each.slots, site.tier_of)
        found.append(Booking("forecast", each.service, each.start, math.inf, amounts, replicas=each.replicas))
    return tuple(sorted(found, key=lambda booking: (booking.start, booking.name)))


def _claimed(claim: Claim, snapshot: Snapshot) -> Booking:
    nodes = [snapshot.nodes[snapshot.site.row[name]] for name in claim.nodes if name in snapshot.site.row]
    whole = claim.amount is None
    slots = [
        (snapshot.site.row[node.name], *amount_of(node.capacity if claim.amount is None else claim.amount))
        for node in nodes
    ]
    amounts = _by_tier(slots, snapshot.site.tier_of)
    return Booking("window" if whole else "claim", claim.name, claim.start, claim.end, amounts, len(nodes))


def _by_tier(slots: Iterable[Slot], tier_of: Sequence[str]) -> Mapping[str, Resources]:
    found: dict[str, Resources] = {}
    for row, *amount in slots:
        tier = tier_of[row]
        found[tier] = found.get(tier, Resources()) + resources_of(amount)
    return dict(sorted(found.items()))


def _leaving(running: Iterable[Running], plan: Plan, now: float) -> Iterator[Running]:
    """What runs, those that the plan asks to leave ending with their grace."""
    asked = {action.workload: now + action.grace_s for action in plan.preempted}
    for work in running:
        by = asked.get(work.name)
        yield work if by is None else replace(work, ends=by if work.ends is None else min(by, work.ends))


def _span(slots: Iterable[Slot], start: float, end: float) -> Iterator[Change]:
    for slot in slots:
        yield start, slot, -1
        if end < math.inf:
            yield end, slot, 1


def _walk(profile: Profile, more: Iterable[Change], instants: Iterable[float]) -> Iterator[Amounts]:
    """What each node has free at each instant, with changes beside those of the profile; below zero where too much is.

    The table is the same one each time, changed.
    """
    changes, free, done = sorted([*profile.changes(), *more]), profile.free_at(profile.now), 0
    for instant in instants:
        while done < len(changes) and changes[done][0] <= instant:
            _, slot, sign = changes[done]
            subtract(free, (slot,), sign=-sign)
            done += 1
        yield free


@dataclass(frozen=True, slots=True)
class _Windows:
    """Whole nodes that are taken away, by start."""

    claims: tuple[tuple[float, float, tuple[int, ...]], ...]
    starts: tuple[float, ...]

    @classmethod
    def of(cls, claims: Iterable[Claim], row: Mapping[str, int]) -> "_Windows":
        # During one of a project its work is there: that is set aside, and not away.
        nobodys = (claim for claim in claims if claim.amount is None and claim.project is None)
        whole = sorted(nobodys, key=lambda claim: (claim.start, claim.name))
        spans = ((each.start, each.end, tuple(row[name] for name in each.nodes if name in row)) for each in whole)
        return cls(tuple(spans), tuple(each.start for each in whole))

    def at(self, instant: float, num_nodes: int) -> Flags:
        """Which nodes are taken at an instant."""
        taken = np.zeros(num_nodes, dtype=np.bool_)
        for _, end, rows in self.claims[: bisect_right(self.starts, instant)]:
            if instant < end:
                taken[list(rows)] = True
        return taken
