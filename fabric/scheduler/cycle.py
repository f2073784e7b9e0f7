"""One decision: `decide(snapshot, policy, now) -> Plan`.

Knows nothing of clocks, clusters or stores: values in, values out.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import groupby

from fabric.scheduler.explain import Ahead, Shortfalls
from fabric.scheduler.order import in_backfill_order, in_order
from fabric.scheduler.plan import Plan, Wait
from fabric.scheduler.policy import Policy
from fabric.scheduler.shape import Shape, head_part
from fabric.scheduler.snapshot import Snapshot, Waiting
from fabric.scheduler.whatif import WhatIf


def decide(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
    """Who starts now, who is promised a start, and why the others wait.

    1. Order: priority class, then the policy's order, then first come first served, then name.
    2. Nominate: work whose dependencies have not succeeded is passed over and blocks nobody.
    3. Admit: in that order each starts if it fits until its end; the first that do not are promised their earliest
       start (or, where nobody can say when, keep others from settling on what they lack).
    4. Backfill: those behind start if they delay no promise, in the order of the policy.
    5. Expect: some who were promised nothing are told when they should start.
    6. Explain: what each one lacks, who is ahead.

    Args:
        snapshot: The world.
        policy: What the site chose.
        now: Seconds since the epoch.
    """
    queue = in_order(snapshot.waiting, policy, now)
    ready = [work for work in queue if not work.blocked_by]
    world = WhatIf(snapshot, policy, now)
    behind = admit(ready, world, policy)
    backfilled = backfill(behind, world, policy)
    left = [work for work in ready if work.name not in world.placed]
    expected = expect(left, world, policy)
    passes = pass_counts(ready, backfilled, world) if policy.max_passed is not None else {}
    return Plan((*world.placed.values(), *explain(queue, snapshot, world, expected=expected, passes=passes)))


def admit(ready: Sequence[Waiting], world: WhatIf, policy: Policy) -> list[Waiting]:
    """Start work in order, and promise a start to the first on each tier that do not fit.

    Returns:
        Those behind that many promises, who may only pass; whoever was passed too often is not among them.
    """
    behind: list[Waiting] = []
    most = policy.max_passed
    for _, same_class in groupby(ready, key=lambda work: work.rank):
        works = list(same_class)
        if policy.protected > 1:
            world.keep(works)
        for work in works:
            passed_enough = most is not None and work.passed >= most
            if world.may_pass(work) and not passed_enough and work.name not in world.promises:
                behind.append(work)
                continue
            world.reconsider(work)
            if not world.start(work):
                world.promise(work)
    return behind


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
        elif world.unprotected(work):
            world.promise(work)
    return started


def expect(left: Sequence[Waiting], world: WhatIf, policy: Policy) -> dict[str, float | None]:
    """When the first of those without a promise should start."""
    undated = [work for work in left if work.name not in world.promises]
    return {work.name: world.expect(work) for work in undated[: policy.dated]}


def pass_counts(ready: Sequence[Waiting], started: Sequence[Waiting], world: WhatIf) -> dict[str, int]:
    """How many of `started` came behind each workload that waits on one of their tiers."""
    if not started:
        return {}
    place_of = {work.name: number for number, work in enumerate(ready)}
    by_tiers: dict[tuple[str, ...], list[int]] = {}
    for work in started:
        by_tiers.setdefault(world.wishes(work.shape)[0], []).append(place_of[work.name])
    for numbers in by_tiers.values():
        numbers.sort()
    counts = {}
    for number, work in enumerate(ready):
        mine = set(world.wishes(work.shape)[0])
        later = [numbers for tiers, numbers in by_tiers.items() if not mine.isdisjoint(tiers)]
        counts[work.name] = sum(len(numbers) - bisect_right(numbers, number) for numbers in later)
    return counts


def explain(
    queue: Sequence[Waiting],
    snapshot: Snapshot,
    world: WhatIf,
    *,
    expected: dict[str, float | None],
    passes: dict[str, int],
) -> list[Wait]:
    """An answer for everybody who waits, in the order of the queue."""
    head, idle = head_part(snapshot.head), world.idle
    missing: dict[Shape, Shortfalls] = {}
    ahead = Ahead()
    waits = []
    for work in queue:
        name, shape = work.name, work.shape
        if name in world.placed:
            continue
        if work.blocked_by:
            waits.append(Wait(name, after=work.blocked_by))
            continue
        lack = missing.get(shape)
        if lack is None:
            lack = missing[shape] = Shortfalls(shape, idle, snapshot.site, head)
        tiers = world.wishes(shape)[0]
        named, count = ahead.of(tiers)
        promise = world.promises.get(name)
        start = promise.start if promise else expected.get(name)
        waits.append(Wait(name, lack, named, count, (), start, promise, passes.get(name, 0)))
        ahead.add(name, tiers)
    return waits
