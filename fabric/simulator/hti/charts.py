"""Draw the benchmark's arms beside each other.

Knows nothing of how a figure came about. matplotlib is loaded when something is drawn.
"""

from pathlib import Path

import numpy as np

from fabric.core.errors import BadInput
from fabric.simulator.hti.goals import Table, values
from fabric.simulator.hti.report import FIGURES

DRAWN = ("slo_attainment", "jct_mean_s", "wait_mean_s", "useful_share", "harvest_share", "wasted_gpu_h")
"""Figures that are drawn."""


def draw(table: Table, path: Path) -> None:
    """One panel for each figure: the mean of every arm as a bar, and every seed as a dot.

    Args:
        table: Results of one load.
        path: Of the picture; its ending says which kind.

    Raises:
        BadInput: If matplotlib is missing, or knows no such kind.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BadInput('drawing needs matplotlib. Run: pip install "compute-fabric[train]"') from None
    figure = Figure(figsize=(12, 7), layout="constrained")
    arms = [name for name in table if all(drawn in table[name][0].figures for drawn in DRAWN)]
    for axes, drawn in zip(figure.subplots(2, 3).flat, DRAWN, strict=True):
        heading, factor = FIGURES[drawn]
        for place, name in enumerate(arms):
            found = factor * np.array(values(table[name], drawn))
            axes.bar(place, float(np.nanmean(found)), alpha=0.5)
            axes.plot([place] * len(found), found, "k.", markersize=3)
        axes.set(title=heading)
        axes.set_xticks(range(len(arms)), arms, rotation=90)
    try:
        figure.savefig(path)
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from None
