"""Texts about work, without the names of work that is none of the reader's.

Knows nothing of HTTP, or of how a text came about. What the scheduler says of one workload names others: who is ahead,
who has to leave, for whom there must be room.
"""

import re
from collections.abc import Callable

from fabric.control.callers import Caller
from fabric.control.ports import Workloads
from fabric.core.errors import NotFound

OTHERS = "work of another project"
"""What stands instead of a name."""

Reads = Callable[[str], str]
"""What a reader is shown of a text."""

WORDS = frozenset(
    "a an and ask at be been before begins behind by cannot class comes CPU CPUs done end even expected fit fits "
    "for foreseen free GiB GPU GPUs has have held in is it its left less limit looked made make MiB more most "
    "must needs no nobody node nodes not of on one or other per preempted project promised room run running s "
    "scheduler short start started starts still stop stopped succeeded failed cancelled queued than that the "
    "their them tier time to turn two until UTC wait waits which while will with within without worker workers "
    "workload would yet".split()
)
"""What our own texts are made of: whoever calls work by such a word is not given away by it, and nobody looks it up."""

_NAME = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?"
_WORD = re.compile(rf"(?P<asker>(?<=room for ))?(?P<name>{_NAME})")
_AMOUNT = re.compile(r"[\d.:-]+")
_SAME_AGAIN = re.compile(rf"{OTHERS}(?:, {OTHERS})+")


class Discretion:
    """Knows whose work a name is."""

    def __init__(self, workloads: Workloads) -> None:
        self._workloads = workloads

    def towards(self, caller: Caller) -> Reads:
        """What `caller` is shown of a text; whoever is of the whole site is shown all of it."""
        if caller.project is None:
            return str
        known: dict[str, str | None] = {}

        def shown(match: re.Match[str]) -> str:
            name = match["name"]
            if name in WORDS or _AMOUNT.fullmatch(name):
                return name
            if name not in known:
                known[name] = self._project_of(name)
            # Whose room was made for may have been deleted since.
            unknown_is = "" if match["asker"] is not None else caller.project
            return name if (known[name] or unknown_is) == caller.project else OTHERS

        def read(text: str) -> str:
            return _SAME_AGAIN.sub(OTHERS, _WORD.sub(shown, text))

        return read

    def _project_of(self, name: str) -> str | None:
        try:
            return self._workloads.get(name).spec.project
        except NotFound:
            return None
