"""How the cost of a decision grows: a table and a picture of seconds against nodes and against waiting workloads.

Knows nothing of the worlds that are measured; `decide` draws them.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import TypeVar

from fabric.scheduler.cycle import decide
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Snapshot

STEPS = (100, 200, 500, 1000, 2000, 5000, 10_000)
"""Sizes along an axis, while the other one stays at `FIXED`."""
FIXED = 1000
"""Nodes, or waiting workloads, along the other axis."""

T = TypeVar("T")

Worlds = Callable[[int, int, int], Snapshot]
"""A world of so many nodes, so many waiting workloads, and a seed."""
Filled = Callable[[Snapshot, Plan], Snapshot]
"""A world after everybody has started whom a plan placed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians of processor seconds at one size."""

    nodes: int
    waiting: int
    anew_s: float
    """A snapshot made from scratch."""
    update_s: float
    """The same snapshot brought in step with one workload that ended and one that came."""
    first_s: float
    """A decision on a world with room, which fills it up."""
    next_s: float
    """The decision after that, which is what a loop makes all day."""


def sizes(most: int) -> tuple[tuple[int, int], ...]:
    """Nodes and waiting workloads to measure, no axis above `most`."""
    steps = [step for step in STEPS if step <= most]
    return tuple(dict.fromkeys([*((step, FIXED) for step in steps), *((FIXED, step) for step in steps)]))


def cost(nodes: int, waiting: int, times: int, *, world: Worlds, filled: Filled) -> Cost:
    """Measure one size on `times` worlds."""
    rows = [_once(world(nodes, waiting, seed), filled) for seed in range(times)]
    return Cost(nodes, waiting, *(median(column) for column in zip(*rows, strict=True)))


def _once(seen: Snapshot, filled: Filled) -> tuple[float, float, float, float]:
    policy = Policy(backfill="shortest")
    anew_s, _ = _timed(lambda: Snapshot.of(seen.nodes, seen.running, seen.waiting, head=seen.head, claims=seen.claims))
    first_s, plan = _timed(lambda: decide(seen, policy, 0.0))
    after = filled(seen, plan)
    gone, one = after.running[len(after.running) // 2], after.waiting[-1]
    update_s, changed = _timed(lambda: after.updated(left=[gone], queued=[replace(one, name="newcomer")]))
    next_s, _ = _timed(lambda: decide(changed, policy, 0.0))
    return anew_s, update_s, first_s, next_s


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def table(costs: Iterable[Cost]) -> str:
    """The figures as a table in Markdown, in milliseconds."""
    lines = [
        "| nodes | waiting | snapshot anew, ms | update by one event, ms | first decision, ms | next decision, ms |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in costs:
        times = (f"{1000 * seconds:.3g}" for seconds in (row.anew_s, row.update_s, row.first_s, row.next_s))
        lines.append(f"| {row.nodes:,} | {row.waiting:,} | {' | '.join(times)} |")
    return "\n".join(lines) + "\n"


def exponent(sizes_: Sequence[int], seconds: Sequence[float]) -> float:
    """The power of the size with which cost grows: slope of the least-squares line through the logarithms."""
    xs, ys = [math.log(size) for size in sizes_], [math.log(second) for second in seconds]
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    over = sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True))
    return over / sum((x - middle_x) ** 2 for x in xs)


def draw(costs: Sequence[Cost], path: Path) -> None:
    """Write a picture with one panel for each axis, both logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axes, axis, other in zip(figure.subplots(1, 2), ("nodes", "waiting"), ("waiting", "nodes"), strict=True):
        along = sorted((row for row in costs if getattr(row, other) == FIXED), key=lambda row: getattr(row, axis))
        xs = [getattr(row, axis) for row in along]
        for name in (field.name for field in fields(Cost) if field.name.endswith("_s")):
            ys = [getattr(row, name) for row in along]
            grows = f" (power {exponent(xs, ys):.2f})" if len(xs) > 1 and min(ys) > 0 else ""
            axes.loglog(xs, ys, marker="o", label=f"{name.removesuffix('_s')}{grows}")
        axes.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
        axes.set(xlabel=f"{axis} ({FIXED:,} {other})", ylabel="processor seconds")
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
