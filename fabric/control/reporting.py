"""What workloads tell of themselves, and the size at which they hear that they should work.

Knows nothing of HTTP.
"""

from collections.abc import Callable

from fabric.api.admin import Report, SizeView
from fabric.control.callers import Caller, Permission
from fabric.control.ports import Ports
from fabric.control.sizes import size_of
from fabric.core.errors import BadInput, Conflict
from fabric.workloads.record import Record

LARGEST_INTEGER = 2**63 - 1
"""Largest whole number that every SQL store takes."""


class Reporting:
    """What processes of workloads may ask."""

    def __init__(self, ports: Ports, get: Callable[[str, Caller], Record]) -> None:
        """Remember where it is kept.

        Args:
            ports: Where it is kept, and who is woken.
            get: A workload, if it is within the caller's reach.
        """
        self._ports, self._get = ports, get

    def report(self, name: str, report: Report, caller: Caller, attempt: int | None = None) -> None:
        """Keep what a workload tells of itself.

        Args:
            name: The workload.
            report: What it tells.
            caller: Who tells it.
            attempt: The attempt that tells it, where it says so.

        Raises:
            NotFound: If there is none of that name.
            Denied: If somebody else tells it.
            BadInput: If a number is larger than any store takes.
            Conflict: If it, or that attempt, has ended.
        """
        caller.require(Permission.REPORT)
        record = self._get(name, caller)
        if record.state.final:
            raise Conflict(f"{name} has already {record.state} and reports no more", workload=name)
        if max(report.checkpoint_step or 0, report.checkpoint_bytes or 0) > LARGEST_INTEGER:
            raise BadInput(f"checkpoint_step and checkpoint_bytes may be at most {LARGEST_INTEGER}", workload=name)
        self._ports.reports.report(name, report, attempt)
        if report.workers is not None:
            self._ports.process.wake()  # somebody may wait for what it gives back

    def size(self, name: str, caller: Caller) -> SizeView:
        """The size at which a workload should work now.

        Raises:
            NotFound: If there is none of that name.
            Denied: If it is out of the caller's reach.
        """
        caller.require(Permission.REPORT)
        record = self._get(name, caller)
        # Most that ask are not elastic, and hear it without a look at what they told.
        works_at = self._ports.reports.progress(name).workers if record.spec.elastic else None
        return size_of(record, works_at)
