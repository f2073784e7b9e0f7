"""Texts about work, without the names of work that is none of the reader's.

Knows nothing of HTTP, or of how a text came about. What the scheduler says of one workload names others: who is ahead,
who has to leave, for whom there must be room.
"""

import re
from collections.abc import Callable

from fabric.control.callers import Caller
from fabric.control.ports import Workloads
from fabric.core.errors import NotFound
from fabric.workloads.record import Record

OTHERS = "work of another project"
"""What stands instead of a name."""

Reads = Callable[[str], str]
"""What a reader is shown of a text."""

_NAME = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?"
_WORD = re.compile(_NAME)
_ASKER = re.compile(rf"(?<=room for ){_NAME}")
_SAME_AGAIN = re.compile(rf"{OTHERS}(?:, {OTHERS})+")


class Discretion:
    """Knows whose work a name is."""

    def __init__(self, workloads: Workloads) -> None:
        self._workloads = workloads

    def towards(self, caller: Caller) -> Reads:
        """What `caller` is shown of a text; whoever is of the whole site is shown all of it."""
        if caller.project is None:
            return str
        theirs = {name for name, record in self._workloads.active().items() if not _reaches(caller, record)}

        def of_active(match: re.Match[str]) -> str:
            return OTHERS if match[0] in theirs else match[0]

        def of_asker(match: re.Match[str]) -> str:
            # In a history it may have ended long ago.
            return match[0] if match[0] not in theirs and self._is_his(match[0], caller) else OTHERS

        def read(text: str) -> str:
            return _SAME_AGAIN.sub(OTHERS, _WORD.sub(of_active, _ASKER.sub(of_asker, text)))

        return read

    def _is_his(self, name: str, caller: Caller) -> bool:
        try:
            return _reaches(caller, self._workloads.get(name))
        except NotFound:
            return False


def _reaches(caller: Caller, record: Record) -> bool:
    return caller.project in (None, record.spec.project)
