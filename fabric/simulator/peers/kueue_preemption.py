"""Whom Kueue preempts: candidates, their order, and the search for the fewest.

Knows nothing of queues' heads.

Source:
    Kueue, docs/concepts/preemption.md: classical preemption and fair sharing. Candidates of other queues count only
    while their queue borrows; those of other queues come first, then the lowest priority, then who was admitted last;
    they are removed until the asker fits, and put back in reverse where it still does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fabric.config.settings import Settings
from fabric.scheduler.columns import CPUS, GPUS
from fabric.scheduler.snapshot import Running
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.gangs import held_devices
from fabric.simulator.peers.lots import Lot
from fabric.simulator.peers.quotas import Quotas
from fabric.simulator.peers.victims import Asker, Pool, pieces_without, spared


class KueuePreemption(Settings):
    """The `preemption` of a ClusterQueue, and whether fair sharing is on."""

    reclaim_within_cohort: Literal["Never", "LowerPriority", "Any"] = "Any"
    """Whose borrowed quota a queue within its nominal quota takes back; HTI-14: Any (default: Never)."""

    within_cluster_queue: Literal["Never", "LowerPriority", "LowerOrNewerEqualPriority"] = "LowerPriority"
    """Whom of its own queue a workload may preempt (Kueue's default: Never)."""

    borrow_within_cohort: Literal["Never", "LowerPriority"] = "Never"
    """Whether a workload that has to borrow may preempt less urgent ones of other queues; Kueue's default."""

    fair_sharing: bool = False
    """Whether queues are compared by what they borrow instead of by who borrows at all."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who wants to preempt, and how much he will hold."""

    project: str
    rank: int
    submitted: float
    asked: float
    """Devices."""


def victims(
    draft: Draft, quotas: Quotas, rules: KueuePreemption, *, pool: Pool, claim: Claim, asker: Asker
) -> list[Running] | None:
    """Who leaves so that the asker fits; None if that does not help or nobody may be preempted."""
    candidates = _candidates(draft, quotas, rules, pool=pool, claim=claim, lot=asker.lot)
    missing = claim.asked - _soon_devices(draft, asker)
    if not candidates or sum(held_devices(work.slots) for work in candidates) < missing:
        return None
    if pieces_without(draft, asker, candidates) is None:
        return None
    pick = _fair if rules.fair_sharing else _classical
    chosen: list[Running] = []
    enough = False
    for work in pick(quotas, candidates, claim=claim, lot=asker.lot):
        chosen.append(work)
        quotas.give(work)
        missing -= held_devices(work.slots)
        enough = missing <= 0 and pieces_without(draft, asker, chosen) is not None
        if enough:
            break
    for work in chosen:
        quotas.give(work, sign=-1.0)
    return spared(draft, asker, chosen) if enough else None


def _candidates(
    draft: Draft, quotas: Quotas, rules: KueuePreemption, *, pool: Pool, claim: Claim, lot: Lot
) -> list[Running]:
    """Everyone who may be preempted, in order: other queues first, least urgent, admitted last."""
    mine = quotas.queue(claim.project)
    within = quotas.over(mine, lot, claim.asked) <= 0
    found: list[Running] = []
    for queue, works in pool.on(lot).items():
        if queue == mine:
            found += [work for work in works if _in_queue(rules, claim, work) and draft.movable(work)]
        elif quotas.over(queue, lot) > 0 and _in_cohort(rules, claim, None, within=within):
            found += [work for work in works if _in_cohort(rules, claim, work, within=within) and draft.movable(work)]
    found.sort(key=lambda w: (quotas.queue(w.project) == mine, -w.rank, -w.since, w.name))
    return found


def _in_queue(rules: KueuePreemption, claim: Claim, work: Running) -> bool:
    if rules.within_cluster_queue == "Never":
        return False
    newer = rules.within_cluster_queue == "LowerOrNewerEqualPriority" and work.submitted > claim.submitted
    return work.rank > claim.rank or (work.rank == claim.rank and newer)


def _in_cohort(rules: KueuePreemption, claim: Claim, work: Running | None, *, within: bool) -> bool:
    """Whether work of another queue that borrows may be preempted; without any, whether some might."""
    lower = work is None or work.rank > claim.rank
    if within or rules.fair_sharing:
        return rules.reclaim_within_cohort == "Any" or (rules.reclaim_within_cohort == "LowerPriority" and lower)
    return rules.borrow_within_cohort == "LowerPriority" and lower


def _classical(quotas: Quotas, candidates: Sequence[Running], *, claim: Claim, lot: Lot) -> Iterator[Running]:
    """In order, passing over queues that do not borrow any more."""
    mine = quotas.queue(claim.project)
    for work in candidates:
        theirs = quotas.queue(work.project)
        if theirs == mine or quotas.over(theirs, lot) > 0:
            yield work


def _fair(quotas: Quotas, candidates: Sequence[Running], *, claim: Claim, lot: Lot) -> Iterator[Running]:
    """From the queue that borrows most, as long as the asker's ends up with no more than it.

    That is LessThanOrEqualToFinalShare. If that is not enough, those of queues whose share before was above the asker's
    (LessThanInitialShare).
    """
    mine = quotas.queue(claim.project)
    final = quotas.borrowed(mine, claim.asked, lot)
    left = {name: [w for w in candidates if quotas.queue(w.project) == name] for name in _queues(quotas, candidates)}
    retry: list[Running] = []
    while left:
        name = max(sorted(left), key=lambda n: (n != mine, quotas.borrowed(n)))
        work = left[name].pop(0)
        if not left[name]:
            del left[name]
        if name == mine or final <= quotas.borrowed(name, -held_devices(work.slots), lot):
            yield work
        else:
            retry.append(work)
    for work in retry:
        if final < quotas.borrowed(quotas.queue(work.project)):
            yield work


def _queues(quotas: Quotas, works: Sequence[Running]) -> list[str]:
    return sorted({quotas.queue(work.project) for work in works})


def _soon_devices(draft: Draft, asker: Asker) -> float:
    """Devices of the lot that are free, or about to be."""
    column = GPUS if asker.lot in draft.lots.gpu or asker.lot in draft.lots.serving else CPUS
    return float(np.maximum(draft.board.soon[asker.lot.rows, column], 0).sum()) / 1000
