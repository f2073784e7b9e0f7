"""Read job logs in the Standard Workload Format (SWF), and make records of them.

Knows nothing of how they are scheduled. Format: Chapin et al., "Benchmarks and standards for the evaluation of parallel
job schedulers", 1999; 18 fields a line, -1 where a value is not known.
"""

import gzip
import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from fabric.core.errors import BadInput
from fabric.core.resources import Resources
from fabric.scheduler.snapshot import Node
from fabric.workloads.record import Instants, Record
from fabric.workloads.spec import Group, WorkloadSpec
from fabric.workloads.states import State

FIELDS = 18
"""Values on a line of the format."""
_JOB, _SUBMIT, _RUN, _ALLOCATED, _REQUESTED, _TIME, _USER = 0, 1, 3, 4, 7, 8, 11


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of what a log leaves open; the users of logs differ in just this."""

    width: Literal["requested", "allocated"]
    """Which of the two counts of processors is taken; the other where it is not known."""
    overrun: Literal["cut", "raise"]
    """What a run becomes that is longer than requested: cut, as the machine kills it then, or its request raised."""
    strict: bool
    """Whether what is neither known nor -1, a job without processors and a number that is used twice are refused;
    otherwise such values count as not known, and the job is left out if nothing is left."""


PUBLISHED = Rule("requested", "cut", strict=True)
"""As simulators of batch systems read logs, those of the published results among them."""
AS_RUN = Rule("allocated", "raise", strict=False)
"""As the machine ran it: what was held, for as long as it was held."""


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
    user: int = -1
    """Number of its owner; -1 where the log does not say."""


def read_swf(path: Path, processors: int) -> tuple[SwfJob, ...]:
    """Read a log, packed by gzip or plain, ordered by instant of submission and then by number.

    Read by the rule `PUBLISHED`. A requested time that is not known (-1) is taken from the run time. A job that ran for
    no time (0 or -1: it was cancelled before it began) is left out.

    Args:
        path: The log.
        processors: Processors of the machine that is simulated.

    Raises:
        BadInput: If the file cannot be read, or naming the first line that is broken: too few fields, no numbers, a
            negative instant, no processors, or more than the machine has.
    """
    if processors < 1:
        raise BadInput(f"a machine needs at least one processor, not {processors}. Give --processors N.")
    jobs = []
    for where, job in jobs_in(_lines(path), str(path), PUBLISHED):
        if job.processors > processors:
            raise BadInput(
                f"{where}: job {job.number} needs {job.processors} processors, but the machine has {processors}. "
                "Give --processors as many as the log's machine had."
            )
        jobs.append(job)
    return tuple(sorted(jobs, key=lambda job: (job.submit_s, job.number)))


def jobs_in(lines: Iterable[str], name: str, rule: Rule) -> Iterator[tuple[str, SwfJob]]:
    """The jobs of a log that ran, in the order of its lines, each with where it is.

    Args:
        lines: Of the log, comments among them.
        name: Of the log, for messages.
        rule: What becomes of what it leaves open.

    Raises:
        BadInput: Naming the first line that is broken.
    """
    numbers: set[int] = set()
    for at, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith(";"):
            continue
        where = f"{name}, line {at}"
        job = _job(line, where, rule)
        if job is None:
            continue
        if rule.strict and job.number in numbers:
            raise BadInput(f"{where}: there is a job {job.number} already. Give every job a number of its own.")
        numbers.add(job.number)
        yield where, job


def _lines(path: Path) -> Iterator[str]:
    """The lines of a log, packed or not.

    Raises:
        BadInput: If the file cannot be read.
    """
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as file:
            yield from file
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file. Give a log in SWF, plain or packed by gzip.") from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise BadInput(f"{path}: cannot be read as an SWF log: {error}") from None


def _job(line: str, where: str, rule: Rule) -> SwfJob | None:
    """The job of a line, or None if it never ran.

    Raises:
        BadInput: If the line is broken.
    """
    words = line.split()
    if len(words) < FIELDS:
        raise BadInput(f"{where}: has {len(words)} fields, but SWF has {FIELDS}. Write -1 for what is not known.")
    try:
        number, submit, run, allocated, requested, time, user = (
            float(words[field]) for field in (_JOB, _SUBMIT, _RUN, _ALLOCATED, _REQUESTED, _TIME, _USER)
        )
    except ValueError as error:
        raise BadInput(f"{where}: {error}. Every field is a number, -1 where it is not known.") from None
    if not 0 <= submit < math.inf:
        raise BadInput(f"{where}: job {words[_JOB]} is submitted at {words[_SUBMIT]}. Instants are seconds from 0 on.")
    if run in (0, -1):
        return None
    if not 0 < run < math.inf:
        raise BadInput(f"{where}: job {words[_JOB]} ran for {words[_RUN]} s. Give seconds, or -1 if it never ran.")
    first, second = (requested, allocated) if rule.width == "requested" else (allocated, requested)
    width = first if _known(first, rule) else second
    if not rule.strict and width < 1:
        return None
    if width < 1 or not width.is_integer():
        raise BadInput(f"{where}: job {words[_JOB]} has {width:g} processors. A job needs a whole number from 1 on.")
    limit = time if _known(time, rule) else run
    if not 0 < limit < math.inf:
        raise BadInput(f"{where}: job {words[_JOB]} requests {words[_TIME]} s. Give seconds, or -1 for its run time.")
    if rule.overrun == "cut":
        run = min(run, limit)
    return SwfJob(int(number), submit, run, int(width), max(run, limit), int(user))


def _known(value: float, rule: Rule) -> bool:
    return value != -1 if rule.strict else value > 0


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
