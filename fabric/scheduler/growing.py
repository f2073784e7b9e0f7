"""Let running elastic gangs have what nobody who waits could use.

Knows nothing of restarts or curves beyond what `elastic` asks for: it says how many slots are free, and for how long.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from fabric.scheduler.columns import CPUS, GPUS, Amounts, NodeColumns
from fabric.scheduler.elastic import ElasticGang, grow
from fabric.scheduler.elastic import Resize as Growth
from fabric.scheduler.outlook import Leaves
from fabric.scheduler.placement import Piece, place
from fabric.scheduler.plan import Resize
from fabric.scheduler.policy import Policy
from fabric.scheduler.shape import shape_of
from fabric.scheduler.sizes import at_size, devices, grown, request_of
from fabric.scheduler.snapshot import Running
from fabric.scheduler.whatif import WhatIf
from fabric.workloads.spec import Group

_UNKNOWN_LEFT_S = 86_400.0
"""Work left that is assumed of a gang that neither says how far it is nor has a walltime; a choice."""


def grow_running(world: WhatIf) -> None:
    """Resize gangs into idle slots: first what stays free, then what is free until the next promise.

    What a gang gets beyond what it asked for it gives back when somebody needs it, so that it delays nobody by more
    than the grace. Where nobody may be asked to give anything back, it gets no more than it asked for.
    """
    may = (work for work in world.snapshot.running if may_grow(work, world.policy, world.now))
    gangs = [work for work in may if not world.disturbed(work.name)]
    pools: dict[tuple[str, bool, tuple[int, ...]], list[Running]] = {}
    for work in gangs:
        pools.setdefault((*_pool(work), world.outlook.let_in(work.project)), []).append(work)
    for (tier, gpus, _), members in sorted(pools.items()):
        _grow_pool(members, tier, gpus, world)


def may_grow(work: Running, policy: Policy, now: float) -> bool:
    """Whether running work is a gang that may have more workers now, if there are any to have."""
    group = work.elastic
    if group is None or work.service or not work.resizable:
        return False
    return work.grant.size(group.name) < _most(group, policy) and now - work.since >= policy.min_run_s


def _most(group: Group, policy: Policy) -> int:
    """Most workers that it may grow to."""
    return group.most if policy.preemption else group.count


def _pool(work: Running) -> tuple[str, bool]:
    """The tier that a gang grows on, and whether it is counted in accelerators."""
    group = work.elastic
    assert group is not None  # noqa: S101 - only elastic gangs are asked about
    tier = next(part.tier for part in work.grant.slices if part.group == group.name)
    return tier, bool(request_of(group)[GPUS])


def _grow_pool(members: Sequence[Running], tier: str, gpus: bool, world: WhatIf) -> None:
    site, left = world.snapshot.site, list(members)
    promised = min((kept.start for kept in world.promises.values()), default=math.inf)
    for_s = promised - world.now - world.snapshot.grace_s
    spans = [math.inf] + ([for_s] if world.policy.min_run_s < for_s < math.inf else [])
    for span_s in spans:
        room = _room(members[0].project, span_s, world)
        free_slots = _slots(room, tier, gpus, site)
        able = [work for work in left if _gone_by(work, world.now + span_s)]
        for growth in grow([_gang(work, world) for work in able], free_slots, for_s=span_s, min_run_s=0.0):
            work = next(one for one in left if one.name == growth.workload)
            if _enlarge(work, growth, tier, room=room, span_s=span_s, world=world):
                left.remove(work)
                room = _room(work.project, span_s, world)


def _gone_by(work: Running, end: float) -> bool:
    """Whether what a gang gets now is free again by then: it ends, or gives back what is beyond what it asked for."""
    group = work.elastic
    assert group is not None  # noqa: S101 - only elastic gangs are asked about
    return work.grant.size(group.name) >= group.count or (math.inf if work.ends is None else work.ends) <= end


def _room(project: str, span_s: float, world: WhatIf) -> Amounts:
    """What gangs of a project, which give it back when they are asked, may use for so long."""
    return world.outlook.room(project, Leaves.WHEN_ASKED, world.now + span_s)


def _gang(work: Running, world: WhatIf) -> ElasticGang:
    group, told = work.elastic, work.told
    assert group is not None  # noqa: S101 - only elastic gangs are asked about
    workers = work.grant.size(group.name)
    left_s = told.left_s if told is not None else None
    if left_s is None:
        left_s = _UNKNOWN_LEFT_S if work.ends is None else max(0.0, work.ends - world.now)
    gang = ElasticGang(
        name=work.name,
        workers=workers,
        least=group.least,
        most=_most(group, world.policy),
        remaining=0.0,
        restart_s=world.policy.restart_s,
        settled_s=world.now - work.since,
        step=group.step,
        slots_per_worker=devices(request_of(group)),
    )
    return replace(gang, remaining=left_s * gang.curve.rate(workers))


def _enlarge(work: Running, growth: Growth, tier: str, *, room: Amounts, span_s: float, world: WhatIf) -> bool:
    """Place what is new of a gang, as much of it as fits."""
    group = work.elastic
    assert group is not None  # noqa: S101 - only elastic gangs are asked about
    for after in range(growth.after, growth.before, -group.step):
        pieces = _placed(work, after - growth.before, tier, room=room, world=world)
        if pieces:
            slots = tuple(piece.slot for piece in pieces)
            if world.limits.refused_slots(work.project, slots):
                continue
            end = world.now + span_s if work.ends is None else min(work.ends, world.now + span_s)
            world.take(work.project, slots, max(end, world.now))
            grant = grown(work.grant, pieces, world.snapshot.site)
            why = growth.reason if after == growth.after else f"grows from {growth.before} to {after} workers"
            world.resized[work.name] = Resize(work.name, growth.before, after, grant, 0.0, why)
            return True
    return False


def _placed(work: Running, count: int, tier: str, *, room: Amounts, world: WhatIf) -> tuple[Piece, ...]:
    group = work.elastic
    assert group is not None  # noqa: S101 - only elastic gangs are asked about
    on_tier = group if group.tier else group.model_copy(update={"tier": tier})
    site, shape = world.snapshot.site, at_size(shape_of((on_tier,)), group.name, count)
    beside = [site.row[part.node] for part in work.grant.slices if part.node in site.row]
    attempt = place(shape, room, site, None, scores=world.scores, beside=beside)
    return tuple(replace(piece, head=False) for piece in attempt.pieces) if not attempt.lacks else ()


def _slots(room: Amounts, tier: str, gpus: bool, site: NodeColumns) -> int:
    """Whole devices that are free on a tier."""
    free = room[site.rows_of[tier]][:, GPUS if gpus else CPUS] // 1000
    return int(free[free > 0].sum())
