"""One decision: `decide(snapshot, policy, now) -> Plan`.

Knows nothing of clocks, clusters or stores: values in, values out.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import groupby, islice

from fabric.scheduler.clearing import clear, say_which_window
from fabric.scheduler.columns import Tiers
from fabric.scheduler.explain import Later, answers
from fabric.scheduler.growing import grow_running
from fabric.scheduler.moving import move_up
from fabric.scheduler.order import in_backfill_order, in_order
from fabric.scheduler.plan import Plan, Wait
from fabric.scheduler.policy import Policy
from fabric.scheduler.room import RoomMaker
from fabric.scheduler.serving import serve
from fabric.scheduler.shape import head_part
from fabric.scheduler.snapshot import Snapshot, Waiting
from fabric.scheduler.whatif import WhatIf


def decide(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
    """Who starts, leaves or changes its size now, who is promised a start, and why the others wait.

    1. Order: priority class, use of the project, then the policy's order, then first come first served, then name.
    2. Nominate: work whose dependencies have not succeeded is passed over and blocks nobody.
    3. Clear: whoever must be away when a window begins is asked to leave, and services get replicas elsewhere first.
    4. Serve: services get the replicas that they need and lend those that they do not.
    5. Admit: in that order each starts if it fits until its end; for the first that do not, others make room if they
       may be asked to, and they are promised their earliest start (or, where nobody can say when, keep others from
       settling on what they lack).
    6. Backfill: those behind start if they delay no promise, in the order of the policy.
    7. Ask: room is made for some of those who still wait, too.
    8. Settle: those for whom nobody made room may start on slower accelerators.
    9. Use what nobody who waits can: running work moves to faster accelerators, and elastic gangs grow.
    10. Expect: some who were promised nothing are told when they should start.
    11. Explain: what each one lacks, who is ahead, what is done about it.

    Args:
        snapshot: The world.
        policy: What the site chose.
        now: Seconds since the epoch.
    """
    queue = in_order(snapshot, policy, now)
    world = WhatIf(snapshot, policy, now)
    ready = [world.preferred(work) for work in queue if not work.blocked_by]
    rooms = RoomMaker(world)
    clear(world, rooms)
    serve(world, rooms)
    behind = admit(ready, world, rooms)
    backfilled = backfill(behind, world, policy)
    ask(ready, world, rooms)
    backfilled += settle(ready, world, policy)
    if policy.moves:
        move_up(world)
    if policy.elastic:
        grow_running(world)
    expected = expect(ready, world, policy) if policy.dated else {}
    passed = passes(ready, backfilled, world, snapshot) if policy.max_passed is not None else {}
    waits = explain(queue, world, snapshot, expected)
    return Plan(
        placed=tuple(world.placed.values()),
        preempted=tuple(world.preempted.values()),
        resized=tuple(world.resized.values()),
        waits=waits,
        promises=world.promises,
        look_at=look_at(world),
        passed=passed,
        foreseen=tuple(world.foreseen),
    )


def admit(ready: Sequence[Waiting], world: WhatIf, rooms: RoomMaker) -> list[Waiting]:
    """Start work in order; make room for the first on each tier that do not fit, and promise them a start.

    Who is over a limit of its project is passed over and blocks nobody.

    Returns:
        Those behind that many promises, who may only pass; whoever was passed too often is not among them.
    """
    behind: list[Waiting] = []
    most = world.policy.max_passed
    for _, same_class in groupby(ready, key=lambda work: work.rank):
        works = list(same_class)
        if world.keeps:
            world.keep(works)
        for work in works:
            passed_enough = most is not None and work.passed >= most
            due = passed_enough or work.deadline is not None
            if world.may_pass(work) and not due and work.name not in world.promises:
                behind.append(work)
                continue
            world.reconsider(work)
            if not world.start(work) and work.name not in world.notes:
                rooms.make(work, world.least(work))
                world.promise(work)
                _say_if_late(work, world)
                say_which_window(work, world)
    return behind


def _say_if_late(work: Waiting, world: WhatIf) -> None:
    """Tell one with a deadline if its promise comes too late for it."""
    if work.deadline is None:
        return
    kept = world.promises.get(work.name)
    late_s = kept.start + work.duration_s - work.deadline if kept else math.inf
    if late_s > 0:
        by = f"by its walltime it would end {late_s:.0f} s after its deadline" if kept else "nothing says when it ends"
        before = world.notes.get(work.name)
        world.notes[work.name] = f"{before}; {by}" if before else by


def backfill(behind: Sequence[Waiting], world: WhatIf, policy: Policy) -> list[Waiting]:
    """Start those who delay no promise; whoever is blocked on a tier without enough promises gets one.

    Returns:
        Who started.
    """
    if policy.backfill == "off":
        return []
    started = []
    for work in in_backfill_order(behind, policy):
        if world.start(work):
            started.append(work)
        elif work.name not in world.notes and world.unprotected(work):
            world.promise(work)
    return started


def ask(ready: Sequence[Waiting], world: WhatIf, rooms: RoomMaker) -> None:
    """Let others make room for the first of those who wait and were promised nothing.

    Who would fit by then without their help is promised that start too, so that those behind ask for what they lack
    beside it. Where longer work yields to shorter, the first are those who may pass first.
    """
    undated = (work for work in ready if not (work.name in world.placed or work.name in world.promises))
    first = undated if world.policy.yields is None else in_backfill_order(undated, world.policy)
    for work in islice(first, world.policy.askers):
        if work.name in world.notes:
            continue
        if rooms.make(work, world.least(work)) or work.name in rooms.unaided:
            world.promise(work)


def settle(ready: Sequence[Waiting], world: WhatIf, policy: Policy) -> list[Waiting]:
    """Start on slower accelerators who may, of those who were promised nothing soon.

    Returns:
        Who started.
    """
    if not (policy.moves or policy.slower_for_s):
        return []
    waits = (work for work in ready if work.name not in world.placed)
    return [work for work in in_backfill_order(waits, policy) if world.settle(work)]


def look_at(world: WhatIf) -> float | None:
    """When a service will need more, or a grace before the next promise where somebody who grew may be in its way."""
    promises = world.promises.values() if world.surplus else ()
    due = (*world.looks, *(kept.start - world.snapshot.grace_s for kept in promises))
    return min((at for at in due if at > world.now), default=None)


def expect(ready: Sequence[Waiting], world: WhatIf, policy: Policy) -> dict[str, float | None]:
    """When the first of those without a promise should start."""
    undated = (work for work in ready if work.name not in world.placed and work.name not in world.promises)
    return {work.name: world.expect(work) for work in islice(undated, policy.dated)}


def passes(ready: Sequence[Waiting], started: Sequence[Waiting], world: WhatIf, snapshot: Snapshot) -> dict[str, int]:
    """How many of `started` came behind each workload that waits on one of their tiers."""
    if not started:
        return {}
    wishes = snapshot.site.wishes
    number_of = {work.name: number for number, work in enumerate(ready)}
    by_tiers: dict[Tiers, list[int]] = {}
    for work in started:
        by_tiers.setdefault(wishes(work.shape.tiers), []).append(number_of[work.name])
    for numbers in by_tiers.values():
        numbers.sort()
    counts = {}
    for number, work in enumerate(ready):
        mine = wishes(work.shape.tiers)
        later = [numbers for tiers, numbers in by_tiers.items() if not set(mine).isdisjoint(tiers)]
        count = sum(len(numbers) - bisect_right(numbers, number) for numbers in later)
        if count and work.name not in world.placed:
            counts[work.name] = count
    return counts


def explain(
    queue: Sequence[Waiting], world: WhatIf, snapshot: Snapshot, expected: Mapping[str, float | None]
) -> Sequence[Wait]:
    """An answer for everybody who waits, in the order of the queue, worked out when somebody looks."""
    placed, idle, promises = world.placed, world.idle, world.promises
    site, head, notes = snapshot.site, head_part(snapshot.head), world.notes

    def made() -> tuple[Wait, ...]:
        waiting = [work for work in queue if work.name not in placed]
        return answers(waiting, site, idle=idle, head=head, promises=promises, expected=expected, notes=notes)

    return Later(made)
