"""Predict run times: what to order by, and what a promise may rest on.

Knows nothing of queues or of when anything starts.

The two are kept apart. An order may be wrong, so it uses what the owner's last two runs took (EASY++: Tsafrir, Etsion
and Feitelson, Backfilling using system-generated predictions, TPDS 2007). A promise may not, so it never rests on less
than the walltime, at which work is ended. Work about which nobody knows anything is ordered by the service it has had,
in a few wide queues (two-dimensional least attained service: Tiresias, NSDI'19).
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from fabric.core.errors import BadInput
from fabric.workloads.spec import WorkloadSpec

LAST_RUNS = 2
"""Runs whose mean is the prediction, as in EASY++."""

KEPT_RUNS = 20
"""Runs kept for each owner; enough for a 0.95 quantile to be one of them."""

LEAST_RUNS = 5
"""Runs below which no quantile is taken. An assumption."""

SAFE_QUANTILE = 0.95
"""Quantile of the owner's runs that counts as safe where there is no walltime."""

QUEUE_LIMITS_SLOT_S = (3250.0, 7200.0, 18000.0)
"""Attained service in slot-seconds at which work falls into the next queue; those of Tiresias' own simulator, in
GPU-seconds."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run that ended by itself."""

    owner: str
    """Whose runs resemble each other: a project and user, or a project and application."""
    ran_s: float
    walltime_s: float | None = None
    """What it had asked for."""

    def __post_init__(self) -> None:
        if not 0 <= self.ran_s < math.inf or (self.walltime_s is not None and not 0 < self.walltime_s < math.inf):
            raise BadInput(f"{self.owner}: a run of {self.ran_s} s under a walltime of {self.walltime_s} s cannot be")


def owner_of(spec: WorkloadSpec) -> str:
    """Whose runs resemble those of `spec`: its project, and the user in its metadata or else its name."""
    who = spec.metadata.get("user") or (spec.name or "").rstrip("0123456789-")
    return f"{spec.project}/{who}"


@dataclass(frozen=True, slots=True)
class Runs:
    """The latest runs of every owner; a value that `after` makes anew."""

    by_owner: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)
    """Oldest first, at most `KEPT_RUNS`."""

    def after(self, run: Run) -> "Runs":
        """These runs and one that has just ended."""
        kept = (*self.by_owner.get(run.owner, ()), run)[-KEPT_RUNS:]
        return Runs({**self.by_owner, run.owner: kept})


NO_RUNS = Runs()
"""Nothing is known of any owner."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a run should take."""

    expected_s: float | None
    """For ordering; None where nothing is known."""
    safe_s: float | None
    """It should be over by then; None where nothing is known."""
    holds: bool
    """Whether a promise to others may rest on `safe_s`: only where a walltime ends the run."""
    basis: str
    """What it rests on, for people."""


def estimate(runs: Runs, owner: str, walltime_s: float | None, *, quantile: float = SAFE_QUANTILE) -> Estimate:
    """Predict a run of `owner`.

    Args:
        runs: What is known of earlier runs.
        owner: As in `Run`.
        walltime_s: What it asks for; None without one.
        quantile: Share of the owner's runs that `safe_s` should cover. It counts where there is no walltime, and where
            runs of this owner have been seen to take longer than theirs.
    """
    past = runs.by_owner.get(owner, ())
    last = past[-LAST_RUNS:]
    expected_s = sum(run.ran_s for run in last) / len(last) if last else walltime_s
    if expected_s is not None and walltime_s is not None:
        expected_s = min(expected_s, walltime_s)
    basis = f"last {len(last)} runs of {owner}" if last else "walltime" if walltime_s is not None else "nothing known"
    if walltime_s is not None:
        overrun = _quantile([run.ran_s / run.walltime_s for run in past if run.walltime_s is not None], quantile)
        return Estimate(expected_s, walltime_s * max(1.0, overrun or 1.0), holds=True, basis=basis)
    return Estimate(expected_s, _quantile([run.ran_s for run in past], quantile), holds=False, basis=basis)


def expected_now_s(estimated: Estimate, ran_s: float) -> float | None:
    """The whole run time to order by, of work that has run for `ran_s`.

    Work that outlives its prediction is taken to need as long again, up to its safe end: predictions that were too low
    would otherwise keep it first for ever. The doubling is ours.
    """
    if estimated.expected_s is None or ran_s < estimated.expected_s:
        return estimated.expected_s
    longest_s = estimated.safe_s if estimated.safe_s is not None else math.inf
    return max(ran_s, min(2 * ran_s, longest_s))


def attained_queue(slot_s: float, limits: tuple[float, ...] = QUEUE_LIMITS_SLOT_S) -> int:
    """The queue of work that has had so many slot-seconds; 0 is served first.

    Args:
        slot_s: Slots times seconds of running, over all attempts.
        limits: Rising slot-seconds at which it falls into the next queue.
    """
    return bisect_right(limits, slot_s)


def shortness_s(
    estimated: Estimate, *, slots: int, ran_s: float, limits: tuple[float, ...] = QUEUE_LIMITS_SLOT_S
) -> float:
    """What a shortest-first order compares, in seconds: with an estimate what remains, otherwise what was attained.

    Where nothing is known the run is taken to need as long again as its queue says it has had: nothing at first, so
    that it is tried, and in few steps, so that works of one queue do not take turns.

    Args:
        estimated: The estimate.
        slots: Slots it runs on, at least 1.
        ran_s: Seconds it has run, over all attempts.
        limits: As in `attained_queue`.
    """
    expected_s = expected_now_s(estimated, ran_s)
    if expected_s is not None:
        return max(0.0, expected_s - ran_s)
    return (0.0, *limits)[attained_queue(slots * ran_s, limits)] / slots


def _quantile(values: list[float], quantile: float) -> float | None:
    """The smallest value that so large a share does not exceed; None for too few values."""
    if len(values) < LEAST_RUNS:
        return None
    return sorted(values)[max(0, math.ceil(quantile * len(values)) - 1)]
