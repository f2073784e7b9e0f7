"""Read job logs in the Standard Workload Format (SWF), and make records of them.

Knows nothing of how they are scheduled. Format: Chapin et al., "Benchmarks and standards for the evaluation of parallel
job schedulers", 1999; 18 fields a line, -1 where a value is not known.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fabric.core.errors import BadInput
from fabric.core.resources import Resources
from fabric.scheduler.snapshot import Node
from fabric.workloads.record import Instants, Record
from fabric.workloads.spec import Group, WorkloadSpec
from fabric.workloads.states import State

FIELDS = 18
"""Values on a line of the format."""
_JOB, _SUBMIT, _RUN, _ALLOCATED, _REQUESTED, _TIME = 0, 1, 3, 4, 7, 8


@dataclass(frozen=True, slots=True)
class SwfJob:
    """One job of a log, as far as it can be simulated."""

    number: int
    submit_s: float
    """Seconds since the log's beginning, like all instants of a log."""
    run_s: float
    """How long it runs, in seconds: at most `requested_s`, as it is killed then."""
    processors: int
    requested_s: float
    """How long its owner said that it may run."""


def read_swf(path: Path, processors: int) -> tuple[SwfJob, ...]:
    """Read a log, packed by gzip or plain, ordered by instant of submission and then by number.

    What is not known (-1): requested processors are taken from the allocated ones, the requested time from the run
    time. A job that ran for no time (0 or -1: it was cancelled before it began) is left out. A run that is longer than
    requested is cut, as the machine kills it then.

    Args:
        path: The log.
        processors: Processors of the machine that is simulated.

    Raises:
        BadInput: If the file cannot be read, or naming the first line that is broken: too few fields, no numbers, a
            negative instant, no processors, or more than the machine has.
    """
    if processors < 1:
        raise BadInput(f"a machine needs at least one processor, not {processors}. Give --processors N.")
    jobs: dict[int, SwfJob] = {}
    for number, line in _lines(path):
        where = f"{path}, line {number}"
        job = _job(line, where, processors)
        if job is None:
            continue
        if job.number in jobs:
            raise BadInput(f"{where}: there is a job {job.number} already. Give every job a number of its own.")
        jobs[job.number] = job
    return tuple(sorted(jobs.values(), key=lambda job: (job.submit_s, job.number)))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that hold a job.

    Raises:
        BadInput: If the file cannot be read.
    """
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip() and not line.lstrip().startswith(";"):
                    yield number, line
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file. Give a log in SWF, plain or packed by gzip.") from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise BadInput(f"{path}: cannot be read as an SWF log: {error}") from None


def _job(line: str, where: str, processors: int) -> SwfJob | None:
    """The job of a line, or None if it never ran.

    Raises:
        BadInput: If the line is broken.
    """
    words = line.split()
    if len(words) < FIELDS:
        raise BadInput(f"{where}: has {len(words)} fields, but SWF has {FIELDS}. Write -1 for what is not known.")
    try:
        number, submit, run, allocated, requested, time = (
            float(words[field]) for field in (_JOB, _SUBMIT, _RUN, _ALLOCATED, _REQUESTED, _TIME)
        )
    except ValueError as error:
        raise BadInput(f"{where}: {error}. Every field is a number, -1 where it is not known.") from None
    if not 0 <= submit < float("inf"):
        raise BadInput(f"{where}: job {words[_JOB]} is submitted at {words[_SUBMIT]}. Instants are seconds from 0 on.")
    if run in (0, -1):
        return None
    if not 0 < run < float("inf"):
        raise BadInput(f"{where}: job {words[_JOB]} ran for {words[_RUN]} s. Give seconds, or -1 if it never ran.")
    width = requested if requested != -1 else allocated
    if width < 1 or not width.is_integer():
        raise BadInput(f"{where}: job {words[_JOB]} has {width:g} processors. A job needs a whole number from 1 on.")
    if width > processors:
        raise BadInput(
            f"{where}: job {words[_JOB]} needs {width:g} processors, but the machine has {processors}. "
            "Give --processors as many as the log's machine had."
        )
    limit = run if time == -1 else time
    if not 0 < limit < float("inf"):
        raise BadInput(f"{where}: job {words[_JOB]} requests {words[_TIME]} s. Give seconds, or -1 for its run time.")
    return SwfJob(int(number), submit, min(run, limit), int(width), limit)


def machine(processors: int) -> tuple[Node, ...]:
    """A machine of equal processors without topology: one node with that many CPUs."""
    return (Node("machine", "machine", Resources.of(cpus=processors), heads=True),)


def record_of(job: SwfJob, walltime_s: float) -> Record:
    """A queued record: as many workers of one CPU as the job has processors.

    Args:
        job: The job.
        walltime_s: How long the scheduler is told that it may run.
    """
    # Numbers have leading zeros, so that names have the order of numbers.
    spec = WorkloadSpec(
        name=f"job-{job.number:09d}", entrypoint="run", groups=_groups(job.processors), walltime_s=float(walltime_s)
    )
    return Record(spec.name or "", spec, State.QUEUED, Instants(job.submit_s))


def names_of(jobs: Iterable[SwfJob]) -> dict[str, SwfJob]:
    """Jobs by the names of their records."""
    return {f"job-{job.number:09d}": job for job in jobs}


@lru_cache(maxsize=4096)
def _groups(processors: int) -> tuple[Group, ...]:
    return (Group(count=processors, cpus=1.0, memory="0 B"),)
