"""B5: Gavel's heterogeneity-aware least attained service in rounds, beside a static split.

Knows nothing of walltimes, elasticity or demand. It is stateful: it remembers the number of the round, who was chosen
for it, and how long each job has run on each tier.
"""

from collections.abc import Mapping, Sequence

from pydantic import Field

from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Snapshot
from fabric.simulator.peers.batch import Backfill
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.lots import Lot
from fabric.simulator.peers.rounds import Asked, Candidate, RoundClock, Seat, realise, walk_cpu_work
from fabric.simulator.peers.settings import Decider, Search, SplitSettings
from fabric.simulator.peers.static_split import serve_at_peak


class GavelSettings(SplitSettings):
    """Rounds."""

    round_s: float = Field(default=360.0, gt=0)
    """Length of a round in seconds; Gavel's evaluation (arXiv 2008.09213, section 7)."""

    fills: bool = True
    """Whether devices that the allocation leaves idle go to whoever fits, also during a round. Gavel itself waits for
    the next round; with this it is better."""


SEARCH: Search = {"round_s": (360.0, 1800.0, 3600.0), "fills": (True, False)}
"""What a tuning run tries."""

Fractions = Mapping[tuple[str, str], float]
"""Part of the time for which a job should run on a lot, by name and lot."""


def gavel(settings: GavelSettings) -> Decider:
    """A decider like Gavel; it remembers rounds and attained service."""
    clock, asked, attained = RoundClock(settings.round_s), Asked(), _Attained()
    seats: dict[str, Seat] = {}

    def decide(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        draft = Draft(snapshot, settings, now)
        serve_at_peak(draft, settings.peaks)
        jobs = asked.candidates(draft)
        attained.advance(jobs, now)
        new = clock.entered(now)
        lots = draft.lots.gpu
        parts = allocation(jobs, lots)
        order = ranked(jobs, parts, attained.seconds, lots)
        if not settings.fills:
            order = [(name, lot) for name, lot in order if parts.get((name, lot.name), 0.0) > 0]
        if new:
            seats.clear()
            seats.update(chosen(jobs, order, lots))
        realise(draft, jobs, seats, order=list(seats), evicts=new)
        if settings.fills and not new:
            _fill(draft, jobs, order, seats)
        walk_cpu_work(draft, Backfill())
        return draft.plan()

    return decide


def allocation(jobs: Sequence[Candidate], lots: Sequence[Lot]) -> Fractions:
    """The max-min fair part of the time of each job on each lot.

    Every job gets the same effective device time (devices times progress), or all the time on the fastest lot if that
    is less. Progress differs between lots by the same factor for every job, so this water level is the optimum of
    Gavel's program. It is reached by moving time from the fastest lot to slower ones, of those first who need least
    progress, until nothing is given away twice.

    Args:
        jobs: Who takes part.
        lots: The fastest first.

    Source:
        Gavel, OSDI'20, section 4.1: maximise the least of (1 / weight) * throughput / equal-share throughput * scale.
    """
    if not jobs:
        return {}
    total = sum(lot.devices * lot.speed for lot in lots)
    level = _water_level([job.devices * job.lots[0].speed for job in jobs], total)
    progress = {job.name: min(job.lots[0].speed, level / job.devices) for job in jobs}
    result = {(job.name, job.lots[0].name): progress[job.name] / job.lots[0].speed for job in jobs}
    left = {lot.name: float(lot.devices) for lot in lots}
    for job in jobs:
        left[job.lots[0].name] -= job.devices * result[job.name, job.lots[0].name]
    for job in sorted(jobs, key=lambda job: (progress[job.name], job.submitted, job.name)):
        for slow in reversed(job.lots[1:]):
            _move(job, slow, result, left)
    return result


def _move(job: Candidate, slow: Lot, parts: dict[tuple[str, str], float], left: dict[str, float]) -> None:
    """Move time of a job to a slower lot, as far as its fastest is given away twice and the job has time for it."""
    fast = job.lots[0]
    over, room, ratio = -left[fast.name], left[slow.name], fast.speed / slow.speed
    if over <= 0 or room <= 0 or ratio <= 1:
        return
    idle = 1.0 - sum(parts.get((job.name, lot.name), 0.0) for lot in job.lots)
    part = min(parts[job.name, fast.name], idle / (ratio - 1), over / job.devices, room / (ratio * job.devices))
    parts[job.name, fast.name] -= part
    parts[job.name, slow.name] = parts.get((job.name, slow.name), 0.0) + ratio * part
    left[fast.name] += job.devices * part
    left[slow.name] -= job.devices * ratio * part


def _water_level(most: Sequence[float], total: float) -> float:
    """The level at which everybody who has at most `most` takes `total` together."""
    left = total
    ordered = sorted(most)
    for number, value in enumerate(ordered):
        level = left / (len(ordered) - number)
        if level <= value:
            return level
        left -= value
    return max(ordered)


def ranked(
    jobs: Sequence[Candidate], parts: Fractions, attained: Fractions, lots: Sequence[Lot]
) -> list[tuple[str, Lot]]:
    """Jobs with lots, by part of the time due over part received, largest first; ties by submission and name.

    Source:
        Gavel, OSDI'20, section 5: priority is the fraction due over the fraction of time received so far.
    """
    totals = {lot.name: sum(attained.get((job.name, lot.name), 0.0) for job in jobs) for lot in lots}

    def priority(job: Candidate, lot: Lot) -> tuple[bool, float]:
        due, got = parts.get((job.name, lot.name), 0.0), attained.get((job.name, lot.name), 0.0)
        new = due > 0 and got <= 0
        return (not new, -due if new or not due else -due * totals[lot.name] / got)

    pairs = [(job, lot) for job in jobs for lot in job.lots]
    pairs.sort(key=lambda pair: (*priority(*pair), pair[0].submitted, pair[0].name, -pair[1].speed))
    return [(job.name, lot) for job, lot in pairs]


def chosen(jobs: Sequence[Candidate], order: Sequence[tuple[str, Lot]], lots: Sequence[Lot]) -> dict[str, Seat]:
    """Who runs in the next round: in order, as long as devices are left; who cannot be moved keeps what it has."""
    room = {lot.name: lot.devices for lot in lots}
    by_name = {job.name: job for job in jobs}
    seats: dict[str, Seat] = {}
    for job in jobs:
        if job.running is not None and not job.running.settled and job.at:
            seats[job.name] = job.at
            room[job.at.lot] = room.get(job.at.lot, 0) - job.devices
    for name, lot in order:
        job = by_name[name]
        if name in seats or room[lot.name] < job.devices:
            continue
        seats[name] = Seat(lot.name, job.at.workers if job.at else 0)
        room[lot.name] -= job.devices
    return seats


def _fill(draft: Draft, jobs: Sequence[Candidate], order: Sequence[tuple[str, Lot]], seats: dict[str, Seat]) -> None:
    """Let waiting jobs start on what is idle during a round; they have a seat from then on."""
    by_name = {job.name: job for job in jobs}
    for name, lot in order:
        job = by_name[name]
        if job.waiting is None or name in seats or name in draft.placed:
            continue
        part = job.waiting.shape.parts[0]
        if draft.board.count(part, lot) >= part.count:
            pieces = draft.board.find(job.waiting.shape, lot, draft.board.free)
            if pieces is not None:
                draft.start(job.waiting, pieces)
                seats[name] = Seat(lot.name, 0)


class _Attained:
    """Seconds that each job ran on each lot."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], float] = {}
        self._at: float | None = None
        self._ran: list[tuple[str, str]] = []

    def advance(self, jobs: Sequence[Candidate], now: float) -> None:
        """Count what ran since the last call, and forget who is gone."""
        passed_s = max(0.0, now - self._at) if self._at is not None else 0.0
        for key in self._ran:
            self.seconds[key] = self.seconds.get(key, 0.0) + passed_s
        known = {job.name for job in jobs}
        self.seconds = {key: value for key, value in self.seconds.items() if key[0] in known}
        self._ran = [(job.name, job.at.lot) for job in jobs if job.at]
        self._at = now
