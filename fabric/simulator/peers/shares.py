"""What projects are entitled to, hold, and have held of late.

Knows nothing of who waits. Amounts are devices: accelerators on lots that have some, CPU cores on the others.
"""

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache

from fabric.scheduler.columns import Slot
from fabric.scheduler.snapshot import Snapshot
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.gangs import held_devices
from fabric.simulator.peers.lots import Lot, Lots

Held = dict[tuple[str, str], float]
"""Devices by project and lot."""


def entitled(project: str, lot: Lot, draft: Draft, shares: Mapping[str, float]) -> float:
    """Devices of a lot that a project is guaranteed: the site's own guarantees where it lists some, else by `shares`.

    Args:
        project: Who.
        lot: Where.
        draft: The decision.
        shares: Parts of every lot by project; without any, everybody is entitled to everything.
    """
    entries = draft.snapshot.tree.entries
    if entries:
        entry = entries.get(project)
        amount = entry.guaranteed.on(lot.tier) if entry else None
        return 0.0 if amount is None else (amount.gpus.whole() if lot in draft.lots.gpu else amount.cpus.whole())
    return lot.devices * (shares.get(project, 0.0) if shares else 1.0)


def held(draft: Draft) -> Held:
    """What every project holds on every lot, without those who are leaving."""
    lot_of = _lots_by_row(draft.lots)
    total: Held = {}
    for work in draft.snapshot.running:
        if work.name not in draft.leaving:
            add(total, work.project, work.slots, lot_of=lot_of)
    return total


def add(
    total: Held, project: str, slots: Iterable[Slot], *, lot_of: Mapping[int, tuple[str, bool]], sign: float = 1.0
) -> None:
    """Count slots of a project; CPUs beside accelerators count nothing."""
    for row, cpus, gpus, _ in slots:
        name, has_gpus = lot_of.get(row, ("", True))
        devices = (gpus if has_gpus else cpus) / 1000
        if devices:
            total[project, name] = total.get((project, name), 0.0) + sign * devices


def lots_by_row(draft: Draft) -> Mapping[int, tuple[str, bool]]:
    """The lot of each node's row, and whether it has accelerators."""
    return _lots_by_row(draft.lots)


@lru_cache(maxsize=8)
def _lots_by_row(lots: Lots) -> Mapping[int, tuple[str, bool]]:
    table = {row: (lot.name, False) for lot in lots.cpu for row in lot.rows.tolist()}
    return table | {row: (lot.name, True) for lot in (*lots.gpu, *lots.serving) for row in lot.rows.tolist()}


class Ledger:
    """Decayed use of projects: what an accounting database remembers between decisions.

    It is the state of a decider. What was held at one decision counts until the next one.
    """

    def __init__(self, half_life_s: float) -> None:
        self._half_life_s = half_life_s
        self._at: float | None = None
        self._held: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        """Device-seconds by project, the older ones counted less."""

    def advance(self, snapshot: Snapshot, now: float) -> None:
        """Count what was held since the last call; a clock that goes back adds nothing."""
        passed_s = now - self._at if self._at is not None else 0.0
        if passed_s > 0:
            kept = 0.5 ** (passed_s / self._half_life_s)
            grown_s = self._half_life_s / math.log(2) * (1 - kept)
            names = self.seconds.keys() | self._held.keys()
            self.seconds = {
                name: self.seconds.get(name, 0.0) * kept + self._held.get(name, 0.0) * grown_s for name in names
            }
        if self._at is None or now >= self._at:
            self._at = now
        self._held = {}
        for work in snapshot.running:
            if any(gpus for _, _, gpus, _ in work.slots):
                self._held[work.project] = self._held.get(work.project, 0.0) + held_devices(work.slots)
