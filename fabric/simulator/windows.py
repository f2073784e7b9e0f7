"""The ten windows of RLScheduler (SC'20): 1,024 jobs each on an empty machine, five orders, with and without backfill.

Knows nothing of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fabric.core.errors import BadInput
from fabric.scheduler.policy import Policy, QueueOrder
from fabric.simulator.batch import RLSCHEDULER, run_batch
from fabric.simulator.metrics import average_bounded_slowdown, utilisation_to_last_start
from fabric.simulator.swf import SwfJob

STARTS = (1981, 2756, 4299, 8850, 3316, 2714, 5228, 7762, 4022, 7085)
"""Numbers of the first jobs, counted from 0 among those that ran, by number: what the paper's gym draws with seed 1."""
LENGTH = 1024
"""Jobs in a window."""

ORDERS: dict[str, QueueOrder] = {"fcfs": "fcfs", "sjf": "sjf", "wfp3": "wfp3-sc20", "uni": "uni-sc20", "f1": "f1"}
"""The orders by the names of the paper; its WFP3 and UNI are not the published formulas."""


@dataclass(frozen=True, slots=True)
class WindowsResult:
    """Means over the windows."""

    bsld: float
    """Average bounded slowdown."""
    utilisation: float
    """Share of the machine that worked until the last start."""
    num_passes: int
    """How often the loop was made to look."""


def policy_of(order: str, backfill: bool) -> Policy:
    """The policy that decides as the paper's simulator does.

    Raises:
        BadInput: If there is no such order.
    """
    if order not in ORDERS:
        raise BadInput(f"there is no order {order!r}. Choose one of {', '.join(ORDERS)}.")
    return Policy(
        order=ORDERS[order],
        backfill="fcfs" if backfill else "off",
        backfill_rule="strict-shadow" if backfill else "spare",
        sticky=True,
        max_passed=None,
        horizon_s=1e12,
        dated=0,
    )


def run_windows(jobs: Sequence[SwfJob], processors: int, *, order: str, backfill: bool) -> WindowsResult:
    """Run the ten windows.

    Args:
        jobs: Of the log.
        processors: Of the machine.
        order: A name of `ORDERS`.
        backfill: Whether those behind a blocked job may pass it.

    Raises:
        BadInput: If the log is too short.
    """
    policy = policy_of(order, backfill)
    by_number = sorted(jobs, key=lambda job: job.number)
    longest = max(STARTS) + LENGTH
    if len(by_number) < longest:
        raise BadInput(f"the log has {len(by_number)} jobs that ran, but the windows reach to job {longest}")
    slowdowns, shares, passes = [], [], 0
    for first in STARTS:
        window = by_number[first : first + LENGTH]
        # The paper's simulator knows no requested times but those of the log, and runs every job to its end.
        whole = [replace(job, requested_s=max(job.requested_s, job.run_s)) for job in window]
        ran = run_batch(whole, processors, policy=policy, habits=RLSCHEDULER)
        slowdowns.append(average_bounded_slowdown(ran.jobs))
        shares.append(utilisation_to_last_start(ran.jobs, processors))
        passes += ran.num_passes
    return WindowsResult(sum(slowdowns) / len(slowdowns), sum(shares) / len(shares), passes)
