"""Work that runs and shows no sign of life: accelerators that seem idle, and jobs without progress.

Knows nothing of who is told. A sign of life is a report through the SDK or a line of output; a service that nobody asks
is none of this, as its forecast sees to it.
"""

from collections.abc import Iterable

from fabric.config.notices import Warnings
from fabric.control.ports import Logs, Reports
from fabric.workloads.record import Record
from fabric.workloads.states import State


class Signs:
    """Looks for signs of life; safe to call from several threads at once."""

    def __init__(self, reports: Reports, logs: Logs, thresholds: Warnings) -> None:
        """Look at nothing yet.

        Args:
            reports: What work tells of itself.
            logs: What it writes.
            thresholds: When its silence is worth a warning.
        """
        self._reports, self._logs, self._thresholds = reports, logs, thresholds

    def warnings(self, records: Iterable[Record], now: float) -> dict[str, str]:
        """What is to be said of some records, by name; of most nothing."""
        judged = [record for record in records if threshold_of(record, self._thresholds) is not None]
        if not judged:
            return {}
        reported = self._reports.reported_at()
        said = {record.name: self._of(record, reported.get(record.name), now) for record in judged}
        return {name: text for name, text in said.items() if text}

    def _of(self, record: Record, reported: float | None, now: float) -> str:
        begins = record.at.running
        threshold_s = threshold_of(record, self._thresholds)
        # Most are young, or have just reported, and nobody looks at their files.
        if begins is None or threshold_s is None or now - max(begins, reported or 0.0) < threshold_s:
            return ""
        written = self._logs.written_at(record.name, record.attempt)
        silent_s = now - max(begins, reported or 0.0, written or 0.0)
        return warning_of(record, silent_s) if silent_s >= threshold_s else ""


def threshold_of(record: Record, thresholds: Warnings) -> float | None:
    """After how many seconds of silence a warning is due; None where none ever is."""
    if record.spec.kind != "job" or record.spec.adopted is not None or record.state is not State.RUNNING:
        return None
    return thresholds.idle_gpus_s if _gpus(record) else thresholds.stalled_s


def warning_of(record: Record, silent_s: float) -> str:
    """What is said of work that has been silent for so long."""
    said = f"attempt {record.attempt} has neither reported nor written anything for {silent_s / 60:.0f} min"
    gpus = _gpus(record)
    held = f" and may keep {gpus:g} GPUs idle" if gpus else " and may be stuck"
    return f"{said}{held}; look at `fabric logs {record.name}`"


def _gpus(record: Record) -> float:
    return sum(part.resources.gpus.whole() for part in record.grant.slices) if record.grant else 0.0
