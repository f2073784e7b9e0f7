"""Who is told in this turn why he waits: every start changes what the plan says of all behind it.

Knows nothing of where it is written; each record that changes is a row that somebody writes.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from fabric.scheduler.plan import Wait
from fabric.workloads.record import Record


class Telling:
    """Tells at once whoever was told nothing yet or is promised something new, and the others in turn."""

    def __init__(self, every_s: float, most: int) -> None:
        """Remember how much is told.

        Args:
            every_s: Seconds between two tellings; infinite for never.
            most: How many of those who know something already are told in one turn.
        """
        self._every_s, self._most = every_s, most
        self._told_at, self._last = -math.inf, ""

    def told(self, waits: Sequence[Wait], record_of: Callable[[str], Record], now: float) -> Iterator[Record]:
        """The records that change, with what a plan says of them.

        Args:
            waits: Of the plan.
            record_of: The record of a name, as this turn leaves it.
            now: Seconds since the epoch.
        """
        if math.isinf(self._every_s) or now < self._told_at + self._every_s:
            return
        self._told_at = now
        others: dict[str, Record] = {}
        for wait in waits:
            record = record_of(wait.workload)
            if (record.waits_for, record.expected_start, record.promised) == _said(wait):
                continue
            new = replace(record, waits_for=wait.reason, expected_start=wait.expected_start, promised=wait.promised)
            if not record.waits_for or record.promised != new.promised:
                yield new
            else:
                others[new.name] = new
        names = sorted(others)
        after = bisect_right(names, self._last)
        for name in [*names[after:], *names[:after]][: self._most]:
            self._last = name
            yield others[name]


def _said(wait: Wait) -> tuple[str, float | None, bool]:
    return wait.reason, wait.expected_start, wait.promised
