"""B7: Lyra (Aryl): loans of idle inference servers, shortest job first, and elastic growth by a knapsack.

Knows nothing of quotas, and reserves nothing. Pure: it remembers nothing between decisions.

Source:
    Lyra, EuroSys'23 (Aryl, arXiv 2202.07896), section 5: first the base demand of all jobs, the shortest first, if need
    be on what others hold beyond theirs; then flexible demand by a multiple-choice knapsack over the completion time
    that it saves. Section 4, loans, is in `loaning`.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from pydantic import Field

from fabric.scheduler.columns import GPUS
from fabric.scheduler.elastic import Curve, ElasticGang, grow, shrink
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.shape import shape_of
from fabric.scheduler.sizes import at_size
from fabric.scheduler.snapshot import Running, Snapshot, Waiting
from fabric.simulator.peers.batch import Ahead, Backfill, lots_for, place_for
from fabric.simulator.peers.calendar import Calendar
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.gangs import alone, grown, held_devices, shrunk, size_of
from fabric.simulator.peers.loaning import LoanSettings, lend
from fabric.simulator.peers.lots import Lot
from fabric.simulator.peers.rounds import walk_cpu_work
from fabric.simulator.peers.settings import SERVING_RANK, Decider, Search
from fabric.simulator.peers.victims import Asker, keep_room, pieces_without

MOST_LEFT_S = 7 * 86400.0
"""Seconds of work left that are reckoned with where nobody says: the longest walltime class of HTI-14."""


class LyraSettings(LoanSettings):
    """Loans, and jobs that grow."""

    restart_s: float = Field(default=120.0, ge=0)
    """Seconds without progress that a resize costs; HTI-14's restart. Lyra itself takes resizing to be free."""

    min_run_s: float = Field(default=600.0, ge=0)
    """Seconds of running at one size before a job is resized; ours, since a resize is a restart here."""

    exponent: float = Field(default=0.93, gt=0, le=1)
    """Throughput of n workers is n to this power. Mean of the three curves of HTI-14; a snapshot does not tell which
    job has which."""


SEARCH: Search = {
    "look_s": (0.0, 600.0, 1800.0),
    "spare_nodes": (0, 1, 2),
    "min_run_s": (300.0, 600.0, 1800.0),
    "exponent": (0.82, 0.93),
}
"""What a tuning run tries."""


