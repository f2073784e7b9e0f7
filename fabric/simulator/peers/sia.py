"""B6: Sia's goodput-maximising rounds beside a static split; with `loans` the composite of Sia and Lyra's loans.

Knows nothing of walltimes or deadlines. It is stateful: it remembers the number of the round, who was chosen for it,
and how often each job was restarted.
"""

from collections.abc import Mapping, Sequence

from pydantic import Field

from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Snapshot
from fabric.simulator.peers.batch import Backfill
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.gangs import sizes_of
from fabric.simulator.peers.loaning import LoanSettings, lend
from fabric.simulator.peers.lots import Lot
from fabric.simulator.peers.rounds import Asked, Candidate, RoundClock, Seat, realise, walk_cpu_work
from fabric.simulator.peers.settings import Decider, Search
from fabric.simulator.peers.sia_choice import Choice, choose
from fabric.simulator.peers.static_split import serve_at_peak


class SiaSettings(LoanSettings):
    """Rounds and goodput."""

    round_s: float = Field(default=60.0, gt=0)
    """Length of a round in seconds (Sia, SOSP'23, section 3)."""

    p: float = Field(default=-0.5, lt=0)
    """Power of normalised goodput: fairness; the value of the paper."""

    penalty: float = Field(default=1.1, gt=1)
    """Cost of giving a job nothing (lambda of the paper, 1.1)."""

    restart_s: float = Field(default=120.0, ge=0)
    """Seconds without progress that a change of a job's devices costs; HTI-14's restart."""

    exponent: float = Field(default=0.93, gt=0, le=1)
    """Throughput of n workers is n to this power. Mean of the three curves of HTI-14; a snapshot does not tell which
    job has which, while Sia itself profiles each."""

    most_sizes: int = Field(default=6, ge=2)
    """Sizes that are looked at for an elastic job on each tier, spread evenly, its present one among them."""

    loans: bool = False
    """Whether idle serving nodes are lent to training, as Lyra does; else services hold their peak for ever."""


SEARCH: Search = {
    "round_s": (60.0, 300.0, 900.0),
    "p": (-0.5, -1.0),
    "penalty": (1.1, 2.0),
    "exponent": (0.82, 0.93),
    "look_s": (600.0, 1800.0),
}
"""What a tuning run tries."""


class _Restarts:
    """How old each job is and how often it was started: the state behind Sia's restart penalty."""

    def __init__(self) -> None:
        self.first: dict[str, float] = {}
        self.count: dict[str, int] = {}
        self._at: dict[str, Seat] = {}

    def advance(self, jobs: Sequence[Candidate], now: float) -> None:
        """Take in who runs where, and forget who is gone."""
        names = {job.name for job in jobs}
        now_at = {job.name: job.at for job in jobs if job.at}
        for name, seat in now_at.items():
            self.first.setdefault(name, now)
            if self._at.get(name) != seat:
                self.count[name] = self.count.get(name, -1) + 1
        self._at = {name: now_at.get(name) or seat for name, seat in (self._at | now_at).items() if name in names}
        self.first = {name: at for name, at in self.first.items() if name in names}
        self.count = {name: number for name, number in self.count.items() if name in names}

    def factor(self, name: str, now: float, restart_s: float) -> float:
        """By how much goodput counts less after another restart.

        Source:
            Sia, section 3.3: (T - N * S) / (T + S) for an age T, N restarts so far and S seconds for each.
        """
        age_s = now - self.first.get(name, now)
        return max(0.05, (age_s - self.count.get(name, 0) * restart_s) / (age_s + restart_s)) if age_s > 0 else 0.05


def sia(settings: SiaSettings) -> Decider:
    """A decider like Sia; it remembers rounds and restarts."""
    clock, asked, restarts = RoundClock(settings.round_s), Asked(), _Restarts()
    seats: dict[str, Seat] = {}

    def decide(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        draft = Draft(snapshot, settings, now)
        if settings.loans:
            lend(draft, settings)
        else:
            serve_at_peak(draft, settings.peaks)
        jobs = asked.candidates(draft)
        restarts.advance(jobs, now)
        new = clock.entered(now)
        if new:
            seats.clear()
            seats.update(_round(draft, jobs, settings, restarts=restarts))
        realise(draft, jobs, seats, order=list(seats), evicts=new)
        walk_cpu_work(draft, Backfill())
        return draft.plan()

    return decide


def _round(draft: Draft, jobs: Sequence[Candidate], settings: SiaSettings, *, restarts: _Restarts) -> dict[str, Seat]:
    """Seats of the next round; who cannot be resized or moved now keeps what it has."""
    lots = draft.lots.gpu
    room = {lot.name: lot.devices for lot in lots}
    seats: dict[str, Seat] = {}
    free: list[Candidate] = []
    for job in jobs:
        if job.running is not None and not draft.movable(job.running) and job.at:
            seats[job.name] = job.at
            room[job.at.lot] = room.get(job.at.lot, 0) - job.devices
        else:
            free.append(job)
    options = []
    for job in free:
        factor = restarts.factor(job.name, draft.now, settings.restart_s) if job.at else 1.0
        options.append(choices(job, lots, settings, factor=factor))
    found = choose(options, [room[lot.name] for lot in lots])
    for job, choice in zip(free, found, strict=True):
        if choice is not None:
            seats[job.name] = Seat(lots[choice.tier].name, choice.workers)
    return seats


def choices(job: Candidate, lots: Sequence[Lot], settings: SiaSettings, *, factor: float) -> list[Choice]:
    """Every size on every lot with its worth.

    Args:
        job: Who.
        lots: All lots; a choice names one by its number.
        settings: Of the peer.
        factor: What a restart leaves of goodput.

    Source:
        Sia, sections 3.2 and 3.4: goodput is normalised by that of the smallest choice and multiplied by its devices;
        the program minimises goodput ** p over those who get something and `penalty` over the others.
    """
    sizes = _sizes(job, settings.most_sizes)
    least = min(job.devices_at(size) for size in sizes)
    number_of: Mapping[str, int] = {lot.name: number for number, lot in enumerate(lots)}
    goodput = {
        (number_of[lot.name], size): lot.speed * job.devices_at(size) ** settings.exponent
        for lot in job.lots
        if lot.name in number_of
        for size in sizes
    }
    worst = min(goodput.values(), default=1.0)
    result = []
    for (tier, size), value in goodput.items():
        same = job.at is not None and job.at == Seat(lots[tier].name, size)
        normal = least * value / worst * (1.0 if same or job.at is None else factor)
        worth = settings.penalty - normal**settings.p
        if worth > 0:
            result.append(Choice(tier, size, job.devices_at(size), worth))
    return result


def _sizes(job: Candidate, most: int) -> list[int]:
    """Sizes to look at; 0 stands for the only one of rigid work."""
    if job.group is None:
        return [0]
    every = list(sizes_of(job.group))
    step = max(1, -(-(len(every) - 1) // (most - 1)))
    kept = {*every[::step], every[-1]}
    if job.at:
        kept.add(job.at.workers)
    return sorted(kept)
