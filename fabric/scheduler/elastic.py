"""Resize elastic gangs: who gets free slots, and who gives some back before anyone is killed.

Knows nothing of nodes, clocks or how a resize is done: callers say how many slots are free and what a restart costs.

A slot is the unit in which a pool (usually a tier) is counted, such as one accelerator; a worker takes a whole number
of them. Both directions are a multiple-choice knapsack: at most one new size per gang, worth the completion time it
saves. That objective is Lyra's (EuroSys'23); a restart inside the gain is Pollux's (OSDI'21) and Sia's (SOSP'23).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fabric.core.errors import BadInput
from fabric.scheduler.knapsack import Option, cover, fill

DEFAULT_EXPONENT = 0.9
"""Throughput of n workers over that of one is n to this power, where nothing was measured.

Source: step times of BERT on DGX nodes in the artifact of Sia (SOSP'23), 2 to 16 workers at a fixed batch per worker:
the exponents are 0.89 to 0.93 over its five batch sizes."""

MIN_RUN_S = 600.0
"""Seconds a gang is left alone after it started or was resized; the example of KAI-Scheduler's minimum run time."""


@dataclass(frozen=True, slots=True)
class Curve:
    """How fast a workload goes with so many workers."""

    points: tuple[tuple[int, float], ...] = ()
    """Measured pairs of workers and units of work per second, by rising workers; empty for the default shape."""
    exponent: float = DEFAULT_EXPONENT
    """Shape outside the measured points."""

    def __post_init__(self) -> None:
        counts = [workers for workers, _ in self.points]
        if any(before >= after for before, after in pairwise(counts)) or any(workers < 1 for workers in counts):
            raise BadInput(f"throughput points need rising numbers of workers from 1, got {counts}")
        if not all(0 < rate < math.inf for _, rate in self.points) or not 0 <= self.exponent <= 1:
            raise BadInput("throughput must be above zero, and its exponent between 0 (no gain) and 1 (linear)")

    def rate(self, workers: int) -> float:
        """Units of work per second.

        Between two measured points it is a straight line; outside them the power law goes on from the nearest point.
        Without points a unit is one second of one worker.
        """
        if not self.points:
            return float(workers**self.exponent)
        for (left, low), (right, high) in pairwise(self.points):
            if left <= workers <= right:
                return low + (high - low) * (workers - left) / (right - left)
        nearest, rate = self.points[0] if workers < self.points[0][0] else self.points[-1]
        return float(rate * (workers / nearest) ** self.exponent)


@dataclass(frozen=True, slots=True)
class ElasticGang:
    """A running gang whose size may change."""

    name: str
    workers: int
    """Present size."""
    least: int
    most: int
    """Largest size; callers lower it to what could be placed."""
    remaining: float
    """Work left, in the units of `curve`."""
    restart_s: float
    """Seconds without progress that a resize costs: checkpoint, new worker group, reading it again."""
    settled_s: float
    """Seconds since it started or was last resized."""
    step: int = 1
    """Sizes are `least` and whole steps above it."""
    slots_per_worker: int = 1
    curve: Curve = Curve()

    def __post_init__(self) -> None:
        if min(self.least, self.step, self.slots_per_worker) < 1:
            raise BadInput(f"{self.name}: least size, step and slots per worker must be at least 1")
        if self.workers < self.least or (self.workers - self.least) % self.step:
            raise BadInput(
                f"{self.name}: {self.workers} workers is no size of a gang of at least {self.least} in steps of "
                f"{self.step}. Ask for {self.least} plus a multiple of {self.step}."
            )
        if not (0 <= self.remaining < math.inf and 0 <= self.restart_s < math.inf):
            raise BadInput(f"{self.name}: remaining work and restart cost must be finite and not negative")

    def larger(self) -> range:
        """Sizes above the present one."""
        return range(self.workers + self.step, self.most + 1, self.step)

    def smaller(self) -> range:
        """Sizes below the present one, nearest first."""
        return range(self.workers - self.step, self.least - 1, -self.step)

    def gain_s(self, workers: int, for_s: float = math.inf) -> float:
        """Seconds by which the gang ends earlier with `workers` from now on; negative if it ends later.

        Args:
            workers: The new size.
            for_s: Seconds after which it is given back and the gang restarts at its present size.
        """
        if workers == self.workers:
            return 0.0
        stays_s = self.remaining / self.curve.rate(self.workers)
        rate = self.curve.rate(workers)
        if self.restart_s + self.remaining / rate <= for_s:
            return stays_s - self.restart_s - self.remaining / rate
        done = rate * max(0.0, for_s - self.restart_s)
        return stays_s - for_s - self.restart_s - (self.remaining - done) / self.curve.rate(self.workers)


@dataclass(frozen=True, slots=True)
class Resize:
    """Run `workload` with `after` workers instead of `before`."""

    workload: str
    before: int
    after: int
    gain_s: float
    """Seconds by which it ends earlier, the restart paid; negative where it ends later."""

    @property
    def reason(self) -> str:
        """One line for people."""
        verb, when = ("grows", "earlier") if self.after > self.before else ("shrinks", "later")
        return f"{verb} from {self.before} to {self.after} workers and ends {abs(self.gain_s):.0f} s {when}"


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What shrinking can free."""

    resizes: tuple[Resize, ...]
    freed_slots: int
    missing_slots: int
    """Slots that are still wanted with every gang at its least size; somebody would have to leave for those."""


def grow(
    gangs: Sequence[ElasticGang], free_slots: int, *, for_s: float = math.inf, min_run_s: float = MIN_RUN_S
) -> tuple[Resize, ...]:
    """Give free slots to the gangs whose completion times they shorten most, all restarts paid.

    A gang that would not end earlier, or that has not run for `min_run_s` since its last resize, stays as it is. Among
    equal totals the first name gets most.

    Args:
        gangs: Elastic gangs of one pool, with different names.
        free_slots: Idle slots of the pool that nobody in the queue could use. Where a placement fails although the
            slots are there, call again with the number that could be placed.
        for_s: Seconds for which the slots are free; infinite unless they are lent.
        min_run_s: Seconds between resizes.

    Returns:
        Resizes by name.
    """
    settled = [gang for gang in gangs if gang.settled_s >= min_run_s]
    options = {gang.name: _gains(gang, free_slots, for_s) for gang in settled}
    return _resizes(settled, fill(options, max(0, free_slots)), for_s)


def shrink(gangs: Sequence[ElasticGang], wanted_slots: int, *, min_run_s: float = MIN_RUN_S) -> Shrunk:
    """Free slots where it delays completion least, before anybody is killed for them.

    Gangs resized less than `min_run_s` ago give only what the others cannot: being resized twice is still better than
    being killed.

    Args:
        gangs: Elastic gangs of one pool, with different names.
        wanted_slots: Slots to free.
        min_run_s: Seconds between resizes.

    Returns:
        Resizes by name that free at least `wanted_slots`, or all that can be freed and what is missing.
    """
    settled = [gang for gang in gangs if gang.settled_s >= min_run_s]
    restless = [gang for gang in gangs if gang.settled_s < min_run_s]
    offers = {gang.name: _losses(gang) for gang in settled}
    chosen = cover(offers, wanted_slots)
    if (lacking := wanted_slots - _slots(chosen)) > 0:
        forced = cover({gang.name: _losses(gang) for gang in restless}, lacking)
        # They may have to give more than was lacking, so not all that the others offered may be needed.
        chosen = cover(offers, wanted_slots - _slots(forced)) | forced
    freed = _slots(chosen)
    return Shrunk(_resizes(gangs, chosen, math.inf), freed, max(0, wanted_slots - freed))


def _gains(gang: ElasticGang, free_slots: int, for_s: float) -> tuple[Option, ...]:
    """Sizes that save time, each saving more than every smaller one."""
    options: list[Option] = []
    most_ms = 0
    for workers in gang.larger():
        slots = (workers - gang.workers) * gang.slots_per_worker
        if slots > free_slots:
            break
        gain_ms = _milliseconds(gang.gain_s(workers, for_s))
        if gain_ms > most_ms:
            options.append(Option(workers, slots, gain_ms))
            most_ms = gain_ms
    return tuple(options)


def _losses(gang: ElasticGang) -> tuple[Option, ...]:
    """Sizes below the present one with what they cost; never nothing, so that nobody is shrunk needlessly."""
    return tuple(
        Option(
            workers,
            (gang.workers - workers) * gang.slots_per_worker,
            max(1, -_milliseconds(gang.gain_s(workers))),
        )
        for workers in gang.smaller()
    )


def _slots(chosen: dict[str, Option]) -> int:
    return sum(option.slots for option in chosen.values())


def _milliseconds(seconds: float) -> int:
    """Whole milliseconds, so that sums do not depend on their order and ties are ties."""
    return round(seconds * 1000)


def _resizes(gangs: Sequence[ElasticGang], chosen: dict[str, Option], for_s: float) -> tuple[Resize, ...]:
    by_name = {gang.name: gang for gang in gangs}
    return tuple(
        Resize(name, by_name[name].workers, chosen[name].size, by_name[name].gain_s(chosen[name].size, for_s))
        for name in sorted(chosen)
    )
