"""Records of a run that also note, as they are saved, who held what and how promises were kept.

Knows nothing of who decides.

A walltime is for the size asked for on the GPU tier. When a job starts on slower accelerators or is resized, and when
it waits for another attempt, its walltime is set anew from the part of its class that its saved progress leaves. Nobody
learns the true run time by that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fabric.scheduler.ports import News
from fabric.simulator.cluster import SimulatedCluster, VirtualClock
from fabric.simulator.hti.replicas import Replicas
from fabric.simulator.hti.submissions import Submissions
from fabric.simulator.records import SimulatedRecords
from fabric.workloads.record import Event, Grant, Record
from fabric.workloads.states import State


@dataclass(slots=True)
class Notes:
    """What was noted."""

    used: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    """Accelerators in use on each node that ever had some in use, from instants on."""
    late_s: list[float] = field(default_factory=list)
    """Of each start that had been promised: how much later than first promised it came, in seconds."""
    granted_s: dict[str, float] = field(default_factory=dict)
    """First grant of each workload."""
    unfinished: set[str] = field(default_factory=set)
    """Jobs that have not ended."""


class HtiRecords(SimulatedRecords):
    """Implements `fabric.scheduler.ports.Records` for the benchmark."""

    def __init__(
        self, what: Submissions, replicas: Replicas, cluster: SimulatedCluster, clock: VirtualClock, *, grace_s: float
    ) -> None:
        super().__init__(cluster.working.tells, cluster.shrink)
        self.notes = Notes(unfinished={r.name for r in what.records if r.spec.kind == "job"})
        """What was noted."""
        self.replicas = replicas
        """Of the services."""
        self._what, self._cluster, self._clock = what, cluster, clock
        self._grace_s = grace_s
        self._held: dict[str, Grant] = {}
        self._amended: dict[str, None] = {}

    def news(self, since: int) -> News:
        """As ever, and the walltimes that were set anew."""
        news = super().news(since)
        if not self._amended:
            return news
        live = {name: self.kept[name] for name in self._amended if not self.kept[name].state.final}
        self._amended = {}
        return replace(news, records={**news.records, **live})

    def save(self, changes: Sequence[Record], events: Sequence[Event]) -> None:
        """Write all of them, and note what follows."""
        before = {record.name: self.kept[record.name] for record in changes}
        super().save(changes, ())
        for record in changes:
            self._note(before[record.name], record)

    def _note(self, before: Record, record: Record) -> None:
        now = self._clock.at
        if record.state is State.DRAINING or record.target is not None:
            self.replicas.disturbed(now)
        grant = record.grant if record.state.holds_grant else None
        if grant is not self._held.get(record.name):
            self._hold(record, grant, now)
        if record.state.final:
            self.notes.unfinished.discard(record.name)
        elif record.name in self._what.training:
            self._set_walltime(before, record, now)

    def _hold(self, record: Record, grant: Grant | None, now: float) -> None:
        old = self._held.pop(record.name, None)
        if grant is not None:
            self._held[record.name] = grant
        if old is None:
            self.notes.granted_s.setdefault(record.name, now)
            if record.promised_start is not None:
                self.notes.late_s.append(now - record.promised_start)
        self._use(old, -1, now)
        self._use(grant, 1, now)
        if record.name in self._what.services:
            self.replicas.granted(record.name, grant, now)

    def _use(self, grant: Grant | None, sign: int, now: float) -> None:
        for part in grant.slices if grant else ():
            gpus = part.resources.gpus.count // 1000
            if gpus:
                steps = self.notes.used.setdefault(part.node, [(now, 0)])
                steps.append((now, steps[-1][1] + sign * gpus))

    def _set_walltime(self, before: Record, record: Record, now: float) -> None:
        """After a start, a resize or the end of an attempt: what the class leaves, at the present pace."""
        started = record.state is State.RUNNING and before.state is not State.RUNNING
        again = record.state is State.QUEUED and record.attempt != before.attempt
        if not (started or again):
            return
        job, progress = self._what.training[record.name], self._cluster.working.progress(record.name)
        done = progress.kept if progress is not None else 0.0
        left_s, spent_s = max(1.0, job.walltime_s - done), 0.0
        if progress is not None and started and record.grant is not None:
            left_s /= progress.work.pace(record.grant)
            spent_s = now - (record.at.running if record.at.running is not None else now)
        restart_s = progress.work.restart_s if progress is not None and progress.stretches else 0.0
        walltime_s = spent_s + restart_s + left_s + self._grace_s
        if abs(walltime_s - (record.spec.walltime_s or 0.0)) > 1e-6 * walltime_s:
            spec = record.spec.model_copy(update={"walltime_s": walltime_s})
            self.kept[record.name] = replace(self.kept[record.name], spec=spec)
            self._amended[record.name] = None
