"""The KubeRay backend: eyes and hands over RayClusters of one namespace.

Knows nothing of records; it does what it is told and shows what exists.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

from fabric.backends.keeping.keeper import Keeper, Surroundings
from fabric.backends.kuberay import names
from fabric.backends.kuberay.api import NODES, PODS, RAY_CLUSTERS, KubeApi, Object
from fabric.backends.kuberay.layout import layout_of, written_layout
from fabric.backends.kuberay.mirror import Mirror
from fabric.backends.kuberay.nodes import nodes_seen
from fabric.backends.kuberay.pod_head import PodHead, PodOutput
from fabric.backends.kuberay.pods import Home
from fabric.backends.kuberay.ray_pods import RayPods, Surface
from fabric.config.site import Site
from fabric.core.errors import BadConfig, Unavailable
from fabric.scheduler.ports import ClusterView, Phase, Sight, WantedCluster
from fabric.scheduler.sightings import Sightings
from fabric.scheduler.snapshot import Node
from fabric.workloads.record import Slice

_log = logging.getLogger(__name__)

_FIRST_LOOK_S = 60.0
"""Longest wait for everything to be listed once."""


class KubeRayBackend:
    """Implements `fabric.scheduler.ports.Backend` with one RayCluster per workload and one pod per slice."""

    def __init__(
        self,
        site: Site,
        around: Surroundings,
        api: KubeApi,
        *,
        head_of: Callable[[Callable[[], tuple[str, str]]], PodHead] = PodHead,
    ) -> None:
        """Asks for nothing before it is started.

        Args:
            site: One with a Kubernetes.
            around: What every keeper shares.
            api: The server.
            head_of: Makes what speaks to a Ray head, from what says where it is and which token it wants.
        """
        self._around = around
        self._head_of = head_of
        ours = names.selector({"app.kubernetes.io/managed-by": "fabric", names.SITE: names.label_value(site.name)})
        changed = around.changed.set
        self._nodes_changed = threading.Event()
        self._surface = Surface(
            api,
            Home(site),
            clusters=Mirror(api, RAY_CLUSTERS, ours, changed),
            pods=Mirror(api, PODS, ours, changed, grouped_by=names.CLUSTER),
            nodes=Mirror(api, NODES, "", self._look_at_nodes),
        )
        self._keepers: dict[str, Keeper[RayPods]] = {}
        self._sightings = Sightings()
        self._nodes: tuple[Node, ...] = ()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Look at everything once, and adopt every cluster of this site that an earlier fabric left.

        Raises:
            FabricError: If the API server does not let us look; with its words.
        """
        mirrors = (self._surface.nodes, self._surface.clusters, self._surface.pods)
        for mirror in mirrors:
            mirror.start()
        for mirror in mirrors:
            if not mirror.first_look(_FIRST_LOOK_S):
                self.close()
                raise mirror.problem or Unavailable(f"Kubernetes listed nothing within {_FIRST_LOOK_S:g} s")
        for name, cluster in sorted(self._surface.clusters.objects().items()):
            self._adopt(name, cluster)

    def close(self) -> None:
        """Listen no more; clusters stay."""
        for mirror in (self._surface.nodes, self._surface.clusters, self._surface.pods):
            mirror.end()
        self._surface.api.close()

    def nodes(self) -> tuple[Node, ...]:
        """The nodes of Kubernetes that belong to a tier."""
        if self._nodes_changed.is_set():
            self._nodes_changed.clear()
            seen = nodes_seen(self._surface.home.site, self._surface.nodes.objects().values())
            if seen != self._nodes:
                self._nodes = seen
        return self._nodes

    def observe(self) -> Mapping[str, ClusterView]:
        """Every cluster that exists, by name."""
        with self._lock:
            for name in [name for name, keeper in self._keepers.items() if keeper.done]:
                del self._keepers[name]
            return {name: keeper.view for name, keeper in self._keepers.items()}

    def changes(self, since: int) -> Sight:
        """The clusters that changed after the look `since`; for the loop alone."""
        return self._sightings.since(since, self.observe())

    def realise(self, wanted: WantedCluster) -> None:
        """Ask for the cluster unless it is there; tell one that is there what it should be now."""
        with self._lock:
            keeper = self._keepers.get(wanted.name)
            # Of any attempt: they share the name under which output is kept.
            same = [k for k in self._keepers.values() if k.layout.workload == wanted.workload]
            if earlier := [k for k in same if k.layout.born != wanted.born]:
                for other in earlier:
                    other.leave()
            elif keeper is None:
                self._around.logs.begin(wanted.workload, wanted.attempt)
                self._keep(RayPods(layout_of(wanted), self._surface, wanted), wanted)
            else:
                keeper.wanted = keeper.slices.wanted = wanted
                self._resize(keeper, wanted)

    def stop(self, cluster: str, grace_s: float) -> None:
        """Ask the entrypoint to end."""
        keeper = self._keepers.get(cluster)
        if keeper:
            keeper.stop(grace_s)

    def remove(self, cluster: str) -> None:
        """Take the cluster away."""
        keeper = self._keepers.get(cluster)
        if keeper:
            keeper.leave()

    def _adopt(self, name: str, cluster: Object) -> None:
        if "deletionTimestamp" in cluster["metadata"]:
            return
        try:
            layout = written_layout(cluster)
        except BadConfig as error:
            # Another version wrote it. It cannot be kept, and must not run on beside its workload's next attempt.
            _log.warning("%s; it is deleted", error.message)
            self._surface.api.delete(RAY_CLUSTERS, name)
            return
        pods = RayPods(layout, self._surface)
        pods.adopt()
        self._keep(pods)

    def _resize(self, keeper: Keeper[RayPods], wanted: WantedCluster) -> None:
        """Make a cluster that is there what its grant has become: slices leave, then others come in their place.

        Raises:
            Unavailable: If it cannot be written down now.
        """
        if keeper.view.phase not in {Phase.STARTING, Phase.READY} or keeper.view.outcome.ended:
            return
        try:
            _bring_about(keeper, wanted.grant.slices)
        except OSError as error:
            raise Unavailable(f"{wanted.name} cannot be resized now: {error}. It is tried again.") from error

    def _keep(self, pods: RayPods, wanted: WantedCluster | None = None) -> None:
        layout = pods.layout
        head = self._head_of(pods.head)
        output = PodOutput(self._around.logs, head, layout.name, key=(layout.workload, layout.attempt))
        keeper = Keeper(pods, self._around, wanted, head=head, output=output)
        self._keepers[layout.name] = keeper
        keeper.start()

    def _look_at_nodes(self) -> None:
        self._nodes_changed.set()
        self._around.changed.set()


def _bring_about(keeper: Keeper[RayPods], granted: Sequence[Slice]) -> None:
    """Write down which slices leave and which come.

    Raises:
        OSError: If it cannot be written.
    """
    kept = {part.name for part in granted if keeper.layout.is_as_granted(part)} | {keeper.layout.slices[0]}
    keeper.give_back([name for name in keeper.layout.staying if name not in kept])
    layout = keeper.slices.layout
    vacated = {layout.nodes[name] for name in layout.leaving}
    added = [part for part in granted if part.name not in layout.slices and part.node not in vacated]
    if added:
        keeper.add(lambda known: known.with_slices(added))
