"""Work that runs and shows no sign of life: accelerators that are idle, or seem so, and jobs without progress.

Knows nothing of who is told. Whether accelerators are idle is measured where it can be; elsewhere, and of progress, a
report through the SDK or a line of output is a sign of life. A service that nobody asks is none of this, as its
forecast sees to it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from fabric.api.use import UseView
from fabric.config.notices import Warnings
from fabric.control.ports import Logs, Reports
from fabric.scheduler.metering import BUSY_CPUS
from fabric.workloads.record import Event, Record
from fabric.workloads.states import State

SILENT = "has neither reported nor written anything"
"""In a warning that is of silence; others are of accelerators."""

Using = Callable[[Iterable[Record]], Mapping[str, UseView]]
"""What some workloads use of their grants, by name, as far as it is measured."""


class Signs:
    """Looks for signs of life; safe to call from several threads at once."""

    def __init__(self, reports: Reports, logs: Logs, thresholds: Warnings, using: Using = lambda records: {}) -> None:
        """Look at nothing yet.

        Args:
            reports: What work tells of itself.
            logs: What it writes.
            thresholds: When its silence, or what it leaves idle, is worth a warning.
            using: What it uses.
        """
        self._reports, self._logs, self._thresholds, self._using = reports, logs, thresholds, using

    def warnings(self, records: Iterable[Record], now: float) -> dict[str, str]:
        """What is to be said of some records, by name; of most nothing."""
        judged = [record for record in records if is_judged(record)]
        if not judged:
            return {}
        reported, uses = self._reports.reported_at(), self._using([record for record in judged if _gpus(record)])
        said = {r.name: self._of(r, reported.get(r.name), uses.get(r.name), now) for r in judged}
        return {name: text for name, text in said.items() if text}

    def works_again(self, record: Record, warning: Event) -> bool:
        """Whether work that is not suspicious any more has shown since a warning that it works.

        Of silence a sign of life ends it; of idleness only that all accelerators were seen to work, as that nothing is
        known of them shows nothing.
        """
        if SILENT not in warning.reason:
            use = self._using([record]).get(record.name)
            found = list(_accelerators(use)) if use is not None else []
            return bool(found) and all(each.worked_at > warning.at for each in found)
        told, written = self._reports.reported_at().get(record.name), self._logs.written_at(record.name, record.attempt)
        return max(told or 0.0, written or 0.0) > warning.at

    def _of(self, record: Record, reported: float | None, use: UseView | None, now: float) -> str:
        idle = idle_of(record, use, self._thresholds.idle_gpus_s) if use is not None else None
        return idle.words(record) if idle is not None else self._silent(record, reported, use, now)

    def _silent(self, record: Record, reported: float | None, use: UseView | None, now: float) -> str:
        begins, measured = record.at.running, use is not None and any(part.worked_at for part in use.slices)
        threshold_s = threshold_of(record, self._thresholds, measured=measured)
        # Most are young, or have just reported, and nobody looks at their files.
        if begins is None or threshold_s is None or now - max(begins, reported or 0.0) < threshold_s:
            return ""
        written = self._logs.written_at(record.name, record.attempt)
        silent_s = now - max(begins, reported or 0.0, written or 0.0)
        return warning_of(record, silent_s, measured=measured) if silent_s >= threshold_s else ""


def is_judged(record: Record) -> bool:
    """Whether it may ever be warned of: a job that runs, and that nobody made in Kubernetes himself."""
    return record.spec.kind == "job" and record.spec.adopted is None and record.state is State.RUNNING


def threshold_of(record: Record, thresholds: Warnings, *, measured: bool = False) -> float | None:
    """After how many seconds of silence a warning is due; None where none ever is.

    Args:
        record: The workload.
        thresholds: Of the site.
        measured: Whether it is known how busy its accelerators are, so that silence says nothing of them.
    """
    if not is_judged(record):
        return None
    return thresholds.idle_gpus_s if _gpus(record) and not measured else thresholds.stalled_s


@dataclass(frozen=True, slots=True)
class Idle:
    """Accelerators of a workload that have not worked for long."""

    gpus: float
    for_s: float
    """Since when at least, in seconds."""
    counted: bool
    """Whether their own counters say so; otherwise the CPUs beside them do."""

    def words(self, record: Record) -> str:
        """What is said of it."""
        of = f"{self.gpus:g} of {_gpus(record):g} GPUs"
        least = f"for {self.for_s / 60:.0f} min or longer"
        said = f"has left {of} idle {least}, as their counters say"
        if not self.counted:
            said = f"has used less than {BUSY_CPUS} beside {of} {least}; these have no counter here and may be idle"
        return f"attempt {record.attempt} {said}; look at `fabric explain {record.name}`"


def idle_of(record: Record, use: UseView, threshold_s: float | None) -> Idle | None:
    """The accelerators of running work that have been idle for so long; None where there are none."""
    running = record.at.running
    if threshold_s is None or running is None:
        return None
    # What was not measured, or was before it ran, is not held against it.
    since = {part.slice: max(part.since, running) for part in use.slices}
    ages = ((each, use.at - max(each.worked_at, since[each.slice])) for each in _accelerators(use))
    idle = [(each, age_s) for each, age_s in ages if age_s >= threshold_s]
    if not idle:
        return None
    return Idle(
        gpus=sum(each.gpus for each, _ in idle),
        for_s=min(age_s for _, age_s in idle),
        counted=all(each.counted for each, _ in idle),
    )


@dataclass(frozen=True, slots=True)
class _Accelerator:
    """One accelerator, or all of a slice that are only known together."""

    slice: str
    gpus: float
    worked_at: float
    """When it last worked; 0 if it was never seen to."""
    counted: bool


def _accelerators(use: UseView) -> Iterator[_Accelerator]:
    for part in use.slices:
        for at in part.worked_at:
            yield _Accelerator(part.slice, part.of_gpus / len(part.worked_at), at or 0.0, part.gpus is not None)


def warning_of(record: Record, silent_s: float, *, measured: bool = False) -> str:
    """What is said of work that has been silent for so long; `measured`: its accelerators are known to work."""
    said = f"attempt {record.attempt} {SILENT} for {silent_s / 60:.0f} min"
    gpus = 0.0 if measured else _gpus(record)
    held = f" and may keep {gpus:g} GPUs idle" if gpus else " and may be stuck"
    return f"{said}{held}; look at `fabric logs {record.name}`"


def _gpus(record: Record) -> float:
    return sum(part.resources.gpus.whole() for part in record.grant.slices) if record.grant else 0.0
