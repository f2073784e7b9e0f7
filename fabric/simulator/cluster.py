"""A cluster that exists only as a list of what runs on it: eyes and hands on a virtual clock.

Knows nothing of queues or of who decides. How long work runs is told by a function; nothing here is drawn by chance.
Work with a `Work` in its course keeps what it has done over attempts and resizes, as far as it was saved.
"""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from fabric.core.errors import NotFound
from fabric.scheduler.ports import ClusterView, Outcome, Phase, Sight, WantedCluster
from fabric.scheduler.snapshot import Node, NodeState
from fabric.simulator.progress import Work
from fabric.simulator.working import After, Working
from fabric.workloads.record import Grant, Slice
from fabric.workloads.states import RUN_AGAIN


@dataclass(frozen=True, slots=True)
class Course:
    """What will become of one attempt once its cluster is asked for."""

    runs_s: float
    """Seconds from its start to its end; infinite for a service."""
    staging_s: float = 0.0
    """Seconds from the grant until it runs."""
    outcome: Outcome = Outcome.SUCCEEDED
    predicted_s: float | None = None
    """Seconds from its start after which the machine takes it for ended, where that is known; never before its end."""
    work: Work | None = None
    """What there is to do, where that is kept over attempts; `runs_s` then says nothing. The first course of a workload
    tells it for all its attempts."""
    leaves_s: float = 0.0
    """Seconds from a notice until it has left, at most the grace; work that is kept saves instead."""
    cleanup_s: float = 0.0
    """Seconds from its removal until its nodes are free."""


@dataclass(slots=True)
class _Run:
    """A cluster that was asked for."""

    starts: float
    grant: Grant
    course: Course
    generation: int
    leaves: bool = False
    """Whether it was asked to."""
    held: int = 0
    """Thousandths of CPUs."""

    def __post_init__(self) -> None:
        self.held = sum(part.resources.cpus.count for part in self.grant.slices)

    @property
    def stays(self) -> tuple[Slice, ...]:
        """What it occupies when it is removed."""
        return self.grant.slices if self.course.cleanup_s > 0 else ()


Courses = Callable[[WantedCluster], Course]


@dataclass(slots=True)
class VirtualClock:
    """Time as the engine says."""

    at: float = 0.0
    """Seconds since the epoch of the simulated world."""

    def now(self) -> float:
        """The present instant."""
        return self.at


