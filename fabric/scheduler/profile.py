"""When could a waiting workload start, given the ends that walltimes promise?

Knows nothing of what really ends earlier.
"""

import heapq
from collections.abc import Sequence

from fabric.scheduler.placement import place
from fabric.scheduler.plan import Place, Wait
from fabric.scheduler.snapshot import Snapshot, give_back, take
from fabric.workloads.record import Slice

_End = tuple[float, str, tuple[Slice, ...]]


def expected_starts(
    snapshot: Snapshot, placed: Sequence[Place], waits: Sequence[Wait], *, now: float, horizon_s: float
) -> dict[str, float]:
    """Earliest start of each waiting workload if everyone uses its whole walltime and order is kept.

    Work without a walltime is taken to stay for ever, so whoever needs its resources gets no date; nor does anyone that
    waits for other jobs.

    Returns:
        Seconds since the epoch by workload; those without a date are left out.
    """
    free = snapshot.free()
    walltimes = {work.name: work.walltime_s for work in snapshot.waiting}
    groups = {work.name: work.groups for work in snapshot.waiting}
    ends: list[_End] = [(max(work.ends, now), work.name, work.grant.slices) for work in snapshot.running if work.ends]
    for action in placed:
        take(free, action.grant.slices)
        _add_end(ends, now, walltimes[action.workload], name=action.workload, slices=action.grant.slices)
    heapq.heapify(ends)
    starts: dict[str, float] = {}
    at = now
    for wait in (w for w in waits if not w.after):
        grant = place(groups[wait.workload], free, snapshot.nodes, snapshot.head).grant
        while grant is None and ends and ends[0][0] <= now + horizon_s:
            at, _, slices = heapq.heappop(ends)
            give_back(free, slices)
            grant = place(groups[wait.workload], free, snapshot.nodes, snapshot.head).grant
        if grant is None:
            break
        starts[wait.workload] = at
        take(free, grant.slices)
        _add_end(ends, at, walltimes[wait.workload], name=wait.workload, slices=grant.slices)
        heapq.heapify(ends)
    return starts


def _add_end(ends: list[_End], start: float, walltime_s: float | None, *, name: str, slices: tuple[Slice, ...]) -> None:
    if walltime_s is not None:
        ends.append((start + walltime_s, name, slices))
