"""Every cluster of a backend, a keeper each: what exists is shown, what is wanted is brought about.

Knows nothing of processes or pods: a backend says how a cluster begins and how slices are added to it.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic

from fabric.backends.keeping.keeper import Keeper, N, Surroundings
from fabric.core.errors import Unavailable
from fabric.scheduler.ports import ClusterView, Door, Phase, Sight, WantedCluster
from fabric.scheduler.sightings import Sightings
from fabric.workloads.record import Slice


class KeptClusters(ABC, Generic[N]):
    """The half of `fabric.scheduler.ports.Backend` that is the same wherever Ray nodes come from."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._keepers: dict[str, Keeper[N]] = {}
        self._sightings = Sightings()
        self._lock = threading.Lock()

    def observe(self) -> Mapping[str, ClusterView]:
        """Every cluster that exists, by name."""
        with self._lock:
            for name in [name for name, keeper in self._keepers.items() if keeper.done]:
                del self._keepers[name]
            return {name: keeper.view for name, keeper in self._keepers.items()}

    def door(self, cluster: str) -> Door | None:
        """Where the head of a cluster answers; None if it has none, or nobody knows where yet."""
        keeper = self._keepers.get(cluster)
        url, token = keeper.slices.head() if keeper else ("", "")
        return Door(url, token) if url and token else None

    def changes(self, since: int) -> Sight:
        """The clusters that changed after the look `since`; for the loop alone."""
        return self._sightings.since(since, self.observe())

    def realise(self, wanted: WantedCluster) -> None:
        """Begin the cluster unless it is there; tell one that is there what it should be now.

        Raises:
            Unavailable: If something that is to come cannot be started or written down now; what is to leave leaves.
        """
        with self._lock:
            keeper = self._keepers.get(wanted.name)
            # Of any attempt: they share the name under which output is kept.
            same = [k for k in self._keepers.values() if k.layout.workload == wanted.workload]
            if earlier := [k for k in same if k.layout.born != wanted.born]:
                for other in earlier:
                    other.leave()
            elif keeper is None:
                self._launch(wanted)
            else:
                self._tell(keeper, wanted)
                self._resize(keeper, wanted)

    def stop(self, cluster: str, grace_s: float) -> None:
        """Ask the entrypoint to end."""
        if keeper := self._keepers.get(cluster):
            keeper.stop(grace_s)

    def remove(self, cluster: str) -> None:
        """Take the cluster away."""
        if keeper := self._keepers.get(cluster):
            keeper.leave()

    @abstractmethod
    def _launch(self, wanted: WantedCluster) -> None:
        """Begin a cluster that is not there, and keep it."""

    @abstractmethod
    def _add(self, keeper: Keeper[N], added: Sequence[Slice], wanted: WantedCluster) -> None:
        """Let slices join a cluster that is there.

        Raises:
            OSError: If they cannot be written down or started.
        """

    def _tell(self, keeper: Keeper[N], wanted: WantedCluster) -> None:
        """Let a keeper know what its cluster should be now."""
        keeper.wanted = wanted

    def _keep(self, keeper: Keeper[N]) -> None:
        self._keepers[keeper.layout.name] = keeper
        keeper.start()

    def _resize(self, keeper: Keeper[N], wanted: WantedCluster) -> None:
        """Make a cluster that is there what its grant has become: slices leave, then others come in their place.

        Raises:
            Unavailable: If the disk refuses.
        """
        if keeper.view.phase not in {Phase.STARTING, Phase.READY} or keeper.view.outcome.ended:
            return
        try:
            self._bring_about(keeper, wanted)
        except OSError as error:
            raise Unavailable(f"{wanted.name} cannot be resized now: {error}. It is tried again.") from error

    def _bring_about(self, keeper: Keeper[N], wanted: WantedCluster) -> None:
        granted = wanted.grant.slices
        kept = {part.name for part in granted if keeper.layout.is_as_granted(part)} | {keeper.layout.slices[0]}
        keeper.give_back([name for name in keeper.layout.staying if name not in kept])
        layout = keeper.layout
        vacated = {layout.nodes[name] for name in layout.leaving}
        added = [part for part in granted if part.name not in layout.slices and part.node not in vacated]
        if added:
            self._add(keeper, added, wanted)
