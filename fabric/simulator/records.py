"""Records in memory, and the plainest wanted cluster: the other two ports of a simulated loop.

Knows nothing of time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from fabric.scheduler.ports import News, WantedCluster
from fabric.scheduler.snapshot import Told
from fabric.workloads.record import Event, Grant, Record


class Tells(Protocol):
    """What work said of itself."""

    def __call__(self, *, everything: bool = False) -> Mapping[str, Told]:
        """By workload: since the last question, or all that was last said."""
        ...


Shrinks = Callable[[str, int], None]
"""Takes a cluster's name and the number of workers that it keeps."""
_NOTHING: Mapping[str, Told] = {}


@dataclass(frozen=True, slots=True)
class Holding:
    """A time in which a workload held the same slices; seconds since the epoch of the simulated world."""

    workload: str
    grant: Grant
    start_s: float
    end_s: float | None = None
    """None while it holds them."""


class SimulatedRecords:
    """Implements `fabric.scheduler.ports.Records`; what has ended goes to `ended` once nobody comes after it."""

    def __init__(self, tells: Tells | None = None, shrinks: Shrinks | None = None) -> None:
        """Keep nothing yet.

        Args:
            tells: What work says of itself; nothing is said where it is left out.
            shrinks: Is told which cluster shall go on with how many workers.
        """
        self._tells, self._shrinks = tells, shrinks
        self.kept: dict[str, Record] = {}
        """Every record as it was saved last."""
        self.holdings: list[Holding] = []
        """What each held over time, where somebody notes it."""
        self.events: list[Event] = []
        """History of all, in the order of saving."""
        self.num_saves = 0
        """How often anything was saved; grows while the loop has something to do."""
        self._came: list[str] = []
        self._asked: set[str] = set()

    def submit(self, record: Record) -> None:
        """Take in a workload.

        Raises:
            ValueError: If the name is taken.
        """
        if record.name in self.kept:
            raise ValueError(f"there is a workload {record.name} already")
        self.kept[record.name] = record
        self._came.append(record.name)

    def request_stop(self, name: str, reason: str = "stopped by request") -> None:
        """Remember that somebody wants a workload ended."""
        record = self.kept[name]
        if not record.state.final:
            self.kept[name] = replace(record, stop_requested=True, stop_reason=record.stop_reason or reason)
            self._asked.add(name)

    def scale(self, name: str, workers: int) -> None:
        """Remember how many workers of its elastic group somebody wants."""
        record = self.kept[name]
        if not record.state.final:
            self.kept[name] = replace(record, wants=workers)
            self._asked.add(name)

    def active(self) -> Mapping[str, Record]:
        """Everything that is not final, and what it comes after."""
        return self._with_those_before(name for name, record in self.kept.items() if not record.state.final)

    def news(self, since: int) -> News:
        """Those that came after the first `since`, and those that shall end or have another size."""
        said = self._tells(everything=since == 0) if self._tells is not None else _NOTHING
        if since == len(self._came) and not self._asked:
            return News({}, since, said)
        told = [*self._came[since:], *sorted(self._asked)]
        live = (name for name in told if not self.kept[name].state.final)
        return News(self._with_those_before(live), len(self._came), said)

    def save(self, changes: Sequence[Record], events: Sequence[Event]) -> None:
        """Write all of them; what people asked for stays."""
        for record in changes:
            old = self.kept[record.name]
            same = (old.stop_requested, old.wants) == (record.stop_requested, record.wants)
            asked = record if same else replace(record, stop_requested=old.stop_requested, wants=old.wants)
            self.kept[record.name] = asked
            if record.state.final:
                self._asked.discard(record.name)
            elif record.target is not None and self._shrinks is not None and record.spec.elastic is not None:
                self._shrinks(record.cluster, record.target.size(record.spec.elastic.name))
        self.events += events
        self.num_saves += 1

    def _with_those_before(self, names: Iterable[str]) -> dict[str, Record]:
        told = {name: self.kept[name] for name in names}
        for record in list(told.values()):
            told |= {first: self.kept[first] for first in record.spec.after if first in self.kept}
        return told


class SimulatedBlueprint:
    """Implements `fabric.scheduler.ports.Blueprint`: a cluster of what was granted, without secrets or packages."""

    def wanted(self, record: Record) -> WantedCluster:
        """The cluster of a record.

        Raises:
            ValueError: If it holds no grant.
        """
        if record.grant is None:
            raise ValueError(f"{record.name} holds no grant")
        return WantedCluster(
            name=record.cluster, workload=record.name, attempt=record.attempt, generation=record.generation,
            grant=record.grant, entrypoint=record.spec.entrypoint, runtime_env={}, env={}, metadata={}, driver={},
            serve={} if record.spec.service else None, born=record.at.submitted,
        )  # fmt: skip
