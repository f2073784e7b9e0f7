"""Every cluster of a backend, a keeper each: what exists is shown, what is wanted is brought about.

Knows nothing of processes or pods: a backend says how a cluster begins and how slices are added to it.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic

from fabric.backends.keeping.head import RayHead
from fabric.backends.keeping.keeper import Keeper, N
from fabric.backends.keeping.ports import Output
from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.keeping.warm import crowded, fits, late
from fabric.core.errors import FabricError, Unavailable
from fabric.scheduler.ports import ClusterView, Door, Phase, Sight, WantedCluster
from fabric.scheduler.sightings import Sightings
from fabric.scheduler.snapshot import Node
from fabric.workloads.record import Slice

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.05
"""Between two looks at what leaves, in seconds."""


class KeptClusters(ABC, Generic[N]):
    """The half of `fabric.scheduler.ports.Backend` that is the same wherever Ray nodes come from."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._keepers: dict[str, Keeper[N]] = {}
        self._doubtful: dict[str, str] = {}
        """Warm clusters that may have been written down as this work's, though nobody was told so."""
        self._sightings = Sightings()
        self._lock = threading.Lock()

    def observe(self) -> Mapping[str, ClusterView]:
        """Every cluster that exists, by name; but for warm ones, which are nobody's."""
        with self._lock:
            for name in [name for name, keeper in self._keepers.items() if keeper.done]:
                del self._keepers[name]
                self._doubtful.pop(name, None)
            return {name: keeper.view for name, keeper in self._keepers.items() if not keeper.layout.warm}

    def warm(self) -> Mapping[str, tuple[Slice, ...]]:
        """What each warm cluster is made of, by its name, also of those that still start; what is broken leaves."""
        with self._lock:
            for name, keeper in self._warm():
                if keeper.view.phase is Phase.BROKEN:
                    _log.warning("the warm cluster %s is given up: %s", name, keeper.view.problem)
                    keeper.leave()
            return {name: keeper.wanted.grant.slices for name, keeper in self._warm() if keeper.wanted}

    def keep_warm(self, wanted: WantedCluster) -> None:
        """Begin a cluster that nobody has asked for, where there is room for it.

        Raises:
            Unavailable: If it cannot be started now.
        """
        with self._lock:
            self._launch(wanted)

    def cool(self, cluster: str) -> None:
        """Take a warm cluster away; one that was given to work meanwhile stays."""
        with self._lock:
            keeper = self._keepers.get(cluster)
            if keeper is not None and keeper.layout.warm:
                keeper.leave()

    def end_warm(self, patience_s: float) -> None:
        """Take all warm clusters away, and wait for that as long as the patience lasts, in seconds."""
        until = time.monotonic() + patience_s
        for name in self.warm():
            self.cool(name)
        while time.monotonic() < until and any(k.layout.warm and not k.done for k in list(self._keepers.values())):
            time.sleep(_LOOK_EVERY_S)

    def _warm(self) -> list[tuple[str, Keeper[N]]]:
        """Warm clusters that are not leaving."""
        kept = sorted(self._keepers.items())
        return [(name, one) for name, one in kept if one.layout.warm and one.view.phase is not Phase.LEAVING]

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
                if not self._lease(wanted):
                    self._make_room(wanted.grant.slices)
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
    def nodes(self) -> tuple[Node, ...]:
        """Every node of the site and its state."""

    @abstractmethod
    def _output(self, slices: N, head: RayHead) -> Output:
        """Where the output of the entrypoint comes from, of a cluster as its layout says now."""

    def _held(self) -> Iterator[Slice]:
        """What all clusters occupy."""
        for keeper in self._keepers.values():
            yield from keeper.layout.held

    def _lease(self, wanted: WantedCluster) -> bool:
        """Give work a warm cluster that is what it was granted; whether there is one."""
        if wanted.name in self._doubtful.values():
            return False  # two that say they are its own would be one too many for a fabric that adopts them
        for name, keeper in self._warm():
            known = keeper.wanted
            if known is None or keeper.view.phase is not Phase.READY or not fits(wanted, known):
                continue
            try:
                # Its key opens control for this work before the work can use it.
                self._around.let_in(known, wanted)
                self._around.logs.begin(wanted.workload, wanted.attempt)
            except (OSError, FabricError) as error:
                _log.warning("%s does not get the warm cluster %s: %s", wanted.name, name, error)
                continue
            return self._given(name, wanted, late(wanted, known))
        return False

    def _given(self, name: str, wanted: WantedCluster, told: Mapping[str, str]) -> bool:
        """Write down that a warm cluster is now some work's; whether that is so."""
        keeper = self._keepers[name]
        try:
            keeper.lease(wanted, told, self._output)
        except (OSError, FabricError) as error:
            # It may be written down all the same, where only the answer was lost: so nobody may get it any more.
            _log.warning("%s does not get the warm cluster %s, which leaves: %s", wanted.name, name, error)
            self._doubtful[name] = wanted.name
            keeper.leave()
            return False
        self._keepers[wanted.name] = self._keepers.pop(name)
        _log.info("%s gets the warm cluster %s", wanted.name, name)
        return True

    def _make_room(self, parts: Sequence[Slice]) -> None:
        """Let warm clusters leave where these slices have no room beside them."""
        warm = self._warm()
        for name in crowded(parts, list(self._held()), self.nodes(), dict(warm_slices(warm))) if warm else ():
            self._keepers[name].leave()

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

    def _keep_found(self, keeper: Keeper[N]) -> None:
        """Keep a cluster that an earlier fabric left; a warm one leaves, as whoever knew its key is gone."""
        self._keep(keeper)
        if keeper.layout.warm:
            keeper.leave()

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
            self._make_room(added)
            self._add(keeper, added, wanted)


def warm_slices(warm: Sequence[tuple[str, Keeper[N]]]) -> Iterator[tuple[str, tuple[Slice, ...]]]:
    """What each of these clusters occupies."""
    for name, keeper in warm:
        yield name, keeper.layout.held
