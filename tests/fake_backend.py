"""A backend in memory: clusters appear at once, and `sh`-like words decide how their entrypoints end."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fabric.scheduler.metering import Readings
from fabric.scheduler.ports import ClusterView, Outcome, Phase, Sight, WantedCluster
from fabric.scheduler.sightings import Sightings
from fabric.scheduler.snapshot import Node
from fabric.workloads.record import Slice
from tests.builders import hybrid

_ENDS = {"true": Outcome.SUCCEEDED, "false": Outcome.FAILED}


class NothingWarm:
    """Implements `fabric.control.warming.WarmClusters`: nothing was ever kept warm."""

    def warm(self) -> Mapping[str, tuple[Slice, ...]]:
        """Nothing."""
        return {}

    def keep_warm(self, wanted: WantedCluster) -> None:
        """Nobody asks for it."""
        raise NotImplementedError

    def cool(self, cluster: str) -> None:
        """There is none."""

    def end_warm(self, patience_s: float) -> None:
        """There are none."""


class NothingMeasured:
    """Implements `fabric.scheduler.metering.Meter`: there are no clusters of which anything is read."""

    def measure(self, now: float) -> Mapping[str, Readings]:
        """Nothing."""
        return {}


@dataclass
class FakeBackend:
    """Implements `fabric.scheduler.ports.Backend`; `true` succeeds, `false` fails, anything else runs on."""

    site: tuple[Node, ...] = field(default_factory=hybrid)
    views: dict[str, ClusterView] = field(default_factory=dict)
    wanted: dict[str, WantedCluster] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    looks_to_leave: int = 1
    """How often a cluster that leaves is still seen."""
    seen_leaving: dict[str, int] = field(default_factory=dict)
    sightings: Sightings = field(default_factory=Sightings)
    readings: dict[str, Readings] = field(default_factory=dict)
    """What is read of clusters."""

    def measure(self, now: float) -> Mapping[str, Readings]:
        """What was said of those that exist."""
        return {name: readings for name, readings in self.readings.items() if name in self.views}

    def nodes(self) -> tuple[Node, ...]:
        """The nodes given."""
        return self.site

    def observe(self) -> Mapping[str, ClusterView]:
        """What exists; what is leaving is gone after `looks_to_leave` looks."""
        seen = dict(self.views)
        for name in [name for name, view in seen.items() if view.phase is Phase.LEAVING]:
            self.seen_leaving[name] = self.seen_leaving.get(name, 0) + 1
            if self.seen_leaving[name] >= self.looks_to_leave:
                del self.views[name], self.seen_leaving[name]
        return seen

    def changes(self, since: int) -> Sight:
        """What is new since a look."""
        return self.sightings.since(since, self.observe())

    def realise(self, wanted: WantedCluster) -> None:
        """The cluster is there at once, with its entrypoint running or ended."""
        if wanted.name not in self.views:
            self.wanted[wanted.name] = wanted
            self.started.append(wanted.name)
            self.views[wanted.name] = ClusterView(
                wanted.name,
                Phase.READY,
                _ENDS.get(wanted.entrypoint, Outcome.RUNNING),
                endpoint="http://127.0.0.1:1" if wanted.serve is not None else None,
                generation=wanted.generation,
                born=wanted.born,
                held=wanted.grant.slices,
            )
        elif self.views[wanted.name].phase is Phase.READY:
            self.wanted[wanted.name] = wanted
            now = replace(self.views[wanted.name], generation=wanted.generation, held=wanted.grant.slices)
            self.views[wanted.name] = now

    def stop(self, cluster: str, grace_s: float) -> None:
        """The entrypoint ends at once."""
        view = self.views.get(cluster)
        if view and not view.outcome.ended:
            self.views[cluster] = replace(view, outcome=Outcome.STOPPED)

    def remove(self, cluster: str) -> None:
        """The cluster is leaving until the next look."""
        if cluster in self.views:
            self.views[cluster] = replace(self.views[cluster], phase=Phase.LEAVING)

    def lose(self, cluster: str, problem: str = "slice lost") -> None:
        """A Ray node of the cluster dies."""
        self.views[cluster] = replace(self.views[cluster], phase=Phase.BROKEN, problem=problem)
