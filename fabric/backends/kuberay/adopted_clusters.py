"""Every object of somebody's that holds a grant: started, watched and suspended again, several at a time.

Knows nothing of who waits for a grant.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from fabric.backends.kuberay import names
from fabric.backends.kuberay.adopted_cluster import AdoptedCluster
from fabric.backends.kuberay.adopted_pods import ForeignSurface
from fabric.backends.kuberay.layout import adopted_layout_of, written_adopted_layout
from fabric.backends.kuberay.looking import Looking
from fabric.backends.kuberay.telling import ENDED
from fabric.core.errors import Unavailable
from fabric.scheduler.ports import ClusterView, WantedCluster

_CALM_S, _APART_S = 1.0, 0.2
"""Longest and shortest pause between two looks."""
_AT_ONCE = 8
"""Objects that are looked at together: a hundred that are granted at once need not wait for each other's answers."""


class AdoptedClusters(Looking):
    """The part of `fabric.scheduler.ports.Backend` that is about objects which people made."""

    def __init__(self, surface: ForeignSurface, changed: Callable[[], None]) -> None:
        """Looks at nothing before it is started.

        Args:
            surface: Where the objects are.
            changed: Called when a view changes.
        """
        super().__init__("adopted")
        self._surface, self._changed = surface, changed
        self._clusters: dict[str, AdoptedCluster] = {}
        self._lock = threading.Lock()
        self._helpers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="adopted")

    def take_over(self) -> None:
        """Find what an earlier fabric granted."""
        for foreign in self._surface.objects():
            layout = written_adopted_layout(foreign.annotations)
            if layout is None or layout.uid != foreign.uid:
                continue
            pods = self._surface.pods.group(names.label_value(foreign.uid))
            if foreign.annotations.get(names.STATE) in ENDED and not pods:
                continue  # what its owner does with it since is his affair
            cluster = AdoptedCluster(layout, self._surface, self._changed)
            if foreign.suspended:
                cluster.leave()
            with self._lock:
                self._clusters[layout.name] = cluster

    def run(self) -> None:
        """Look whenever something changed, until told to end."""
        while not self._over.wait(_APART_S):
            self._nudge.wait(_CALM_S)
            self._nudge.clear()
            self.turn()

    def end(self) -> None:
        """Look no more; returns once the present look is over."""
        super().end()
        self._helpers.shutdown(wait=False, cancel_futures=True)

    def turn(self) -> None:
        """Look at each once, and forget those that are over."""
        with self._lock:
            clusters = dict(self._clusters)
        for _ in self._helpers.map(AdoptedCluster.turn, clusters.values()):
            pass
        for name, cluster in clusters.items():
            if cluster.done:
                with self._lock:
                    del self._clusters[name]
                self._changed()

    def observe(self) -> Mapping[str, ClusterView]:
        """All of them, by the name of the attempt."""
        with self._lock:
            return {name: cluster.view for name, cluster in self._clusters.items()}

    def has(self, cluster: str) -> bool:
        """Whether one of that name is there."""
        return cluster in self._clusters

    def holds(self, uid: str) -> bool:
        """Whether an object uses a grant, or is about to, or has not given all of it back."""
        with self._lock:
            return any(cluster.uid == uid for cluster in self._clusters.values())

    def realise(self, wanted: WantedCluster) -> None:
        """Start the object of a grant, unless it is started; while an earlier attempt still leaves, nothing happens.

        Raises:
            Unavailable: If the object is not there.
        """
        layout = adopted_layout_of(wanted)
        with self._lock:
            if any(cluster.uid == layout.uid for cluster in self._clusters.values()):
                return
            if self._surface.find(layout.kind, layout.object_name, layout.uid) is None:
                raise Unavailable(f"{layout.kind} {layout.object_name} is not there any more")
            made = AdoptedCluster(layout, self._surface, self._changed, wanted=wanted)
            self._clusters[layout.name] = made
        self.wake()

    def remove(self, cluster: str) -> None:
        """Suspend the object again, or wait for the end of one that has ended."""
        if found := self._clusters.get(cluster):
            found.leave()
            self.wake()
