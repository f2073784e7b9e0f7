"""Nodes as lots: rows of one tier that are alike to whoever may use them.

Knows nothing of who runs there.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fabric.scheduler.columns import CPUS, GPUS, NodeColumns, Rows
from fabric.simulator.peers.settings import PeerSettings, SplitSettings


@dataclass(frozen=True, slots=True, eq=False)
class Lot:
    """Some nodes of one tier."""

    name: str
    tier: str
    rows: Rows
    speed: float
    """Progress on one accelerator, relative to the fastest tier."""
    devices: int
    """Accelerators of all its nodes; CPU cores where it has none."""


@dataclass(frozen=True, slots=True, eq=False)
class Lots:
    """All nodes of a site."""

    gpu: tuple[Lot, ...]
    """For jobs with accelerators, the fastest first."""
    cpu: tuple[Lot, ...]
    """For work without; nodes with accelerators only where the site has no others."""
    serving: tuple[Lot, ...]
    """For services: what is set apart, or all lots with accelerators."""
    apart: Lot | None
    """What is set apart for services."""


def lots_of(site: NodeColumns, settings: PeerSettings) -> Lots:
    """The lots of a site; the same object for the same site and equal settings."""
    split = settings if isinstance(settings, SplitSettings) else None
    serving = (split.serving_tier, split.serving_nodes) if split and split.serving_nodes else None
    return _lots(site, tuple(sorted(settings.speeds.items())), settings.head_nodes, serving)


@lru_cache(maxsize=32)
def _lots(
    site: NodeColumns, speeds: tuple[tuple[str, float], ...], head_nodes: int, serving: tuple[str, int] | None
) -> Lots:
    apart: Lot | None = None
    gpu: list[Lot] = []
    cpu: list[Lot] = []
    for tier in site.tiers:
        rows, speed = site.rows_of[tier], dict(speeds).get(tier, 1.0)
        if not site.wastes[rows].any():
            kept = set(site.head_rows[:head_nodes].tolist())
            rows = np.array([row for row in rows.tolist() if row not in kept], dtype=np.intp)
            cpu.append(_lot(tier, tier, rows, site=site, speed=speed))
        elif serving and tier == serving[0]:
            apart = _lot(f"{tier}/serving", tier, rows[: serving[1]], site=site, speed=speed)
            gpu.append(_lot(tier, tier, rows[serving[1] :], site=site, speed=speed))
        else:
            gpu.append(_lot(tier, tier, rows, site=site, speed=speed))
    gpu.sort(key=lambda lot: (-lot.speed, lot.name))
    return Lots(tuple(gpu), tuple(cpu) or tuple(gpu), (apart,) if apart else tuple(gpu), apart)


def _lot(name: str, tier: str, rows: Rows, *, site: NodeColumns, speed: float) -> Lot:
    total = site.capacity[rows].sum(axis=0)
    return Lot(name, tier, rows, speed, int(total[GPUS] or total[CPUS]) // 1000)
