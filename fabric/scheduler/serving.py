"""Give services the replicas that they need: now what is needed by the time a replica would be ready, later on claims.

Knows nothing of requests: the need comes as a forecast in replicas, or from a person as a number.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fabric.scheduler.columns import Slot
from fabric.scheduler.forecast import Demand
from fabric.scheduler.outlook import Leaves, leaves_of
from fabric.scheduler.placement import Piece, place
from fabric.scheduler.plan import Foreseen, Resize
from fabric.scheduler.readiness import staging_on
from fabric.scheduler.room import RoomMaker
from fabric.scheduler.shape import Shape, shape_of
from fabric.scheduler.sizes import at_size, freed, grown, shrunk
from fabric.scheduler.snapshot import Running, Waiting
from fabric.scheduler.whatif import WhatIf
from fabric.workloads.spec import Group

WORTH_STAGINGS = 3
"""A replica is given up only if it will not be needed for that many times what its start takes, beside the start.
Three keeps at least two thirds of a loan for work; a choice, not a measurement."""

CLAIM_EDGES_S = (1800.0, 7200.0, 21600.0)
"""Ends of the spans ahead for each of which the largest need is claimed, in seconds; a choice."""


@dataclass(frozen=True, slots=True)
class Need:
    """How many replicas a service should have."""

    service: Running
    group: Group
    size: int
    """Present one."""
    now: int
    """Needed by the time at which a replica that starts now would be ready."""
    lasting: int
    """Needed at some time before giving one back would have been worth it."""
    demand: Demand | None
    lead_s: float
    why: str


def serve(world: WhatIf, rooms: RoomMaker) -> None:
    """Grow services that need more, shrink those that lend, and lay claims on what they will need again.

    The growth of all comes first, so that nobody's claim is in the way of anybody's need.
    """
    services = (work for work in world.snapshot.running if work.service)
    needs = [need for work in services if (need := need_of(work, world)) is not None]
    for need in needs:
        if need.now > need.size:
            _grow(need, world, rooms)
        elif need.lasting < need.size:
            _shrink(need, world)
    for need in needs:
        if need.demand is not None:
            rises = need.demand.rises_above(max(need.size, need.now), world.now)
            world.looks += [rises - need.lead_s] if rises is not None else []
            if world.policy.loans:
                _claim(need, need.demand, world)


def need_of(work: Running, world: WhatIf) -> Need | None:
    """What a service needs; None where nothing says, or where it is leaving or letting go of replicas just now."""
    group, told = work.elastic, work.told
    if group is None or not work.service or not work.resizable or work.name in world.moving:
        return None
    size = work.grant.size(group.name)
    if work.wants is not None:
        wanted = _within(group, work.wants)
        return Need(work, group, size, wanted, wanted, None, 0.0, f"scaled to {wanted} replicas by request")
    if told is None or told.demand is None:
        return None
    demand, lead_s = told.demand, lead_of(work, group, world) + world.snapshot.grace_s
    share = world.policy.headroom
    soon = _within(group, _with_spare(demand.peak(world.now, world.now + lead_s), share))
    lasting = _within(group, _with_spare(demand.peak(world.now, world.now + (1 + WORTH_STAGINGS) * lead_s), share))
    lasting = max(lasting, soon) if world.policy.loans else size
    return Need(work, group, size, soon, lasting, demand, lead_s, f"needs {soon} replicas in {lead_s:.0f} s")


def lead_of(work: Running, group: Group, world: WhatIf) -> float:
    """Seconds from the start of a replica until it is ready.

    As the service says; otherwise as its tier's starts make probable, and at least what its own last start took.
    """
    if work.told is not None and work.told.lead_s:
        return work.told.lead_s
    known = world.snapshot.known
    tiers = {part.tier for part in work.grant.slices if part.group == group.name and part.tier in known.priors}
    shape = shape_of((group,))
    return max([work.staged_s, *(staging_on(shape, tier, known).safe_s for tier in tiers)])


def _with_spare(replicas: int, share: float) -> int:
    """Replicas with so large a share of them beside, rounded up."""
    return replicas + math.ceil(round(replicas * share, 9))


def _within(group: Group, replicas: int) -> int:
    return min(group.most, max(group.least, replicas))


def _grow(need: Need, world: WhatIf, rooms: RoomMaker) -> None:
    """Add the replicas that fit now, and let others make room for the rest."""
    _, missing = add(need, need.now - need.size, world)
    if missing:
        ask_others(need, missing, world, rooms)


def add(need: Need, missing: int, world: WhatIf, instead_of: Sequence[Slot] = ()) -> tuple[int, int]:
    """Add as many replicas as fit now, within the limits of the service's project.

    Args:
        need: Of the service.
        missing: Replicas that it should have more.
        world: The decision so far.
        instead_of: What it will give back for them; while it moves, its project may hold both.

    Returns:
        Replicas that were added, and those that it may have beside, for which others would have to make room.
    """
    work, group, limits, added = need.service, need.group, world.limits, 0
    limits.give_back(work.project, instead_of)
    missing = _allowed(work, group, missing, world)
    for count in range(missing, 0, -1):
        pieces = placed(work, group, count, world)
        slots = tuple(piece.slot for piece in pieces)
        if slots and limits.refused_slots(work.project, slots):
            missing = count - 1  # what is charged may be more than what was asked for
        elif slots:
            world.take(work.project, slots, float("inf"))
            grant, added = grown(work.grant, pieces, world.snapshot.site), count
            why = f"grows from {need.size} to {need.size + count} replicas: {need.why}"
            world.resized[work.name] = Resize(work.name, need.size, need.size + count, grant, 0.0, why)
            break
    limits.take(work.project, instead_of)
    return added, missing - added


def _allowed(work: Running, group: Group, missing: int, world: WhatIf) -> int:
    """As many of the replicas that are missing as the limits of its project let it have, where it runs now."""
    tier = group.tier or next((part.tier for part in work.grant.slices if part.group == group.name), None)
    here = group.model_copy(update={"tier": tier})
    counts = range(missing, 0, -1)
    return next((n for n in counts if not world.limits.refused(work.project, _shape(here, n), None)), 0)


def ask_others(need: Need, missing: int, world: WhatIf, rooms: RoomMaker) -> None:
    """Let others make room for replicas, as many as they can, and keep it until the replicas can start."""
    work, group = need.service, need.group
    for count in range(missing, 0, -1):
        shape = _shape(group, count)
        asker = Waiting(
            f"{work.name}: {count} replicas", work.rank, work.submitted, (_group(group, count),), None,
            project=work.project, service=True,
        )  # fmt: skip
        made = rooms.make(asker, shape)
        if made or count == 1 or _comes_back(asker, shape, world):
            found = world.outlook.earliest_start(
                work.project, Leaves.FOR_WINDOWS, shape,
                duration_s=float("inf"), horizon_s=world.snapshot.grace_s + 1.0,
            )  # fmt: skip
            if found:
                world.hold(found[1].slots, found[0], float("inf"))
            if made or found:
                return


def _comes_back(asker: Waiting, shape: Shape, world: WhatIf) -> bool:
    by = world.now + world.snapshot.grace_s
    room = world.outlook.room_after(asker.project, leaves_of(asker), by, float("inf"))
    return not place(shape, room, world.snapshot.site, None).lacks


def _shrink(need: Need, world: WhatIf) -> None:
    work, group = need.service, need.group
    kept = shrunk(work.grant, group, need.lasting, world.snapshot.site)
    if kept is None:
        return
    slots = freed(work.grant, group, need.lasting, world.snapshot.site)
    world.leaves(work, slots, world.now + world.snapshot.grace_s)
    why = f"shrinks from {need.size} to {need.lasting} replicas: {need.why}"
    world.resized[work.name] = Resize(work.name, need.size, need.lasting, kept, world.snapshot.grace_s, why)


def _claim(need: Need, demand: Demand, world: WhatIf) -> None:
    """Keep what the service will need again, from when it must have it so that replicas are ready in time."""
    have, since, one = max(need.size, need.now), world.now, None
    for edge_s in CLAIM_EDGES_S:
        until = world.now + edge_s
        peak = _within(need.group, _with_spare(demand.peak(since, until), world.policy.headroom))
        if peak > have:
            rises = demand.rises_above(have, since)
            start = max(world.now + 1.0, (rises if rises is not None else until) - need.lead_s)
            one = one or shape_of((need.group,))
            _keep(need.service, at_size(one, need.group.name, peak - have), start, world)
            have = peak
        since = until


def _keep(service: Running, shape: Shape, start: float, world: WhatIf) -> None:
    """Lay a claim on the replicas if they fit at an instant."""
    room = world.outlook.room_after(service.project, Leaves.FOR_WINDOWS, start, start + 1.0)
    attempt = place(shape, room, world.snapshot.site, None)
    if not attempt.lacks:
        world.outlook.lend_until(attempt.slots, start, float("inf"))
        replicas = sum(part.count for part in shape.parts)
        world.foreseen.append(Foreseen(service.name, replicas, start, tuple(attempt.slots)))


def placed(work: Running, group: Group, count: int, world: WhatIf) -> tuple[Piece, ...]:
    """Where so many more replicas can start now, and stay at least until a window; nowhere if they do not all fit."""
    for room in world.outlook.rooms(work.project, Leaves.FOR_WINDOWS, float("inf")):
        attempt = place(_shape(group, count), room, world.snapshot.site, None, scores=world.scores)
        if not attempt.lacks:
            return tuple(replace(piece, head=False) for piece in attempt.pieces)
    return ()


def _shape(group: Group, count: int) -> Shape:
    return at_size(shape_of((group,)), group.name, count)


def _group(group: Group, count: int) -> Group:
    return group.model_copy(update={"count": count, "min": None, "max": None})
