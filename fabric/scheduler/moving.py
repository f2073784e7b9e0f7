"""Let running work go on on faster accelerators than it has, where nobody who waits could use them.

Knows nothing of queues: it comes after all who wait. Work moves as whoever makes room does: it saves, leaves and waits
again, for nodes that stay free meanwhile unless somebody more urgent comes.
"""

from fabric.scheduler.columns import GPUS
from fabric.scheduler.options import options_of
from fabric.scheduler.outlook import Leaves
from fabric.scheduler.placement import place
from fabric.scheduler.plan import Preempt
from fabric.scheduler.snapshot import Running, Waiting
from fabric.scheduler.whatif import WhatIf


def move_up(world: WhatIf) -> None:
    """Ask work on slower accelerators to leave for faster ones that are free, who gains most first."""
    site, found = world.snapshot.site, []
    if not any((world.idle[site.rows_of[tier], GPUS] > 0).any() for tier in site.gpu_tiers[:-1]):
        return
    for work in world.snapshot.running:
        if not work.roams or not _may_move(work, world):
            continue
        here = min(site.speeds[part.tier] for part in work.grant.slices if part.resources.gpus)
        share = here / site.speeds[site.gpu_tiers[0]]
        gain_s = _gain_s(work, share, world)
        if gain_s > 0:
            found.append((-gain_s, work.name, share, work))
    for _, _, share, work in sorted(found, key=lambda one: one[:2]):
        _move(work, share, world)


def _may_move(work: Running, world: WhatIf) -> bool:
    """Whether work loses nothing but time when it is asked to leave, and has run for long enough."""
    told = work.told
    saves = told is not None and told.save_s is not None and told.save_s <= world.snapshot.grace_s
    ran_s = world.now - work.since
    return saves and work.movable and not world.disturbed(work.name) and ran_s >= world.policy.min_run_s


def _gain_s(work: Running, share: float, world: WhatIf) -> float:
    """Seconds by which it should end earlier; it is taken to have as much before it as behind it, at most its walltime.

    Args:
        work: Who runs.
        share: Time that the same work takes on the fastest accelerators, relative to those that it has.
        world: The decision.
    """
    told, left_s = work.told, world.now - work.since
    if told is not None and told.left_s is not None:
        left_s = told.left_s
    elif work.ends is not None:
        left_s = min(left_s, work.ends - world.now)
    save_s = told.save_s or 0.0 if told is not None else 0.0
    return left_s * (1.0 - share) - save_s - world.policy.restart_s - work.staged_s


def _move(work: Running, share: float, world: WhatIf) -> None:
    """Keep faster nodes for `work` in this decision and ask it to leave, if there are any on which it fits."""
    site = world.snapshot.site
    fastest = site.speeds[site.gpu_tiers[0]]
    left_s = None if work.ends is None else max(0.0, work.ends - world.now) * share
    asks = Waiting(work.name, work.rank, work.submitted, work.roams, left_s, project=work.project, saves=True)
    for option in options_of(asks, site):
        tier = next(part.tier for part in option.shape.parts if part.request[GPUS])
        if tier is None or site.speeds[tier] <= share * fastest:
            return
        end = world.now + option.duration_s
        room = world.outlook.room(work.project, Leaves.WHEN_ASKED, end)
        attempt = place(world.least(option), room, site, world.head, scores=world.scores)
        if attempt.lacks or world.limits.refused_slots(work.project, attempt.slots):
            continue
        world.take(work.project, attempt.slots, end)
        world.leaves(work, work.slots, world.now + world.snapshot.grace_s)
        world.preempted[work.name] = Preempt(work.name, world.snapshot.grace_s, f"goes on on faster nodes of {tier}")
        return
