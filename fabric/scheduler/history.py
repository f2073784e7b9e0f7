"""What no record says and a restart must not forget: what projects have used of late, and how long runs took.

Knows nothing of how it is kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fabric.scheduler.estimates import NO_RUNS, Run, Runs
from fabric.scheduler.readiness import NO_EXPERIENCE, Experience
from fabric.scheduler.snapshot import NO_USAGE
from fabric.scheduler.usage import Usage

KEEP_S = 60.0
"""Seconds after which what projects used is written again; a control that dies forgets at most so much of it."""


@dataclass(frozen=True, slots=True)
class History:
    """What is known when a loop begins."""

    usage: Usage = NO_USAGE
    """What projects have used."""
    runs: Runs = NO_RUNS
    """The latest runs of every owner."""
    known: Experience = NO_EXPERIENCE
    """How long starts take; it is not kept, as a few starts teach it again."""


class Memory(Protocol):
    """Where history is kept. Writes are durable when the call returns."""

    def recall(self) -> History:
        """What was kept."""
        ...

    def remember(self, usage: Usage, runs: Sequence[Run]) -> None:
        """Keep what projects used, in place of what was kept before, and runs that have ended since."""
        ...


class Keeper:
    """Writes history when there is a new run, and what was used now and then."""

    def __init__(self, memory: Memory | None) -> None:
        """Begin; with None nothing is kept.

        Args:
            memory: Where.
        """
        self._memory = memory
        self._kept_at = -math.inf

    def recall(self) -> History:
        """What was kept; nothing where nothing is."""
        return self._memory.recall() if self._memory is not None else History()

    def keep(self, usage: Usage, runs: Sequence[Run]) -> None:
        """Keep what is due: what was used, if it is long ago that it was written, and `runs`."""
        if self._memory is not None and (runs or usage.at >= self._kept_at + KEEP_S):
            self._memory.remember(usage, runs)
            self._kept_at = usage.at
