"""Who must be away when a window takes their nodes: asked in time to leave or to shrink, or replaced first.

Knows nothing of queues: whoever left waits again like anybody else, and starts where no window is near.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fabric.scheduler.columns import NodeColumns
from fabric.scheduler.outlook import Leaves
from fabric.scheduler.placement import place, why
from fabric.scheduler.plan import Preempt, Resize
from fabric.scheduler.room import RoomMaker
from fabric.scheduler.serving import Need, add, ask_others, lead_of, need_of
from fabric.scheduler.sizes import given_back, shrunk
from fabric.scheduler.snapshot import Claim, Running, Waiting
from fabric.scheduler.whatif import WhatIf
from fabric.workloads.record import Grant
from fabric.workloads.spec import Group

_OnNodes = Mapping[str, Sequence[int]]
"""Numbers of the windows that take each node."""


@dataclass(frozen=True, slots=True)
class _Due:
    """What somebody must be away for."""

    nodes: frozenset[str]
    """That it must leave now."""
    windows: tuple[Claim, ...]
    """Which take them, by start."""

    @property
    def reason(self) -> str:
        """For people."""
        return f"{', '.join(sorted(self.nodes))}, taken away by {_named(self.windows[0])}"


def clear(world: WhatIf, rooms: RoomMaker) -> None:
    """Let everybody leave the nodes that are about to be taken away, as late as the grace allows.

    Elastic work goes on with the workers that it has elsewhere, if these are enough for it. A service gets its replicas
    elsewhere first, so much earlier that they are ready by then; one whose Ray head is on such a node starts anew.
    """
    windows: dict[str, list[int]] = {}
    for number, claim in enumerate(world.outlook.windows):
        for node in claim.nodes:
            windows.setdefault(node, []).append(number)
    for work in world.snapshot.running:
        if work.service and work.settled and work.replicas is not None:
            _keep_serving(work, work.replicas, windows, world, rooms=rooms)
        elif windows and work.movable:
            due = _due(work, windows, world)
            if due is not None:
                _leave(work, work.elastic if work.resizable else None, due, world)


def say_which_window(work: Waiting, world: WhatIf) -> None:
    """Tell one who would fit now, were it not for a window, which one it is."""
    if not world.outlook.windows or work.name in world.placed:
        return
    end, least = world.now + work.duration_s, world.least(work)
    unclosed = world.outlook.seen(work.project, Leaves.FOR_WINDOWS).room(end)
    first = next((claim for claim in world.outlook.shut_out(work.project) if claim.start < end), None)
    if first is None or place(least, unclosed, world.snapshot.site, world.head).lacks:
        return
    before = world.notes.get(work.name)
    kept = f"would not be done before {_named(first)}"
    world.notes[work.name] = f"{before}; {kept}" if before else kept


def _due(work: Running, windows: _OnNodes, world: WhatIf, lead_s: float = 0.0) -> _Due | None:
    """What running work must be away for at this instant; None for nothing, and it is looked at again in time."""
    outlook, open_to = world.outlook, world.outlook.let_in(work.project)
    nodes: set[str] = set()
    claims: list[int] = []
    for part in work.grant.slices:
        for number in windows.get(part.node, ()):
            claim = outlook.windows[number]
            if number in open_to or (work.ends is not None and work.ends <= claim.start):
                continue
            call = claim.start - outlook.notice_s - lead_s
            if call > world.now:
                world.looks.append(call)
                continue
            nodes.add(part.node)
            claims.append(number)
    by_start = tuple(outlook.windows[number] for number in sorted(set(claims)))
    return _Due(frozenset(nodes), by_start) if nodes else None


def _leave(work: Running, group: Group | None, due: _Due, world: WhatIf) -> None:
    """Let work go on with what it has elsewhere, if that is enough; otherwise ask it to leave."""
    site, grace_s = world.snapshot.site, world.snapshot.grace_s
    kept = _elsewhere(work, group, due.nodes, site) if group is not None else None
    if kept is None or group is None:
        world.leaves(work, work.slots, world.now + grace_s)
        world.preempted[work.name] = Preempt(work.name, grace_s, due.reason)
        return
    before, after = work.grant.size(group.name), kept.size(group.name)
    _go_on(work, group, kept, world, reason=f"goes on with {after} of {before} workers: {due.reason}")


def _elsewhere(work: Running, group: Group, nodes: frozenset[str], site: NodeColumns) -> Grant | None:
    """The largest part of a grant that is off some nodes; None if it is not enough to go on with."""
    gone = [part for part in work.grant.slices if part.node in nodes]
    if any(part.head or part.group != group.name for part in gone):
        return None
    slices = tuple(part for part in work.grant.slices if part.node not in nodes)
    kept = Grant(slices, why(slices))
    size, least = kept.size(group.name), 1 if work.service else group.least
    if size < least:
        return None
    surplus = 0 if work.service else (size - least) % group.step
    return shrunk(kept, group, size - surplus, site) if surplus else kept


def _keep_serving(work: Running, group: Group, windows: _OnNodes, world: WhatIf, *, rooms: RoomMaker) -> None:
    """Bring a service off nodes that are about to be taken away, and back to its size once that is over."""
    lead_s = lead_of(work, group, world)
    soon, now = _due(work, windows, world, lead_s), _due(work, windows, world)
    if soon is None and work.elastic is not None:
        return
    need, size = need_of(work, world), work.grant.size(group.name)
    wanted = need.now if need is not None else group.count
    world.moving.add(work.name)
    gone = [part for part in work.grant.slices if soon is not None and part.node in soon.nodes]
    staying = size - sum(part.workers for part in gone if part.group == group.name)
    if staying < wanted and all(part.group == group.name and not part.head for part in gone):
        reason = f"in place of those on {soon.reason}" if soon else "as many as were asked for"
        need, slots = Need(work, group, size, wanted, wanted, None, lead_s, reason), world.snapshot.site.slots(gone)
        added, missing = add(need, wanted - staying, world, slots)
        if added:
            return
        if missing:
            ask_others(need, missing, world, rooms)
    if now is not None:
        _leave(work, group, now, world)
    elif soon is None and size > wanted:
        kept = shrunk(work.grant, group, wanted, world.snapshot.site)
        if kept is not None:
            reason = f"shrinks from {size} to {wanted} replicas, as many as were asked for"
            _go_on(work, group, kept, world, reason=reason)


def _go_on(work: Running, group: Group, kept: Grant, world: WhatIf, *, reason: str) -> None:
    """Let work go on with less than it holds."""
    snapshot, before = world.snapshot, work.grant.size(group.name)
    world.leaves(work, given_back(work.grant, kept, snapshot.site), world.now + snapshot.grace_s)
    world.resized[work.name] = Resize(work.name, before, kept.size(group.name), kept, snapshot.grace_s, reason)


def _named(claim: Claim) -> str:
    """A window and when it begins."""
    return f"window {claim.name}, which begins at {datetime.fromtimestamp(claim.start, UTC):%Y-%m-%d %H:%M} UTC"
