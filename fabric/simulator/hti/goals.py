"""The benchmark's goals H1 to H7, judged over the same seeds of two arms.

Knows nothing of how a run was made. A goal that compares is met if the estimate reaches it and the 95 % interval leaves
out "no difference"; with a single seed there is no interval, and nothing that compares is judged.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fabric.core.errors import BadInput
from fabric.simulator.hti.results import Result
from fabric.simulator.hti.statistics import Interval, paired_difference, paired_ratio

BOOTSTRAP_SEED = 14
"""Of all intervals."""
LEAST_SLO = 0.995
"""Share of windows that must keep the promise (H1)."""
SLO_TOLERANCE = 0.001
"""How much lower than that of a peer ours may be (H1)."""
BOUND = "b8-bound"
"""Name under which the clairvoyant bound stands in a table."""
OURS = "ours"
"""Name of our arm."""

Table = Mapping[str, Sequence[Result]]
"""Results by arm, in the order of seeds, of one load."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table of goals."""

    goal: str
    about: str
    """What is looked at, and against whom."""
    wanted: str
    found: float
    """Not-a-number where nothing can be said."""
    interval: Interval | None
    met: bool | None
    """None where it cannot be judged."""


@dataclass(frozen=True, slots=True)
class _Ratio:
    """Ours over theirs must be at most (or, for `least`, at least) so much."""

    goal: str
    figure: str
    peer: str
    limit: float
    least: bool = False


_RATIOS = (
    *(_Ratio("H2", "jct_mean_s", peer, 1 / 1.5) for peer in ("b1-static", "b2-slurm")),
    *(_Ratio("H2", "wait_mean_s", peer, 1 / 2) for peer in ("b1-static", "b2-slurm")),
    *(_Ratio("H4", "jct_mean_s", peer, 0.8) for peer in ("b5-gavel", "b6-sia")),
    _Ratio("H4", "jct_mean_s", "b7-lyra", 1.02),
    _Ratio("H4", "preempted_gpu_h", "b7-lyra", 0.7),
)
_BEST_OF = ("b3-kueue", "b4-kai")
_ROBUST = ("no-forecast", "long-walltimes")


def checks(table: Table) -> list[Check]:
    """Every goal that the arms of `table` allow to be looked at."""
    if OURS not in table:
        return []
    found = [*_promises(table), *_against(table, _RATIOS), *_useful(table), *_best(table), *_fair(table)]
    return [*found, *_robust(table), *_gap(table), *_speed(table)]


def values(results: Iterable[Result], figure: str) -> list[float]:
    """One figure of every run."""
    return [result.figures[figure] for result in results]


def ratio(table: Table, ours: str, theirs: str, figure: str) -> tuple[float, Interval | None]:
    """Mean of one arm over that of another on the seeds that both have, and its interval where there are two.

    Returns:
        Not-a-number where a figure is missing or what is divided by is nothing.
    """
    mine, others = _paired(table, ours, theirs, figure)
    if not mine or not np.isfinite([*mine, *others]).all() or min(others) <= 0:
        return math.nan, None
    try:
        interval = paired_ratio(mine, others, seed=BOOTSTRAP_SEED)
    except BadInput:  # one seed
        return float(np.mean(mine) / np.mean(others)), None
    return interval.estimate, interval


def _paired(table: Table, ours: str, theirs: str, figure: str) -> tuple[list[float], list[float]]:
    mine = {result.key.seed: result.figures[figure] for result in table.get(ours, ())}
    others = {result.key.seed: result.figures[figure] for result in table.get(theirs, ())}
    seeds = sorted(mine.keys() & others.keys())
    return [mine[seed] for seed in seeds], [others[seed] for seed in seeds]


def _judged(
    found: float, interval: Interval | None, limit: float, *, least: bool = False, equal: float = 1.0
) -> bool | None:
    """Whether a comparison is met."""
    if math.isnan(found) or interval is None:
        return None
    reaches = found >= limit if least else found <= limit
    # What may be a little worse than the peer need not differ from it.
    must_differ = (limit < equal) != least
    return reaches and (interval.excludes(equal) or not must_differ)


