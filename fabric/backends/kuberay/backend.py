"""The KubeRay backend: eyes and hands over RayClusters of one namespace.

Knows nothing of records; it does what it is told and shows what exists.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast
from weakref import WeakValueDictionary

from fabric.backends.keeping.clusters import KeptClusters
from fabric.backends.keeping.head import RayHead
from fabric.backends.keeping.keeper import Keeper
from fabric.backends.keeping.layout import one_of_a_name
from fabric.backends.keeping.ports import Output
from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.keeping.warm import NoOutput
from fabric.backends.kuberay import names
from fabric.backends.kuberay.adopted_clusters import AdoptedClusters
from fabric.backends.kuberay.adopted_pods import ForeignSurface
from fabric.backends.kuberay.adopter import Adopter, Reception
from fabric.backends.kuberay.api import JOBS, NODES, PODS, RAY_CLUSTERS, RAY_JOBS, KubeApi
from fabric.backends.kuberay.cordons import Cordons
from fabric.backends.kuberay.layout import PodLayout, layout_of, written_layout
from fabric.backends.kuberay.mirror import Mirror
from fabric.backends.kuberay.nodes import Seen, node_facts, nodes_seen
from fabric.backends.kuberay.pod_head import PodHead, PodOutput
from fabric.backends.kuberay.pods import Home
from fabric.backends.kuberay.ray_pods import RayPods, Surface
from fabric.backends.kuberay.vetter import Vetter, VettingSurface
from fabric.config.site import Site
from fabric.core.errors import BadConfig, Unavailable
from fabric.core.numa import Note
from fabric.scheduler.metering import Readings
from fabric.scheduler.ports import ClusterView, WantedCluster
from fabric.scheduler.snapshot import Node
from fabric.workloads.record import Slice

_log = logging.getLogger(__name__)

_FIRST_LOOK_S = 60.0
"""Longest wait for everything to be listed once."""
NOT_MEASURED = "use is not measured in Kubernetes: the fabric's role reads neither metrics.k8s.io nor kubelets"
"""Why there are no readings."""


class KubeRayBackend(KeptClusters[RayPods]):
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
        super().__init__(around)
        self._head_of = head_of
        ours = names.selector({"app.kubernetes.io/managed-by": "fabric", names.SITE: names.label_value(site.name)})
        changed = around.changed.set
        self._nodes_changed = threading.Event()
        self._by_object: WeakValueDictionary[str, Keeper[RayPods]] = WeakValueDictionary()
        """Who keeps the RayCluster of that name."""
        self._surface = Surface(
            api,
            Home(site),
            clusters=Mirror(api, RAY_CLUSTERS, ours, _nobody, heard=self._look_at),
            pods=Mirror(api, PODS, ours, _nobody, grouped_by=names.CLUSTER, heard=self._look_at),
            nodes=Mirror(api, NODES, "", self._look_at_nodes, matters=node_facts),
            doubt=self._doubt,
        )
        theirs = names.selector({names.SITE: names.label_value(site.name)})
        self._foreign = ForeignSurface(
            api,
            self._surface.home,
            clusters=Mirror(api, RAY_CLUSTERS, names.PROJECT, self._look_at_theirs),
            jobs=Mirror(api, RAY_JOBS, names.PROJECT, self._look_at_theirs),
            pods=Mirror(api, PODS, f"{names.ADOPTED},{theirs}", self._look_at_theirs, grouped_by=names.ADOPTED),
            nodes=self._surface.nodes,
        )
        self._adopted = AdoptedClusters(self._foreign, changed)
        self._adopter: Adopter | None = None
        self._seen = Seen()
        self._cordons = Cordons(api, self._surface.nodes)
        self._vetter = self._vetter_of(theirs)

    def hand_in_at(self, reception: Reception) -> None:
        """Where the objects that people made themselves are handed in; said before the start, or nobody takes them."""
        self._adopter = Adopter(self._foreign, reception, self._adopted.holds)

    def start(self) -> None:
        """Look at everything once, and adopt every cluster of this site that an earlier fabric left.

        Raises:
            FabricError: If the API server does not let us look; with its words.
        """
        mirrors = self._mirrors
        for mirror in mirrors:
            mirror.start()
        for mirror in mirrors:
            if not mirror.first_look(_FIRST_LOOK_S):
                self.close()
                raise mirror.problem or Unavailable(f"Kubernetes listed nothing within {_FIRST_LOOK_S:g} s")
        # Before anybody can ask: a thousand nodes take a while to read, and work must not be refused meanwhile.
        self.nodes()
        for layout in one_of_a_name(list(self._left())):
            pods = RayPods(layout, self._surface)
            pods.adopt()
            self._keep_found(self._keeper(pods))
        self._cordons.start()
        if self._vetter is not None:
            self._vetter.start()
        self._adopted.take_over()
        self._adopted.start()
        if self._adopter is not None:
            self._adopter.start()

    def observe(self) -> Mapping[str, ClusterView]:
        """Every cluster that exists, by name: the fabric's own, and people's that hold a grant."""
        return {**super().observe(), **self._adopted.observe()}

    def realise(self, wanted: WantedCluster) -> None:
        """Begin the cluster, or start somebody's object.

        Raises:
            Unavailable: If something that is to come cannot be started now.
        """
        if wanted.adopted is None:
            super().realise(wanted)
        else:
            with self._lock:
                self._make_room(wanted.grant.slices)
            self._adopted.realise(wanted)

    def stop(self, cluster: str, grace_s: float) -> None:
        """Ask the entrypoint to end; of somebody's object the pods are asked, each with the patience that it names."""
        if self._adopted.has(cluster):
            self._adopted.remove(cluster)
        else:
            super().stop(cluster, grace_s)

    def remove(self, cluster: str) -> None:
        """Take the cluster away, or suspend somebody's object."""
        if self._adopted.has(cluster):
            self._adopted.remove(cluster)
        else:
            super().remove(cluster)

    @property
    def _mirrors(self) -> tuple[Mirror, ...]:
        vetting = self._vetter.mirrors if self._vetter else ()
        return (self._surface.nodes, self._surface.clusters, self._surface.pods, *self._foreign.mirrors, *vetting)

    def close(self) -> None:
        """Listen no more; clusters and cordons stay."""
        self._cordons.end()
        if self._vetter is not None:
            self._vetter.end()
        if self._adopter is not None:
            self._adopter.end()
        self._adopted.end()
        for mirror in self._mirrors:
            mirror.end()
        self._surface.api.close()

    def nodes(self) -> tuple[Node, ...]:
        """The nodes of Kubernetes that belong to a tier."""
        return self._look().nodes

    def notes(self) -> Mapping[str, Note]:
        """What Kubernetes and preflights say of nodes, by name."""
        return self._look().notes

    def _look(self) -> Seen:
        if self._nodes_changed.is_set():
            self._nodes_changed.clear()
            objects = self._surface.nodes.objects().values()
            standings = self._vetter.standings(objects) if self._vetter else {}
            seen = nodes_seen(self._surface.home.site, objects, standings)
            # The same tuple while nothing changed, so that nobody compares a thousand nodes.
            self._seen = Seen(self._seen.nodes if seen.nodes == self._seen.nodes else seen.nodes, seen.notes)
        return self._seen

    def measure(self, now: float) -> Mapping[str, Readings]:
        """Nothing of any cluster, and why: what counts it is not within the fabric's rights."""
        return {name: Readings(unmeasured=(NOT_MEASURED,)) for name in self.observe()}

    def cordon(self, reasons: Mapping[str, str]) -> None:
        """Keep new pods of anybody off these nodes, and let them on those again that the fabric kept them off before.

        Args:
            reasons: By node; kept in an annotation.
        """
        self._cordons.want(reasons)

    def _left(self) -> Iterator[PodLayout]:
        """What RayClusters that an earlier fabric made are, but for those that are being deleted."""
        for name, cluster in sorted(self._surface.clusters.objects().items()):
            if "deletionTimestamp" in cluster["metadata"]:
                continue
            try:
                yield written_layout(cluster)
            except BadConfig as error:
                # Another version wrote it. It cannot be kept, and must not run on beside its workload's next attempt.
                _log.warning("%s; it is deleted", error.message)
                self._surface.api.delete(RAY_CLUSTERS, name)

    def _launch(self, wanted: WantedCluster) -> None:
        if not wanted.warm:
            self._around.logs.begin(wanted.workload, wanted.attempt)
        self._keep(self._keeper(RayPods(layout_of(wanted), self._surface, wanted), wanted))

    def _tell(self, keeper: Keeper[RayPods], wanted: WantedCluster) -> None:
        super()._tell(keeper, wanted)
        keeper.slices.wanted = wanted

    def _add(self, keeper: Keeper[RayPods], added: Sequence[Slice], wanted: WantedCluster) -> None:
        keeper.add(lambda known: known.with_slices(added))

    def _keeper(self, pods: RayPods, wanted: WantedCluster | None = None) -> Keeper[RayPods]:
        head = self._head_of(pods.head)
        return Keeper(pods, self._around, wanted, head=head, output=self._output(pods, head))

    def _output(self, slices: RayPods, head: RayHead) -> Output:
        layout = slices.layout
        if layout.warm:
            return NoOutput()
        key = (layout.workload, layout.attempt)
        return PodOutput(self._around.logs, cast(PodHead, head), layout.name, key=key)

    def _held(self) -> Iterator[Slice]:
        yield from super()._held()
        for view in self._adopted.observe().values():
            yield from view.held

    def _keep(self, keeper: Keeper[RayPods]) -> None:
        self._by_object[names.object_name(keeper.layout.mark)] = keeper
        super()._keep(keeper)

    def _look_at(self, cluster: str) -> None:
        """Wake who keeps a RayCluster, and not the loop: what matters of it shows in its keeper's view."""
        if keeper := self._by_object.get(cluster):
            keeper.wake()

    def _vetter_of(self, selector: str) -> Vetter | None:
        """What asks nodes to show themselves, where a tier wants that."""
        api, home = self._surface.api, self._surface.home
        if not any(tier.kubernetes and tier.kubernetes.vet for tier in home.site.tiers):
            return None
        preflights = f"{names.PREFLIGHT},{selector}"
        jobs, pods = (
            Mirror(api, kind, preflights, self._look_at_preflights, grouped_by=names.PREFLIGHT) for kind in (JOBS, PODS)
        )
        return Vetter(VettingSurface(api, home, self._surface.nodes, jobs=jobs, pods=pods), self._nodes_stand)

    def _nodes_stand(self) -> None:
        self._nodes_changed.set()
        self._around.changed.set()

    def _doubt(self, node: str) -> None:
        if self._vetter is not None:
            self._vetter.doubt(node)

    def _look_at_preflights(self) -> None:
        if self._vetter is not None:
            self._vetter.look()

    def _look_at_nodes(self) -> None:
        self._nodes_changed.set()
        self._cordons.look()
        self._look_at_preflights()
        self._adopted.wake()
        self._around.changed.set()

    def _look_at_theirs(self) -> None:
        self._adopted.wake()
        if self._adopter is not None:
            self._adopter.wake()


def _nobody() -> None:
    """Who is told of changes that their own keepers hear of."""
