"""The benchmark's report: tables of arms, goals, ablations and losses as Markdown, with where they come from.

Knows nothing of files or of how anything was run.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fabric.simulator.hti.arms import ARMS
from fabric.simulator.hti.goals import BOUND, OURS, Check, Table, checks, ratio, values
from fabric.simulator.hti.statistics import Interval

FIGURES: Mapping[str, tuple[str, float]] = {
    "slo_attainment": ("SLO %", 100.0),
    "jct_mean_s": ("JCT h", 1 / 3600),
    "jct_p50_s": ("p50 h", 1 / 3600),
    "jct_p99_s": ("p99 h", 1 / 3600),
    "wait_mean_s": ("wait h", 1 / 3600),
    "bsld_mean": ("bsld", 1.0),
    "deadline_hits": ("deadlines %", 100.0),
    "useful_share": ("useful %", 100.0),
    "harvest_share": ("harvest %", 100.0),
    "wasted_gpu_h": ("wasted GPU-h", 1.0),
    "preemptions": ("preempted", 1.0),
    "resizes": ("resized", 1.0),
    "reclaim_p99_s": ("reclaim p99 s", 1.0),
    "rho_p95": ("rho p95", 1.0),
    "least_share": ("least share", 1.0),
    "fragmentation_mean": ("fragm. %", 100.0),
    "late_p99_s": ("late p99 s", 1.0),
    "decision_p99_s": ("decision p99 s", 1.0),
    "unfinished": ("unfinished", 1.0),
}
"""Figures of the table of arms, with their headings and what they are multiplied by."""
LOSSES = ("slo_attainment", "jct_mean_s", "jct_p99_s", "wait_mean_s", "bsld_mean", "deadline_hits", "useful_share",
          "harvest_share", "wasted_gpu_h", "preemptions", "rho_p95", "least_share", "fragmentation_mean")  # fmt: skip
"""Figures in which it is told who is better than ours."""
_MORE_IS_BETTER = {"slo_attainment", "deadline_hits", "useful_share", "harvest_share", "least_share"}


def report(tables: Mapping[float, Table], provenance: Mapping[str, str]) -> str:
    """The whole report.

    Args:
        tables: Results by load.
        provenance: What made them: commit, machine, dates, versions.
    """
    parts = ["# HTI-14: ours beside its peers", "", "| from | |", "| --- | --- |"]
    parts += [f"| {name} | {value} |" for name, value in provenance.items()]
    for load in sorted(tables):
        table = tables[load]
        seeds = sorted({result.key.seed for results in table.values() for result in results})
        parts += ["", f"## Load {load:g}, seeds {', '.join(map(str, seeds))}", "", *_arms(table)]
        parts += ["", "### Goals", "", *_goals(checks(table))]
        parts += ["", "### Ablations: completion time over ours", "", *_ablations(table)]
        parts += ["", "### Where ours loses", "", *_losses(table)]
    return "\n".join(parts) + "\n"


def _arms(table: Table) -> list[str]:
    heads = [heading for heading, _ in FIGURES.values()]
    lines = [_row("arm", *heads), _row("---", *(["---:"] * len(heads)))]
    for name, results in table.items():
        cells = [
            _cell(values(results, figure), factor) if figure in results[0].figures else ""
            for figure, (_, factor) in FIGURES.items()
        ]
        lines.append(_row(name, *cells))
    return [*lines, "", *(f"- `{name}`: {ARMS[name].says}" for name in table if name in ARMS)]


def _goals(found: Sequence[Check]) -> list[str]:
    lines = [_row("goal", "what", "wanted", "found", "95 %", "met"), _row("---", "---", "---", "---:", "---", "---")]
    said = {True: "yes", False: "no", None: "not judged"}
    for check in found:
        lines.append(
            _row(
                check.goal, check.about, check.wanted, _number(check.found), _interval(check.interval), said[check.met]
            )
        )
    return lines


def _ablations(table: Table) -> list[str]:
    lines = [_row("arm", "ratio", "95 %"), _row("---", "---:", "---")]
    for name in table:
        if name in ARMS and not ARMS[name].peer and name != OURS:
            value, interval = ratio(table, name, OURS, "jct_mean_s")
            lines.append(_row(name, _number(value), _interval(interval)))
    return lines


def _losses(table: Table) -> list[str]:
    """In each figure the peers whose mean is better than ours."""
    if OURS not in table:
        return ["No run of ours."]
    lines = []
    for figure in LOSSES:
        mine = _mean(values(table[OURS], figure))
        sign = 1 if figure in _MORE_IS_BETTER else -1
        better = {
            name: theirs
            for name, results in table.items()
            if name not in {OURS, BOUND}
            and ARMS[name].peer
            and sign * ((theirs := _mean(values(results, figure))) - mine) > 0
        }
        heading, factor = FIGURES[figure]
        if better:
            who = ", ".join(f"{name} {_number(value * factor)}" for name, value in better.items())
            lines.append(f"- {heading}: ours {_number(mine * factor)}; {who}")
    return lines or ["Nowhere among the peers and figures above."]


def _cell(found: Sequence[float], factor: float) -> str:
    return _number(_mean(found) * factor)


def _mean(found: Sequence[float]) -> float:
    finite = [value for value in found if not math.isnan(value)]
    return float(np.mean(finite)) if finite else math.nan


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.4g} to {interval.high:.4g} ({interval.pairs} pairs)"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
