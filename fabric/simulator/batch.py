"""Run a batch log through the loop of the fabric on a machine of equal processors.

Knows nothing of files. The habits below are those of the simulators whose published results are reproduced; they decide
when the loop looks, never what it decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fabric.core.errors import BadInput
from fabric.core.resources import Resources
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import WantedCluster
from fabric.simulator.cluster import Course
from fabric.simulator.engine import Engine, Habits
from fabric.simulator.metrics import Ran
from fabric.simulator.swf import SwfJob, machine, names_of, record_of

PYSS = Habits(one_by_one=True, only_if_it_fits=True, predicted_ends=True)
"""How pyss, the simulator of SC'15 (Gaussier et al.), tells its scheduler what happened."""
RLSCHEDULER = Habits(one_by_one=True)
"""How the simulator of RLScheduler (SC'20) does."""
EASY = Policy(protect=1, backfill="fcfs", max_passed=None, horizon_s=1e12, dated=0)
"""EASY backfilling as published: one promise, no bound on passing, and no horizon."""


@dataclass(frozen=True, slots=True)
class BatchRun:
    """A log that ran to its end."""

    jobs: tuple[Ran, ...]
    """By number."""
    num_passes: int
    """How often the loop was made to look."""


def run_batch(
    jobs: Sequence[SwfJob], processors: int, *, policy: Policy = EASY, habits: Habits = PYSS, exact: bool = False
) -> BatchRun:
    """Let every job of a log run.

    Args:
        jobs: Sorted by submission.
        processors: Of the machine.
        policy: How is decided.
        habits: When the loop looks.
        exact: Whether the scheduler is told the true run times instead of the requested ones.

    Raises:
        BadInput: If there is no job, or one never ran.
    """
    if not jobs:
        raise BadInput("the log has no job that ran. Give one with run times above 0.")
    known = names_of(jobs)
    estimates = {name: job.run_s if exact else job.requested_s for name, job in known.items()}

    def course(wanted: WantedCluster) -> Course:
        predicted_s = estimates[wanted.workload] if habits.predicted_ends else None
        return Course(known[wanted.workload].run_s, predicted_s=predicted_s)

    engine = Engine(machine(processors), course, policy=policy, head=Resources(), habits=habits)
    engine.run([record_of(job, estimates[name]) for name, job in known.items()])
    ran = [_ran(job, engine.records.kept[name].at.granted) for name, job in known.items()]
    return BatchRun(tuple(sorted(ran, key=lambda job: job.number)), engine.num_passes)


def _ran(job: SwfJob, started: float | None) -> Ran:
    if started is None:
        raise BadInput(f"job {job.number} never started; the policy holds it back for ever")
    return Ran(job.number, job.submit_s, started, job.run_s, job.processors)
