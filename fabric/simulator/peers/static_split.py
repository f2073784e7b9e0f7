"""B1: serving nodes set apart for the peak, and EASY backfill on all others.

Knows nothing of demand, elasticity or preemption. Pure: it remembers nothing between decisions.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Snapshot
from fabric.simulator.peers.batch import Backfill, walk
from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.services import at_peak, begin, scale, services
from fabric.simulator.peers.settings import SERVING_RANK, Decider, Search, SplitSettings


class StaticSplitSettings(SplitSettings):
    """A split and a batch queue."""

    protect: int = Field(default=1, ge=1)
    """For how many blocked jobs on each tier room is reserved; 1 is EASY (Lifka 1995; Mu'alem and Feitelson, 2001)."""

    backfill: Literal["queue", "shortest"] = "queue"
    """In which order jobs are tried that may pass: as they came, or by walltime (EASY-SJBF, Tsafrir et al., 2007)."""

    horizon_s: float = Field(default=7 * 86400.0, gt=0)
    """How far ahead a start is looked for, in seconds; the longest walltime class of HTI-14."""


SEARCH: Search = {"backfill": ("queue", "shortest"), "protect": (1, 2, 4)}
"""What a tuning run tries."""


def static_split(settings: StaticSplitSettings) -> Decider:
    """A decider that keeps services at their peak on nodes of their own, and runs the rest by EASY."""

    def decide(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        draft = Draft(snapshot, settings, now)
        serve_at_peak(draft, settings.peaks)
        jobs = [work for work in draft.ready if work.rank != SERVING_RANK]
        how = Backfill(settings.protect, settings.backfill == "shortest", settings.horizon_s)
        walk(draft, jobs, how)
        return draft.plan()

    return decide


def serve_at_peak(draft: Draft, peaks: Mapping[str, int]) -> None:
    """Let every service hold its peak on the nodes that are set apart, as far as they suffice."""
    begin(draft, peaks)
    scale(draft, {service.name: at_peak(service, peaks) for service in services(draft)})
