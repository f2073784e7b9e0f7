"""Batch logs in the Standard Workload Format, as CPU work.

Knows nothing of who waited how long: the logs' own wait times are not read.
"""

from dataclasses import dataclass
from pathlib import Path

from fabric.core.errors import BadInput
from fabric.simulator.hti.traces.lines import Row, text_of

_FIELDS = 18
_NAMES = {
    0: "job id",
    1: "submit",
    3: "run",
    4: "processors",
    7: "requested processors",
    8: "requested time",
    11: "user",
}


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

    Fields of -1 are unknown: processors fall back to those requested, the requested time to the run time. Jobs without
    a run time or processors never ran and are left out. A requested time below the run time is raised to it, since
    here walltimes kill.

    Raises:
        BadInput: If a line has too few fields, or one of them is no number or a time before the log's start.
    """
    jobs = []
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(";"):
            continue
        fields = line.split()
        if len(fields) < _FIELDS:
            message = f"{path}:{number}: has {len(fields)} of {_FIELDS} fields. Correct or remove the line."
            raise BadInput(message, path=str(path), line=number)
        jobs.append(_job(Row(str(path), number, {name: fields[i] for i, name in _NAMES.items()})))
    ran = [job for job in jobs if job.run_s > 0 and job.processors > 0]
    if not ran:
        raise BadInput(f"{path}: has no jobs that ran", path=str(path))
    return tuple(sorted(ran))


def _job(row: Row) -> CpuRow:
    run_s = row.number("run", least=-1)
    allocated, asked = row.whole("processors", least=-1), row.whole("requested processors", least=-1)
    return CpuRow(
        submit_s=row.number("submit"),
        job_id=row.whole("job id"),
        run_s=run_s,
        processors=allocated if allocated > 0 else asked,
        requested_s=max(run_s, row.number("requested time", least=-1)),
        user=row.whole("user", least=-1),
    )