def _at_most(goal: str, about: str, found: float, limit: float) -> Check:
    """A figure by itself that should be low."""
    return Check(goal, about, f"<= {limit:g}", found, None, None if math.isnan(found) else found <= limit)


def _at_least(goal: str, about: str, found: float, limit: float) -> Check:
    """A figure by itself that should be high."""
    return Check(goal, about, f">= {limit:g}", found, None, None if math.isnan(found) else found >= limit)


def _promises(table: Table) -> list[Check]:
    found = [_at_least("H1", "SLO, the worst run", min(values(table[OURS], "slo_attainment")), LEAST_SLO)]
    mine, static = _paired(table, OURS, "b1-static", "slo_attainment")
    if mine:
        worst = min(a - b for a, b in zip(mine, static, strict=True))
        found.append(_at_least("H1", "SLO less that of b1-static, the worst run", worst, -SLO_TOLERANCE))
    return found


def _against(table: Table, wanted: Iterable[_Ratio]) -> list[Check]:
    found = []
    for each in wanted:
        if each.peer in table:
            value, interval = ratio(table, OURS, each.peer, each.figure)
            met = _judged(value, interval, each.limit)
            found.append(
                Check(
                    each.goal, f"{each.figure} over that of {each.peer}", f"<= {each.limit:.3g}", value, interval, met
                )
            )
    return found


def _useful(table: Table) -> list[Check]:
    found = []
    for peer in ("b1-static", "b2-slurm"):
        mine, others = _paired(table, OURS, peer, "useful_share")
        if mine:
            interval = paired_difference(mine, others, seed=BOOTSTRAP_SEED) if len(mine) > 1 else None
            value = float(np.mean(mine) - np.mean(others))
            met = _judged(value, interval, 0.12, least=True, equal=0.0)
            found.append(Check("H2", f"useful share less that of {peer}", ">= 0.12", value, interval, met))
    return found


def _best(table: Table) -> list[Check]:
    """Against the one of Kueue and KAI with the lower mean completion time."""
    there = [peer for peer in _BEST_OF if table.get(peer)]
    if not there:
        return []
    best = min(there, key=lambda peer: float(np.mean(values(table[peer], "jct_mean_s"))))
    wanted = [_Ratio("H3", "jct_mean_s", best, 0.8), _Ratio("H3", "wasted_gpu_h", best, 0.5)]
    mine, others = (_wide_p99(table[name]) for name in (OURS, best))
    value = mine / others if others > 0 else math.nan
    jobs = sum(len(result.wide_waits_s) for result in table[OURS])
    wide = _at_most("H3", f"pooled p99 wait of {jobs} wide gangs over that of {best}", value, 0.7)
    return [*_against(table, wanted), wide]


def _wide_p99(results: Sequence[Result]) -> float:
    waits = [wait for result in results for wait in result.wide_waits_s]
    return float(np.quantile(waits, 0.99)) if waits else math.nan


def _fair(table: Table) -> list[Check]:
    rho, least = max(values(table[OURS], "rho_p95")), min(values(table[OURS], "least_share"))
    reclaim_s = max(values(table[OURS], "reclaim_p99_s"))
    return [
        _at_most("H4", "reclaim p99 s, the worst run", reclaim_s, 120.0),
        _at_most("H5", "rho p95, the worst run", rho, 1.3),
        _at_least("H5", "least share of any project over 24 h", least, 0.9),
    ]


def _robust(table: Table) -> list[Check]:
    found = []
    for name in _ROBUST:
        if name in table:
            worst = min(values(table[name], "slo_attainment"))
            value, interval = ratio(table, name, OURS, "jct_mean_s")
            slower = replace(_at_most("H6", f"jct_mean_s of {name} over ours", value, 1.1), interval=interval)
            found += [_at_least("H6", f"SLO of {name}, the worst run", worst, LEAST_SLO), slower]
    return found


def _gap(table: Table) -> list[Check]:
    if BOUND not in table:
        return []
    value, interval = ratio(table, OURS, BOUND, "jct_mean_s")
    return [Check("H6", "jct_mean_s over the clairvoyant bound", "reported", value, interval, None)]


def _speed(table: Table) -> list[Check]:
    return [_at_most("H7", "p99 of a decision's CPU s, this site", max(values(table[OURS], "decision_p99_s")), 1.0)]
