"""Rounds: who should run on which lot with how many workers, and what it takes to bring that about.

Knows nothing of how a round is chosen.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fabric.scheduler.columns import GPUS
from fabric.scheduler.shape import Part, Shape, shape_of
from fabric.scheduler.sizes import at_size
from fabric.scheduler.snapshot import Running, Waiting
from fabric.simulator.peers.batch import Backfill, lots_for, walk
from fabric.simulator.peers.board import workers_in
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.gangs import alone, devices, held_devices, shrunk, size_of
from fabric.simulator.peers.lots import Lot
from fabric.simulator.peers.settings import SERVING_RANK
from fabric.simulator.peers.victims import Asker, keep_room
from fabric.workloads.spec import Group


class RoundClock:
    """Says when a new round begins; the state of a decider."""

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._number: int | None = None

    def entered(self, now: float) -> bool:
        """Whether `now` is the first instant that is asked about in its round; earlier rounds do not come again."""
        number = math.floor(now / self._length_s)
        new = self._number is None or number > self._number
        self._number = number if new else self._number
        return new


@dataclass(frozen=True, slots=True)
class Seat:
    """Where somebody should run, and how large."""

    lot: str
    workers: int
    """Of the elastic group; 0 for rigid work, which has one size."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job with accelerators, running or waiting."""

    name: str
    submitted: float
    devices: int
    """Accelerators that it holds, or asks for."""
    group: Group | None
    """The group whose size may change."""
    lots: tuple[Lot, ...]
    """Where it may run, the fastest first."""
    running: Running | None = None
    waiting: Waiting | None = None
    at: Seat | None = None
    """Where it runs now."""

    @property
    def part(self) -> Part | None:
        """A worker of the elastic group."""
        return shape_of((self.group,)).parts[0] if self.group else None

    def devices_at(self, workers: int) -> int:
        """Accelerators at a size; rigid work has one."""
        part = self.part
        if part is None or not workers:
            return self.devices
        present = self.at.workers if self.at else (self.group.count if self.group else 0)
        return self.devices + (workers - present) * part.request[GPUS] // 1000


class Asked:
    """What jobs asked for when they waited, which running ones do not say any more; the state of a decider."""

    def __init__(self) -> None:
        self._shapes: dict[str, Shape] = {}

    def candidates(self, draft: Draft) -> list[Candidate]:
        """Every job with accelerators that waits, or runs and is not about to leave; by submission and name."""
        waiting = [one for work in draft.ready if (one := _of_waiting(work, draft))]
        running = [work for work in draft.snapshot.running if not work.service and work.name not in draft.leaving]
        kept = {work.name: self._shapes[work.name] for work in draft.snapshot.running if work.name in self._shapes}
        self._shapes = kept | {work.name: work.shape for work in draft.ready}
        found = waiting + [one for work in running if (one := _of_running(work, draft, kept.get(work.name)))]
        return sorted(found, key=lambda one: (one.submitted, one.name))


def _of_waiting(work: Waiting, draft: Draft) -> Candidate | None:
    lots = lots_for(work.shape, draft.lots)
    if work.rank == SERVING_RANK or not work.shape.total[GPUS] or not lots:
        return None
    return Candidate(work.name, work.submitted, devices(work.shape), work.elastic, lots, waiting=work)


def _of_running(work: Running, draft: Draft, asked: Shape | None) -> Candidate | None:
    if not any(gpus for _, _, gpus, _ in work.slots):
        return None
    tiers = {part.tier for part in work.grant.slices}
    here = next((lot for lot in draft.lots.gpu if lot.tier in tiers), None)
    if here is None:
        return None
    lots = lots_for(asked, draft.lots) if asked is not None else (here,)
    at = Seat(here.name, size_of(work))
    return Candidate(work.name, work.submitted, held_devices(work.slots), work.elastic, lots, running=work, at=at)


def realise(
    draft: Draft, jobs: Sequence[Candidate], seats: Mapping[str, Seat], *, order: Sequence[str], evicts: bool
) -> None:
    """Bring jobs to their seats, as far as there is room; what is missing is kept from others until it is there.

    Args:
        draft: What is decided so far; gets what is decided here.
        jobs: Everyone who may have a seat.
        seats: By name; who has none should not run.
        order: Names with seats, who goes first in front.
        evicts: Whether those without a seat, or with one on another lot, are asked to leave.
    """
    by_name = {job.name: job for job in jobs}
    for job in jobs if evicts else ():
        work, seat = job.running, seats.get(job.name)
        if work is None or not draft.movable(work):
            continue
        if seat is None or (job.at and seat.lot != job.at.lot):
            draft.evict(work, "its round is over" if seat is None else f"moves to {seat.lot}")
        elif job.at and job.group and seat.workers < job.at.workers:
            grant = shrunk(work.grant, job.group.name, seat.workers)
            if grant is not None:
                draft.shrink(work, grant, f"has {seat.workers} workers in this round")
    for job in (by_name[name] for name in order if name in by_name):
        if job.waiting is not None and job.name not in draft.placed:
            _seat_waiting(draft, job, job.waiting, seats[job.name])
        elif job.running is not None and draft.movable(job.running):
            _seat_running(draft, job, job.running, seats[job.name])


def sized_for(job: Candidate, workers: int) -> Shape:
    """The gang of a waiting job at one of its sizes.

    Raises:
        ValueError: If it does not wait.
    """
    work = job.waiting
    if work is None:
        raise ValueError(f"{job.name} does not wait")
    return at_size(work.shape, job.group.name, workers) if job.group and workers else work.shape


def _seat_waiting(draft: Draft, job: Candidate, work: Waiting, seat: Seat) -> None:
    lot = next((one for one in job.lots if one.name == seat.lot), None)
    if lot is None:
        return
    shape = sized_for(job, seat.workers)
    part = shape.parts[0]
    pieces = draft.board.find(shape, lot, draft.board.free) if draft.board.count(part, lot) >= part.count else None
    if pieces is not None:
        draft.start(work, pieces)
    else:
        keep_room(draft, Asker(job.name, shape, lot))


def _seat_running(draft: Draft, job: Candidate, work: Running, seat: Seat) -> None:
    part, lot = job.part, next((one for one in job.lots if one.name == seat.lot), None)
    more = seat.workers - size_of(work)
    if part is None or lot is None or more <= 0 or (job.at and job.at.lot != seat.lot):
        return
    shape = alone(part, more)
    enough = workers_in(part, lot.rows, draft.board.free) >= more
    pieces = draft.board.find(shape, lot, draft.board.free, head=False) if enough else None
    if pieces is not None:
        draft.grow(work, pieces, f"has {seat.workers} workers in this round")
    else:
        keep_room(draft, Asker(job.name, shape, lot, head=False))


def walk_cpu_work(draft: Draft, how: Backfill) -> None:
    """Run work without accelerators by backfill, beside the rounds."""
    jobs = [work for work in draft.ready if work.rank != SERVING_RANK and not work.shape.total[GPUS]]
    walk(draft, jobs, how)
