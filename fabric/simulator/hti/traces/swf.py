"""Batch logs in the Standard Workload Format, as CPU work.

Knows nothing of the format, nor of who waited how long: the logs' own wait times are not read.
"""

import io
from dataclasses import dataclass
from pathlib import Path

from fabric.core.errors import BadInput
from fabric.simulator.hti.traces.lines import text_of
from fabric.simulator.swf import AS_RUN, jobs_in


@dataclass(frozen=True, slots=True, order=True)
class CpuRow:
    """One batch job of the log."""

    submit_s: float
    job_id: int
    run_s: float
    processors: int
    requested_s: float
    """Requested time, at least the run time."""
    user: int
    """Number of the user; -1 where the log does not say."""


def read_swf(path: Path) -> tuple[CpuRow, ...]:
    """Jobs that ran, in the order of submission.

    Read by the rule `AS_RUN`: processors are those that were held, and a requested time below the run time is raised to
    it, since here walltimes kill.

    Raises:
        BadInput: If a line has too few fields, or one of them is no number or a time before the log's start.
        NotFound: If there is no such log.
        Corrupt: If it cannot be unpacked.
    """
    found = (job for _, job in jobs_in(io.StringIO(text_of(path)), str(path), AS_RUN))
    rows = [CpuRow(j.submit_s, j.number, j.run_s, j.processors, j.requested_s, j.user) for j in found]
    if not rows:
        raise BadInput(f"{path}: has no jobs that ran", path=str(path))
    return tuple(sorted(rows))