def lyra(settings: LyraSettings) -> Decider:
    """A decider like Lyra."""

    def decide(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        draft = Draft(snapshot, settings, now)
        lend(draft, settings)
        jobs = [work for work in draft.ready if work.rank != SERVING_RANK and work.shape.total[GPUS]]
        base_demand(draft, jobs, settings)
        for lot in draft.lots.gpu:
            flexible_demand(draft, jobs, lot, settings)
        walk_cpu_work(draft, Backfill())
        return draft.plan()

    return decide


def base_demand(draft: Draft, jobs: Sequence[Waiting], settings: LyraSettings) -> None:
    """Start jobs with their fewest workers, the shortest first; who does not fit may take surplus ones of others."""
    calendar = Calendar(draft)
    ahead = Ahead(calendar)
    failed: dict[tuple[object, ...], int] = {}
    for work in sorted(jobs, key=lambda work: (work.rank, work.duration_s, work.submitted, work.name)):
        group = work.elastic
        shape = at_size(work.shape, group.name, group.least) if group else work.shape
        lots = lots_for(shape, draft.lots)
        found = place_for(draft, work, calendar, ahead=ahead, shape=shape)
        if found is not None:
            draft.start(work, found[1])
            calendar.hold(found[1], draft.now + work.duration_s / found[0].speed)
            continue
        part = shape.parts[0]
        kind = (part.request, part.tier, shape.parts[1:])
        if lots and part.count < failed.get(kind, part.count + 1):
            if not scale_in(draft, Asker(work.name, shape, lots[0]), settings):
                failed[kind] = part.count
        if lots:
            ahead.wait(shape, lots[0])


def scale_in(draft: Draft, asker: Asker, settings: LyraSettings) -> bool:
    """Take surplus workers of elastic jobs for somebody's base demand, where it delays completion least."""
    if keep_room(draft, asker):
        return True
    idle = int(draft.board.soon[asker.lot.rows, GPUS].clip(min=0).sum()) // 1000
    missing = asker.shape.total[GPUS] // 1000 - idle
    gangs = dict(_running_gangs(draft, asker.lot, settings))
    if missing <= 0 or not gangs:
        return False
    found = shrink([gang for gang, _ in gangs.values()], missing, min_run_s=settings.min_run_s)
    if found.missing_slots:
        return False
    for resize in found.resizes:
        gang, work = gangs[resize.workload]
        group = work.elastic
        grant = shrunk(work.grant, group.name, resize.after) if group and gang else None
        if grant is not None:
            draft.shrink(work, grant, f"{resize.reason}, for {asker.name}")
    return pieces_without(draft, asker, ()) is not None and keep_room(draft, asker)


def flexible_demand(draft: Draft, jobs: Sequence[Waiting], lot: Lot, settings: LyraSettings) -> None:
    """Give what is idle on a lot to elastic jobs, those that run and those that start now, by saved completion time."""
    idle = int(draft.board.free[lot.rows, GPUS].clip(min=0).sum()) // 1000
    running = dict(_running_gangs(draft, lot, settings))
    starting = {work.name: work for work in jobs if work.name in draft.placed}
    gangs = [gang for gang, _ in running.values()] + list(_starting_gangs(draft, starting.values(), lot, settings))
    for resize in grow(gangs, idle, min_run_s=settings.min_run_s) if idle and gangs else ():
        more = resize.after - resize.before
        if resize.workload in running:
            work = running[resize.workload][1]
            part = shape_of((work.elastic,)).parts[0] if work.elastic else None
            pieces = draft.board.find(alone(part, more), lot, draft.board.free, head=False) if part else None
            if pieces:
                draft.grow(work, pieces, resize.reason)
            continue
        group = starting[resize.workload].elastic
        part = shape_of((group,)).parts[0] if group else None
        pieces = draft.board.find(alone(part, more), lot, draft.board.free, head=False) if part else None
        if pieces:
            place = draft.placed[resize.workload]
            draft.placed[resize.workload] = replace(place, grant=grown(place.grant, pieces, draft.site))
            draft.board.take(piece.slot for piece in pieces)


def _running_gangs(draft: Draft, lot: Lot, settings: LyraSettings) -> Iterator[tuple[str, tuple[ElasticGang, Running]]]:
    """Elastic jobs that run on a lot and may be resized."""
    curve = Curve(exponent=settings.exponent)
    for work in draft.snapshot.running:
        group = work.elastic
        if group is None or work.service or not draft.movable(work):
            continue
        if not any(part.tier == lot.tier and part.group == group.name for part in work.grant.slices):
            continue
        size = size_of(work)
        left_s = _left_s(work, draft.now)
        yield (
            work.name,
            (
                ElasticGang(
                    name=work.name,
                    workers=size,
                    least=group.least,
                    most=group.most,
                    remaining=left_s * curve.rate(size),
                    restart_s=settings.restart_s,
                    settled_s=draft.now - work.since,
                    step=group.step,
                    slots_per_worker=max(1, held_devices(work.slots) // max(1, size)),
                    curve=curve,
                ),
                work,
            ),
        )


def _starting_gangs(draft: Draft, works: Iterable[Waiting], lot: Lot, settings: LyraSettings) -> Iterator[ElasticGang]:
    """Elastic jobs that start in this decision; their first size costs no restart."""
    curve = Curve(exponent=settings.exponent)
    for work in works:
        group, grant = work.elastic, draft.placed[work.name].grant
        if group is None or not any(part.tier == lot.tier and part.group == group.name for part in grant.slices):
            continue
        yield ElasticGang(
            name=work.name,
            workers=grant.size(group.name),
            least=group.least,
            most=group.most,
            remaining=min(work.duration_s, MOST_LEFT_S) * curve.rate(group.count),
            restart_s=0.0,
            settled_s=math.inf,
            step=group.step,
            slots_per_worker=max(1, group.request.gpus.count // 1000),
            curve=curve,
        )


def _left_s(work: Running, now: float) -> float:
    """Seconds of work left: what it says itself, else its walltime."""
    if work.told is not None and work.told.left_s is not None:
        return max(0.0, work.told.left_s)
    return max(0.0, min(work.ends - now, MOST_LEFT_S)) if work.ends is not None else MOST_LEFT_S
