"""A cluster that exists only as a list of what runs on it: eyes and hands on a virtual clock.

Knows nothing of queues or of who decides. How long work runs is told by a function; nothing here is drawn by chance.
"""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from fabric.scheduler.ports import ClusterView, Outcome, Phase, Sight, WantedCluster
from fabric.scheduler.snapshot import Node


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
        self._courses_of: dict[str, tuple[float, int, Course]] = {}
        self._due: list[tuple[float, int, str, str]] = []
        self._predicted: list[tuple[float, str]] = []
        self._changed: dict[str, ClusterView] = {}
        self._told: dict[str, ClusterView] = {}
        self._looks = 0
        self._number = 0

    def nodes(self) -> tuple[Node, ...]:
        """The nodes given, or those set since."""
        return self._nodes

    def set_nodes(self, nodes: tuple[Node, ...]) -> None:
        """Let nodes come, leave or change state."""
        self._nodes = nodes

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
        """Let it run, now or after its staging."""
        if wanted.name in self._views:
            self._resize(wanted)
            return
        course = self._courses(wanted)
        held = sum(part.resources.cpus.count for part in wanted.grant.slices)
        self.idle_milli_cpus -= held
        endpoint = self.endpoint if wanted.serve is not None else None
        self._show(
            ClusterView(wanted.name, Phase.STARTING, endpoint=endpoint, born=wanted.born, generation=wanted.generation)
        )
        starts = self._clock.at + course.staging_s
        self._courses_of[wanted.name] = (starts, held, course)
        if course.staging_s > 0:
            self._plan(starts, "run", wanted.name)
        else:
            self._run(wanted.name)

    def _resize(self, wanted: WantedCluster) -> None:
        """Slices come and go at once; how long the work runs stays as it was told at first."""
        view = self._views[wanted.name]
        if view.generation >= wanted.generation or view.outcome.ended:
            return
        starts, before, course = self._courses_of[wanted.name]
        held = sum(part.resources.cpus.count for part in wanted.grant.slices)
        self.idle_milli_cpus += before - held
        self._courses_of[wanted.name] = (starts, held, course)
        self._show(replace(view, generation=wanted.generation))

    def stop(self, cluster: str, grace_s: float) -> None:
        """The entrypoint ends at once."""
        view = self._views.get(cluster)
        if view and not view.outcome.ended:
            self._give_back(cluster)
            self._show(replace(view, outcome=Outcome.STOPPED))

    def remove(self, cluster: str) -> None:
        """Nothing of it is left at once."""
        view = self._views.pop(cluster, None)
        if view is not None:
            if not view.outcome.ended:
                self._give_back(cluster)
            del self._courses_of[cluster]
            self._changed[cluster] = ClusterView(cluster, Phase.ABSENT)

    def lose(self, cluster: str, problem: str) -> None:
        """Let a node of a cluster die."""
        if cluster in self._views:
            self._show(replace(self._views[cluster], phase=Phase.BROKEN, problem=problem))

    def next_due(self) -> float | None:
        """When the next thing happens by itself, in seconds; None if nothing does."""
        return self._due[0][0] if self._due else None

    def happen(self) -> None:
        """Let the next thing happen; the clock is there already."""
        _, _, what, name = heapq.heappop(self._due)
        if name not in self._views:
            return
        if what == "run":
            self._run(name)
        else:
            self._end(name)

    def end_predicted(self) -> None:
        """Let everything end whose predicted end has come, also if its own turn at this instant is later."""
        while self._predicted and self._predicted[0][0] <= self._clock.at:
            self._end(heapq.heappop(self._predicted)[1])

    def _plan(self, at: float, what: str, name: str) -> None:
        self._number += 1
        heapq.heappush(self._due, (at, self._number, what, name))

    def _run(self, name: str) -> None:
        started, _, course = self._courses_of[name]
        self._show(replace(self._views[name], phase=Phase.READY, outcome=Outcome.RUNNING))
        if course.runs_s < float("inf"):
            self._plan(started + course.runs_s, "end", name)
        if course.predicted_s is not None:
            heapq.heappush(self._predicted, (started + course.predicted_s, name))

    def _end(self, name: str) -> None:
        view = self._views.get(name)
        if view is not None and not view.outcome.ended:
            self._give_back(name)
            self._show(replace(view, outcome=self._courses_of[name][2].outcome))

    def _give_back(self, name: str) -> None:
        self.idle_milli_cpus += self._courses_of[name][1]

    def _show(self, view: ClusterView) -> None:
        self._views[view.name] = self._changed[view.name] = view
