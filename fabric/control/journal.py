"""A line in control's own log for every move of a workload.

Knows nothing of where the lines go.
"""

import logging

from fabric.control.watched import Change
from fabric.workloads.states import State

_log = logging.getLogger(__name__)


def note(change: Change) -> None:
    """Tell of a move; a `fabric.control.watched.Listener`."""
    record = change.after
    if not change.moved:
        return
    level = logging.WARNING if record.state in {State.FAILED, State.RECOVERING} else logging.INFO
    if change.before is None:
        level = logging.DEBUG  # hundreds may come in a second, and each is in the records
    about = {"workload": record.name, "project": record.spec.project, "attempt": record.attempt}
    _log.log(level, "%s: %s", record.state, record.message or "submitted", extra=about)
