"""Scale services: to their peak for ever, or after what they need.

Knows nothing of who makes room for a replica; that is asked of the peer.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from pydantic import Field

from fabric.config.settings import Settings
from fabric.scheduler.shape import Part, Shape, shape_of
from fabric.scheduler.sizes import at_size
from fabric.scheduler.snapshot import Running, Waiting
from fabric.simulator.peers.board import workers_in
from fabric.simulator.peers.calendar import room_now
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.gangs import alone, shrunk, size_of
from fabric.simulator.peers.lots import Lot
from fabric.simulator.peers.settings import SERVING_RANK
from fabric.simulator.peers.victims import Asker, keep_room

MakeReplicaRoom = Callable[[Running, Shape], bool]
"""Let others leave for replicas that do not fit; whether anything was set in motion."""


def nobody_leaves(service: Running, shape: Shape) -> bool:
    """Nobody leaves for a replica."""
    return False


class Autoscaling(Settings):
    """How services follow their demand."""

    headroom: float = Field(default=0.1, ge=0)
    """Replicas kept beyond those needed, as a share of them, rounded up. The Horizontal Pod Autoscaler reaches the same
    by a target below full load; a tenth is also its tolerance, within which it leaves the number alone."""

    look_s: float = Field(default=0.0, ge=0)
    """How far ahead need is looked at, in seconds; 0 is reactive, as the Horizontal Pod Autoscaler is."""

    settle_s: float = Field(default=300.0, ge=0)
    """Seconds after a change of size before a service shrinks; default of the HPA's downscale stabilisation."""


def wanted(service: Running, how: Autoscaling, now: float) -> int:
    """Replicas that a service should have now; what it has, where it says nothing of its demand."""
    group, told = service.elastic, service.told
    if group is None:
        return 0
    if told is None or told.demand is None:
        asked = service.wants if service.wants is not None else size_of(service)
        return max(group.least, min(group.most, asked))
    needed = told.demand.peak(now, now + how.look_s) if how.look_s else told.demand.needed(now)
    asked = math.ceil(round(needed * (1 + how.headroom), 9))
    steps = math.ceil(max(0, asked - group.least) / group.step)
    return min(group.least + steps * group.step, group.most - (group.most - group.least) % group.step)


def at_peak(service: Running, peaks: Mapping[str, int]) -> int:
    """Replicas that a service holds all the time on nodes of its own."""
    group = service.elastic
    return 0 if group is None else max(group.least, min(group.most, peaks.get(service.name, group.most)))


def replicas(service: Running) -> Part | None:
    """The part of a service whose number changes."""
    return shape_of((service.elastic,)).parts[0] if service.elastic else None


def services(draft: Draft) -> list[Running]:
    """Services that hold a grant and are not about to leave, by class and name."""
    running = draft.snapshot.running
    found = (work for work in running if work.service and work.elastic and work.name not in draft.leaving)
    return sorted(found, key=lambda work: (work.rank, work.name))


def begin(
    draft: Draft, sizes: Mapping[str, int] | None = None, *, make_room: Callable[[Waiting, Asker], bool] | None = None
) -> None:
    """Start waiting services, which are what waits in the most urgent class, on nodes that serve.

    Args:
        draft: What is decided so far; gets what is decided here.
        sizes: Replicas by name; the most that it may have where a service is left out, as asked without `sizes`.
        make_room: Asked where there is no room.
    """
    for work in draft.ready:
        if work.rank != SERVING_RANK:
            continue
        shape, group = work.shape, work.elastic
        if group is not None and sizes is not None:
            size = max(group.least, min(group.most, sizes.get(work.name, group.most)))
            shape = at_size(shape, group.name, size)
        for lot in lots_of_service(draft, shape.parts[0]):
            pieces = room_now(draft.board, shape, lot)
            if pieces is not None:
                draft.start(work, pieces)
            elif make_room is not None and make_room(work, Asker(work.name, shape, lot)):
                pass
            else:
                continue
            break


def scale(
    draft: Draft,
    sizes: Mapping[str, int],
    *,
    settle_s: float = 0.0,
    make_room: MakeReplicaRoom = nobody_leaves,
) -> None:
    """Bring services to their sizes: shrink those that have too much, then grow the others as far as there is room.

    A service that is being resized gets nothing, but room for what it lacks is kept from others.

    Args:
        draft: What is decided so far; gets what is decided here.
        sizes: Replicas by name of the service.
        settle_s: Seconds after a change of size before a service shrinks.
        make_room: Asked for replicas for which there is no room, also none that is about to be free.
    """
    known = [work for work in services(draft) if work.name in sizes]
    for service in known:
        if draft.movable(service) and size_of(service) > sizes[service.name] and draft.now - service.since >= settle_s:
            _give_back(draft, service, sizes[service.name])
    for service in known:
        missing = sizes[service.name] - size_of(service)
        if missing > 0 and service.settled and draft.movable(service):
            _get(draft, service, missing, make_room)
        elif missing > 0 and not service.settled:
            _keep(draft, service, missing)


def lots_of_service(draft: Draft, part: Part) -> Sequence[Lot]:
    """Where replicas may go: the fastest tier only, unless they name another."""
    fitting = [lot for lot in draft.lots.serving if part.tier in (None, lot.tier)]
    return fitting if part.tier else fitting[:1]


def _give_back(draft: Draft, service: Running, size: int) -> None:
    if service.elastic is None or size < 1:
        return
    grant = shrunk(service.grant, service.elastic.name, size)
    if grant is not None:
        draft.shrink(service, grant, f"needs {size} replicas")


def _get(draft: Draft, service: Running, missing: int, make_room: MakeReplicaRoom) -> None:
    """Grow on what is free; for the rest wait for what is about to be free, or ask others to leave."""
    part = replicas(service)
    if part is None:
        return
    board = draft.board
    for lot in lots_of_service(draft, part):
        count = min(missing, board.count(part, lot))
        pieces = board.find(alone(part, count), lot, board.free, head=False) if count > 0 else None
        if pieces:
            missing -= count
            draft.grow(service, pieces, f"needs {size_of(service) + count} replicas")
    missing = _keep(draft, service, missing)
    while missing > 0 and not make_room(service, alone(part, missing)):
        missing -= 1


def _keep(draft: Draft, service: Running, missing: int) -> int:
    """Keep what is about to be free from others; how many replicas are still missing."""
    part = replicas(service)
    for lot in lots_of_service(draft, part) if part else ():
        count = min(missing, workers_in(part, lot.rows, draft.board.soon)) if part else 0
        if part and count > 0 and keep_room(draft, Asker(service.name, alone(part, count), lot, head=False)):
            missing -= count
    return missing