class SimulatedCluster:
    """Implements `fabric.scheduler.ports.Backend`; whoever moves the clock asks `due` what happens next."""

    def __init__(self, nodes: tuple[Node, ...], courses: Courses, clock: VirtualClock) -> None:
        self.endpoint = "http://simulated"
        self.idle_milli_cpus = sum(node.capacity.cpus.count for node in nodes)
        """Thousandths of CPUs that no running entrypoint holds."""
        self._nodes, self._courses, self._clock = nodes, courses, clock
        self._views: dict[str, ClusterView] = {}
        self._runs: dict[str, _Run] = {}
        self._due: list[tuple[float, int, str, str]] = []
        self._predicted: list[tuple[float, str]] = []
        self._changed: dict[str, ClusterView] = {}
        self._told: dict[str, ClusterView] = {}
        self._looks = 0
        self._number = 0
        self.working = Working(self._plan)
        """Work that is kept over attempts and resizes."""

    def nodes(self) -> tuple[Node, ...]:
        """The nodes given, or those set since."""
        return self._nodes

    def observe(self) -> Mapping[str, ClusterView]:
        """Every cluster that exists."""
        return dict(self._views)

    def changes(self, since: int) -> Sight:
        """What changed after the look `since`, which is the last look of the only reader, or 0."""
        if since == 0:
            self._told = dict(self._views)
        elif since < self._looks:
            self._told |= self._changed
        else:
            self._told = self._changed
        self._changed = {}
        self._looks += 1
        return Sight(self._told, self._looks)

    def realise(self, wanted: WantedCluster) -> None:
        """Let it run, now or after its staging; with a higher generation let it go on with another grant."""
        if wanted.name in self._views:
            if wanted.generation > self._runs[wanted.name].generation and not self._is_leaving(wanted.name):
                self._resize(wanted)
            return
        course = self._courses(wanted)
        run = _Run(self._clock.at + course.staging_s, wanted.grant, course, wanted.generation)
        self.idle_milli_cpus -= run.held
        self._runs[wanted.name] = run
        endpoint = self.endpoint if wanted.serve is not None else None
        view = ClusterView(wanted.name, Phase.STARTING, endpoint=endpoint, born=wanted.born, held=run.stays)
        self._show(replace(view, generation=wanted.generation))
        if course.work is not None:
            self.working.begin(
                wanted.name, wanted.workload,
                born=wanted.born, attempt=wanted.attempt, grant=wanted.grant, work=course.work,
            )  # fmt: skip
            self.working.hold(wanted.name, self._clock.at, course.staging_s)
        if course.staging_s > 0:
            self._plan(run.starts, "run", wanted.name)
        else:
            self._run(wanted.name)

    def stop(self, cluster: str, grace_s: float) -> None:
        """The entrypoint ends, at once or after what it takes to leave or to save, but never later than its grace."""
        view = self._views.get(cluster)
        if not view or view.outcome.ended:
            return
        run = self._runs[cluster]
        if cluster in self.working:
            self.working.stop(cluster, grace_s, self._clock.at)
        elif run.course.leaves_s <= 0:
            self._end(cluster, Outcome.STOPPED)
        elif not run.leaves:
            run.leaves = True
            self._plan(self._clock.at + min(run.course.leaves_s, grace_s), "left", cluster)

    def shrink(self, cluster: str, workers: int) -> None:
        """Tell work that it is to go on with fewer workers; what keeps nothing has nothing to let go of."""
        view = self._views.get(cluster)
        if view and not view.outcome.ended and cluster in self.working:
            self.working.shrink(cluster, workers, self._clock.at)

    def remove(self, cluster: str) -> None:
        """Nothing of it is left, at once or after its clean-up."""
        view = self._views.get(cluster)
        if view is None or view.phase is Phase.LEAVING:
            return
        run = self._runs[cluster]
        if not view.outcome.ended:
            self.idle_milli_cpus += run.held
            self.working.close(cluster, "removed", self._clock.at, saved=False)
        self.working.forget(cluster)
        if run.course.cleanup_s > 0:
            self._show(replace(view, phase=Phase.LEAVING))
            self._plan(self._clock.at + run.course.cleanup_s, "gone", cluster)
        else:
            self._forget(cluster)

    def lose(self, cluster: str, problem: str) -> None:
        """Let a node of a cluster die."""
        if cluster in self._views and not self._is_leaving(cluster):
            self.working.close(cluster, "lost", self._clock.at, saved=False)
            self._show(replace(self._views[cluster], phase=Phase.BROKEN, problem=problem))

    def lose_node(self, name: str) -> None:
        """Let a node die, and with it every cluster that has a slice there.

        Raises:
            NotFound: If there is no such node.
        """
        self._set_state(name, NodeState.DOWN)
        for cluster, run in list(self._runs.items()):
            part = next((part for part in run.grant.slices if part.node == name), None)
            if part is not None:
                self.lose(cluster, f"slice {part.name} is lost with node {name}")

    def return_node(self, name: str) -> None:
        """Let a node take work again.

        Raises:
            NotFound: If there is no such node.
        """
        self._set_state(name, NodeState.READY)

    def next_due(self) -> float | None:
        """When the next thing happens by itself, in seconds; None if nothing does."""
        return self._due[0][0] if self._due else None

    def happen(self) -> bool:
        """Let the next thing happen; the clock is there already.

        Returns:
            Whether anybody can see it: not a checkpoint, and not what was over before its time came.
        """
        _, number, what, name = heapq.heappop(self._due)
        if what == "gone":
            self._forget(name)
        elif what == "run" and name in self._views:
            self._run(name)
        elif what == "end":
            self._end(name)
        elif name in self.working:
            return self._follow(name, self.working.happen(number, what, name, self._clock.at))
        elif what == "left" and name in self._views:
            self._end(name, Outcome.STOPPED)
            return True
        return what in {"run", "end", "gone"}

    def end_predicted(self) -> None:
        """Let everything end whose predicted end has come, also if its own turn at this instant is later."""
        while self._predicted and self._predicted[0][0] <= self._clock.at:
            self._end(heapq.heappop(self._predicted)[1])

    def _plan(self, at: float, what: str, name: str) -> int:
        self._number += 1
        heapq.heappush(self._due, (at, self._number, what, name))
        return self._number

    def _is_leaving(self, name: str) -> bool:
        return self._views[name].phase is Phase.LEAVING

    def _forget(self, name: str) -> None:
        del self._views[name], self._runs[name]
        self._changed[name] = ClusterView(name, Phase.ABSENT)

    def _run(self, name: str) -> None:
        if self._is_leaving(name):
            return
        run = self._runs[name]
        course = run.course
        self._show(replace(self._views[name], phase=Phase.READY, outcome=Outcome.RUNNING))
        if course.work is not None:
            self.working.go_on(name, self._clock.at)
        elif course.runs_s < float("inf"):
            self._plan(run.starts + course.runs_s, "end", name)
        if course.predicted_s is not None:
            heapq.heappush(self._predicted, (run.starts + course.predicted_s, name))

    def _end(self, name: str, outcome: Outcome | None = None, exit_code: int | None = None) -> None:
        view = self._views.get(name)
        if view is not None and not view.outcome.ended and view.phase is not Phase.LEAVING:
            run = self._runs[name]
            self.idle_milli_cpus += run.held
            self._show(replace(view, outcome=outcome or run.course.outcome, exit_code=exit_code))

    def _follow(self, name: str, after: After) -> bool:
        """What is seen of an event of work; whether anything is."""
        if after is After.FINISHED:
            self._end(name)
        elif after is After.SAVED:
            self._end(name, Outcome.STOPPED, RUN_AGAIN)
        elif after is After.KILLED:
            self._end(name, Outcome.STOPPED)
        elif after is After.JOINED:
            self._resized(name)
        return after is not After.NOTHING

    def _resize(self, wanted: WantedCluster) -> None:
        """Take another grant: what is new has joined at once or after its staging, what is not in it is gone."""
        name, run = wanted.name, self._runs[wanted.name]
        known = {part.name for part in run.grant.slices}
        grows = any(part.name not in known for part in wanted.grant.slices)
        now = _Run(run.starts, wanted.grant, run.course, wanted.generation, run.leaves)
        self._runs[name] = now
        if not self._views[name].outcome.ended:
            self.idle_milli_cpus += run.held - now.held
        if grows and run.course.staging_s > 0 and name in self.working:
            self._plan(self._clock.at + run.course.staging_s, "joined", name)
        else:
            self._resized(name)

    def _resized(self, name: str) -> None:
        view, run = self._views[name], self._runs[name]
        self._show(replace(view, generation=run.generation, held=run.stays))
        if view.phase is Phase.READY and not view.outcome.ended and name in self.working:
            self.working.resize(name, run.grant, self._clock.at)

    def _set_state(self, name: str, state: NodeState) -> None:
        if all(node.name != name for node in self._nodes):
            raise NotFound(f"there is no node {name}; it has {', '.join(node.name for node in self._nodes[:5])} ...")
        self._nodes = tuple(replace(node, state=state) if node.name == name else node for node in self._nodes)

    def _show(self, view: ClusterView) -> None:
        self._views[view.name] = self._changed[view.name] = view
