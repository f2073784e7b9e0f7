"""Play a workload through the fabric's own loop with a given decider, and measure what comes of it.

Knows nothing of any decider, and nothing of files.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fabric.core.quantity import MilliCpus, MilliGpus
from fabric.core.resources import Resources
from fabric.scheduler.forecast import Demand
from fabric.scheduler.loop import Decider
from fabric.scheduler.plan import Plan
from fabric.scheduler.policies.columns import WHOLE_MILLI_GPUS, Ask, Ints
from fabric.scheduler.policies.fragmentation import fragments, task_mix
from fabric.scheduler.policy import Policy
from fabric.scheduler.quota import tree
from fabric.scheduler.snapshot import Node, Snapshot, Told
from fabric.simulator.cluster import SimulatedCluster, VirtualClock
from fabric.simulator.engine import Act, Engine, Habits, Parts
from fabric.simulator.hti.demand import Forecasting, demands, lead_s
from fabric.simulator.hti.harvest import Host, harvest
from fabric.simulator.hti.jobs import TrainingJob
from fabric.simulator.hti.logs import JobLog, RunLog, Segment, windows_of
from fabric.simulator.hti.queue import Traffic
from fabric.simulator.hti.recorder import HtiRecords
from fabric.simulator.hti.replicas import Replicas
from fabric.simulator.hti.settings import HtiSettings
from fabric.simulator.hti.site import nodes, projects, speeds
from fabric.simulator.hti.submissions import (
    CPUS_PER_GPU,
    EARLY_S,
    Submissions,
    gpus_per_worker,
    submissions,
)
from fabric.simulator.hti.workload import Workload
from fabric.simulator.progress import Ending, Stretch

HEAD = Resources.of(1, 0, "2 GiB")
"""What a Ray head is charged: the default of a site."""
FRAGMENTATION_S = 6 * 3600.0
"""Between two looks at how fragmented idle accelerators are, in seconds."""
_ENDINGS: dict[Ending, str] = {
    "finished": "finished", "stopped": "preempted", "removed": "preempted", "lost": "failed", "resized": "resized",
    "open": "open",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Manner:
    """How one arm plays."""

    decider: Decider
    policy: Policy = field(default_factory=Policy)
    elastic_services: bool = True
    """Whether services may be resized; otherwise each holds its peak."""
    told: Mapping[str, tuple[Demand, ...]] | None = None
    """What each service says of its demand, window by window (`demand.demands`); forecast where it is left out."""
    guarantees: bool = True
    """Whether the site guarantees its projects their shares; else it lists no projects."""
    beat_s: float = 300.0
    """Seconds between two looks of the loop where nothing happens; at each it decides anew."""


@dataclass(frozen=True, slots=True)
class Played:
    """A run."""

    log: RunLog
    late_s: tuple[float, ...]
    """Of each start that had been promised: how much later than first promised it came, in seconds."""
    num_passes: int
    """How often the loop was made to look."""
    num_decisions: int


class Timed:
    """A decider that notes the processor seconds of each decision."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self.took_s: list[float] = []
        """One for each decision."""

    def __call__(self, snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        """Decide."""
        began = time.process_time()
        plan = self._decider(snapshot, policy, now)
        self.took_s.append(time.process_time() - began)
        return plan


def play(settings: HtiSettings, workload: Workload, traffic: Sequence[Traffic], manner: Manner) -> Played:
    """Let everything arrive, and go on until the last job has ended or nothing happens any more.

    Services are submitted `EARLY_S` before the beginning and stopped at the end of the benchmark.

    Args:
        settings: The benchmark.
        workload: What arrives.
        traffic: Of each service, in the order of the workload.
        manner: Who decides, and how.
    """
    what = submissions(settings, workload, elastic_services=manner.elastic_services)
    grace_s = settings.staging.grace_s
    replicas = Replicas(what.services, {name: lead_s(service) + grace_s for name, service in what.services.items()})
    timed, site = Timed(manner.decider), nodes(settings)

    made: list[HtiRecords] = []

    def records(cluster: SimulatedCluster, clock: VirtualClock) -> HtiRecords:
        made.append(HtiRecords(what, replicas, cluster, clock, grace_s=settings.staging.grace_s))
        return made[0]

    guaranteed = projects(settings, workload) if manner.guarantees else ()
    engine = Engine(
        site, what.course, policy=manner.policy, head=HEAD, habits=Habits(review_s=manner.beat_s),
        grace_s=settings.staging.grace_s, parts=Parts(timed, records, tree(guaranteed)),
    )  # fmt: skip
    stage = _Stage(settings, what, manner, engine=engine, records=made[0])
    engine.run(what.records, stage.acts(site))
    engine.cluster.working.close_all(engine.clock.at)
    log = stage.log(traffic, site, tuple(timed.took_s))
    return Played(log, tuple(stage.records.notes.late_s), engine.num_passes, len(timed.took_s))


class _Stage:
    """One run: what is said when, and what is left of it."""

    def __init__(
        self, settings: HtiSettings, what: Submissions, manner: Manner, *, engine: Engine, records: HtiRecords
    ) -> None:
        self._settings, self._what, self._manner = settings, what, manner
        self._engine, self._replicas = engine, records.replicas
        self.records = records
        self._fragmentation: list[float] = []

    def acts(self, site: tuple[Node, ...]) -> list[Act]:
        """What happens whatever is decided."""
        settings, duration_s = self._settings, self._settings.duration_s
        acts = [Act(duration_s, name) for name in self._what.services]
        acts += [self._telling(name, duration_s) for name in self._what.services]
        acts += [
            Act(at, does=lambda: self._look(site))
            for at in np.arange(FRAGMENTATION_S, duration_s, FRAGMENTATION_S).tolist()
        ]
        acts.append(Act(settings.window_s, does=self._beat))
        return acts

    def _telling(self, name: str, duration_s: float) -> Act:
        """The first of the instants at which a service tells its demand; each plans the next."""
        given, window_s = self._manner.told, self._settings.window_s
        told = demands(self._what.services[name], Forecasting()) if given is None else given[name]
        lead = lead_s(self._what.services[name])

        def say(index: int) -> None:
            now = self._engine.clock.at
            self._engine.cluster.working.tell(name, Told(1, demand=told[index], lead_s=lead))
            self._replicas.wanted(name, told[index], now)
            following = index + 1 if now >= 0 else 0
            if following * window_s < duration_s:
                self._engine.also(Act(following * window_s, does=lambda: say(following)))

        return Act(-EARLY_S, does=lambda: say(0))

    def _beat(self) -> None:
        """Look again and again as long as a job is there."""
        if self.records.notes.unfinished and self._may_go_on():
            self._engine.also(Act(self._engine.clock.at + self._manner.beat_s, does=self._beat))

    def _may_go_on(self) -> bool:
        """Whether there is time left: as much again as the benchmark takes, and the longest class."""
        longest_s = self._settings.training.walltimes_s[-1]
        return self._engine.clock.at < 2 * self._settings.duration_s + longest_s

    def _look(self, site: tuple[Node, ...]) -> None:
        """Note how much of what is idle the next job could not use."""
        used = self.records.notes.used
        hosts = [node for node in site if node.capacity.gpus]
        idle = [
            node.capacity.gpus.count // 1000 - (used[node.name][-1][1] if node.name in used else 0) for node in hosts
        ]
        if sum(idle):
            self._fragmentation.append(_fragmented(self._what, hosts, idle))

    def log(self, traffic: Sequence[Traffic], site: tuple[Node, ...], decisions_s: tuple[float, ...]) -> RunLog:
        """Everything of the run."""
        settings, replicas = self._settings, self._replicas.logs()
        pace, used = speeds(settings), self.records.notes.used
        hosts = [
            Host(node.capacity.gpus.count // 1000, pace[node.tier], used.get(node.name, ()))
            for node in site
            if node.capacity.gpus
        ]
        windows = [
            window
            for service, come in zip(self._what.services.values(), traffic, strict=True)
            for window in windows_of(service, come, replicas)
        ]
        return RunLog(
            duration_s=settings.duration_s,
            ended_s=max(settings.duration_s, self._engine.clock.at),
            jobs=tuple(self._job(job) for job in self._what.training.values()),
            replicas=replicas,
            windows=tuple(windows),
            harvest=harvest(hosts, unit_s=settings.harvest.unit_s, end_s=settings.duration_s),
            decisions_s=decisions_s,
            fragmentation=tuple(self._fragmentation),
        )

    def _job(self, job: TrainingJob) -> JobLog:
        record, pace = self.records.kept[job.name], speeds(self._settings)
        stretches = self._engine.cluster.working.stretches(job.name)
        done = record.state.final and bool(stretches) and stretches[-1].ended == "finished"
        return JobLog(
            name=job.name, project=job.project, gpus=job.gpus, submit_s=job.submit_s, run_s=job.run_s,
            ended_s=stretches[-1].end_s if done else None, deadline_s=job.deadline_s,
            segments=tuple(_segment(stretch, gpus_per_worker(job), pace) for stretch in stretches),
        )  # fmt: skip


def _segment(stretch: Stretch, each: int, pace: dict[str, float]) -> Segment:
    parts = [part for part in stretch.grant.slices if part.resources.gpus.count]
    gpus = sum(part.workers for part in parts) * each
    return Segment(
        start_s=stretch.start_s, end_s=stretch.end_s, gpus=gpus,
        speed=sum(part.workers * each * pace[part.tier] for part in parts) / gpus,
        rate=stretch.rate, overhead_s=stretch.overhead_s, lost_s=stretch.lost_s,
        ended=_ENDINGS[stretch.ended],  # type: ignore[arg-type]
    )  # fmt: skip


def _fragmented(what: Submissions, hosts: Sequence[Node], idle: Sequence[int]) -> float:
    """Share of idle accelerators that the next job cannot use, on average over the jobs of the benchmark."""
    asks = [_ask(gpus_per_worker(job)) for job in what.training.values()]
    most = max(node.capacity.gpus.count // 1000 for node in hosts)
    free: Ints = np.where(np.arange(most) < np.array(idle)[:, None], WHOLE_MILLI_GPUS, 0).astype(np.int64)
    cpus: Ints = np.array(idle, dtype=np.int64) * CPUS_PER_GPU * 1000
    lost = fragments(task_mix(asks, ("any",), popularity=1.0), cpus, free, np.zeros(len(hosts), dtype=np.int64))
    return float(lost.sum() / (WHOLE_MILLI_GPUS * sum(idle)))


def _ask(gpus: int) -> Ask:
    return Ask(MilliCpus(gpus * CPUS_PER_GPU * 1000), num_gpus=gpus, gpu=MilliGpus(WHOLE_MILLI_GPUS))
