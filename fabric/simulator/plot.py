"""Draw a report: how much of each tier was held over time, and how long work waited.

Knows nothing of how the report came about. matplotlib is loaded when something is drawn.
"""

from pathlib import Path

from fabric.core.errors import BadInput
from fabric.simulator.report import Report

HOUR_S = 3600.0
"""Seconds of an hour; the axes count in hours."""


def draw(report: Report, path: Path) -> None:
    """Write a picture of `report`; the ending of `path` (png, svg, pdf) says which kind.

    Raises:
        BadInput: If matplotlib is missing, or knows no such kind.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BadInput('drawing needs matplotlib. Run: pip install "compute-fabric[train]"') from None
    figure = Figure(figsize=(9, 2.2 * (len(report.occupancy) + 1)), layout="constrained")
    *above, last = figure.subplots(len(report.occupancy) + 1, 1)
    for axes, tier in zip(above, report.occupancy, strict=True):
        instants = [at / HOUR_S for at, _ in tier.steps]
        axes.fill_between(instants, [held for _, held in tier.steps], step="post", alpha=0.6)
        axes.axhline(tier.there, color="black", linewidth=0.8)
        axes.set(ylabel=f"{tier.tier}: {tier.device} held", xlabel="hours", ylim=(0, tier.there * 1.05))
    waits = sorted(wait / HOUR_S for wait in report.waits_s)
    last.step(waits, [(number + 1) / len(waits) for number in range(len(waits))], where="post")
    last.set(xlabel="hours waited", ylabel="share of workloads", ylim=(0, 1.02))
    try:
        figure.savefig(path)
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from None
