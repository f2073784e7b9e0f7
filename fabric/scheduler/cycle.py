"""One decision: `decide(snapshot, policy, now) -> Plan`.

Knows nothing of clocks, clusters or stores: values in, values out.
"""

from fabric.core.resources import Resources
from fabric.scheduler.order import in_order
from fabric.scheduler.placement import place
from fabric.scheduler.plan import Place, Plan, Wait
from fabric.scheduler.policy import Policy
from fabric.scheduler.profile import expected_starts
from fabric.scheduler.snapshot import Snapshot, Waiting, take


def decide(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
    """Place what fits in order of urgency; whoever does not fit keeps the tiers it lacks closed to those behind.

    1. Order: priority class, then first come first served, then name.
    2. A workload whose dependencies have not succeeded is passed over and blocks nobody.
    3. It is placed if all of its groups and its head fit, and none of them needs a tier that someone ahead waits for.
    4. Otherwise it waits: the tiers it lacks are closed behind it, and what did fit is held for it.

    Args:
        snapshot: The world.
        policy: What the site chose.
        now: Seconds since the epoch.
    """
    free = snapshot.free()
    closed: dict[str, list[str]] = {}
    placed: list[Place] = []
    waits: list[Wait] = []
    for work in in_order(snapshot.waiting):
        if work.blocked_by:
            waits.append(Wait(work.name, (), (), work.blocked_by, None))
            continue
        wait = _try(work, snapshot, free, closed=closed, placed=placed)
        if wait:
            waits.append(wait)
    starts = expected_starts(snapshot, placed, waits, now=now, horizon_s=policy.horizon_s)
    dated = (Wait(w.workload, w.shortfalls, w.ahead, w.after, starts.get(w.workload)) for w in waits)
    return Plan((*placed, *dated))


def _try(
    work: Waiting,
    snapshot: Snapshot,
    free: dict[str, Resources],
    *,
    closed: dict[str, list[str]],
    placed: list[Place],
) -> Wait | None:
    """Place `work` if it may and does fit, otherwise close what it lacks and say why it waits."""
    open_free = {node.name: free[node.name] for node in snapshot.nodes if node.name in free and node.tier not in closed}
    attempt = place(work.groups, open_free, snapshot.nodes, snapshot.head)
    if attempt.grant is not None:
        take(free, attempt.grant.slices)
        placed.append(Place(work.name, attempt.grant))
        return None
    real = place(work.groups, free, snapshot.nodes, snapshot.head)
    take(free, attempt.partial)
    tiers = {tier for short in attempt.shortfalls for tier in _tiers(short.tier, snapshot)}
    ahead = tuple(dict.fromkeys(name for tier in sorted(tiers) for name in closed.get(tier, ())))
    for tier in tiers:
        closed.setdefault(tier, []).append(work.name)
    return Wait(work.name, real.shortfalls, ahead, (), None)


def _tiers(tier: str | None, snapshot: Snapshot) -> list[str]:
    """The tiers a shortfall is about; a wish for any tier is about all."""
    names = sorted({node.tier for node in snapshot.nodes})
    return [name for name in names if tier is None or name in tier.split(", ")]
