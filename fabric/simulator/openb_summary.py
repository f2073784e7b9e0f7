"""What several runs of the openb experiment say together, and the published figures beside it.

Knows nothing of how a run is made.
"""

import csv
import gzip
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fabric.core.errors import BadInput
from fabric.simulator.openb import DEMANDS_PCT, POLICIES, Run

_PUBLISHED_NAMES = ("01-Random", "02-DotProd", "03-GpuClustering", "04-GpuPacking", "05-BestFit", "06-FGD")


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation over runs, in percent; the deviation of a single run is 0."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Runs of one policy that differ in their seed, by arrived demand in percent of capacity."""

    policy: str
    seeds: tuple[int, ...]
    num_pods: float
    """Mean over runs."""
    num_lost: float
    """Mean over runs."""
    allocation_pct: Mapping[int, Spread]
    fragmentation_pct: Mapping[int, Spread]


def summary(runs: Sequence[Run]) -> Summary:
    """Means over runs of one policy.

    Raises:
        BadInput: If there are none.
    """
    if not runs:
        raise BadInput("there are no runs to summarise; ask for at least one seed.")
    return Summary(
        policy=runs[0].policy,
        seeds=tuple(run.seed for run in runs),
        num_pods=statistics.fmean(run.num_pods for run in runs),
        num_lost=statistics.fmean(run.num_lost for run in runs),
        allocation_pct=_spreads([run.allocation_pct for run in runs]),
        fragmentation_pct=_spreads([run.fragmentation_pct for run in runs]),
    )


def _spreads(curves: Sequence[Mapping[int, float]]) -> dict[int, Spread]:
    """At every demand that all runs passed; a tiny cluster can jump over some."""
    common = [pct for pct in DEMANDS_PCT if all(pct in curve for curve in curves)]
    return {pct: _spread([curve[pct] for curve in curves]) for pct in common}


def _spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0)


def published(file: Path, workload: str) -> dict[str, dict[int, Spread]]:
    """Published figures of one workload by policy and demand.

    Args:
        file: `expected_allo_discrete.csv.gz` or `expected_frag_ratio_discrete.csv.gz` of the trace.
        workload: Stem of the pod list, such as `openb_pod_list_default`.

    Raises:
        BadInput: If the file cannot be read or does not tell them.
    """
    try:
        with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
            rows = [row for row in csv.DictReader(text) if row["workload"] == workload]
        found: dict[str, dict[int, Spread]] = {}
        for policy, name in zip(POLICIES, _PUBLISHED_NAMES, strict=True):
            own = [row for row in rows if row["sc_policy"] == name]
            found[policy] = {pct: _spread([float(row[str(pct)]) for row in own]) for pct in DEMANDS_PCT}
    except (OSError, EOFError, KeyError, ValueError) as error:
        raise BadInput(f"{file}: does not tell the published results of {workload}: {error}") from error
    return found
