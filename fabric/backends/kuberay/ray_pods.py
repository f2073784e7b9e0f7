"""The Ray nodes of one cluster as pods: made, released to their nodes as one gang, watched, drained and ended.

Knows nothing of jobs: it sees objects.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fabric.backends.keeping.resizing import on_port
from fabric.backends.kuberay import names, pod_state
from fabric.backends.kuberay.api import PODS, RAY_CLUSTERS, KubeApi, Object
from fabric.backends.kuberay.backoff import Backoff
from fabric.backends.kuberay.cluster_token import ClusterToken
from fabric.backends.kuberay.gang import Going, Place, check_tokens, choose, release
from fabric.backends.kuberay.images import check_built
from fabric.backends.kuberay.layout import PodLayout, born_of
from fabric.backends.kuberay.manifest import dropped, ray_cluster, size_of, worker_groups
from fabric.backends.kuberay.mirror import Mirror
from fabric.backends.kuberay.pod_events import PodEvents
from fabric.backends.kuberay.pods import DASHBOARD_PORT, SERVE_PORT, Home
from fabric.backends.kuberay.silence import Silence
from fabric.core.errors import BadInput, Conflict, Denied, FabricError, NotFound, Unavailable
from fabric.scheduler.ports import WantedCluster
from fabric.workloads.record import Slice

_log = logging.getLogger(__name__)

_POLL_S = 0.2
_END_S = 30.0
"""How long an end is waited for before it is told that it takes long."""


@dataclass(frozen=True, slots=True)
class Surface:
    """What all clusters of a site share: the server, and what was heard of it."""

    api: KubeApi
    home: Home
    clusters: Mirror
    pods: Mirror
    nodes: Mirror
    doubt: Callable[[str], None] = lambda _: None
    """Told the node of a pod that lacks a device there."""
    silence: Silence = field(default_factory=Silence)
    """Which nodes have been silent for too long."""


class RayPods:
    """The Ray nodes of one cluster; implements `fabric.backends.keeping.ports.RayNodes`."""

    def __init__(self, layout: PodLayout, surface: Surface, wanted: WantedCluster | None = None) -> None:
        self.wanted = wanted
        self._layout = layout
        self._surface = surface
        self._object_name = names.object_name(layout.mark)
        self._lock = threading.RLock()
        self._uid = ""
        self._token = ClusterToken(surface.api, surface.home, self._object_name)
        self._made = False
        self._unanswered = False
        self._released: set[str] = set()
        self._drained: set[str] = set()
        self._last: dict[str, Object] = {}
        self._trouble, self._backoff = "", Backoff()
        self._events = PodEvents(surface.api, doubt=surface.doubt)

    @property
    def layout(self) -> PodLayout:
        """What the cluster is made of, as it was last written down."""
        return self._layout

    @property
    def start_timeout_s(self) -> float:
        """What the site allows."""
        return self._surface.home.kubernetes.start_deadline_s

    @property
    def serve_url(self) -> str:
        """Base URL of the Serve proxy beside the head."""
        return f"http://{self._address()}:{SERVE_PORT}"

    def head(self) -> tuple[str, str]:
        """URL of the head's REST API, and the cluster's token; empty while they are not known."""
        address = self._address()
        return (f"http://{address}:{DASHBOARD_PORT}" if address else "", self._token.text)

    def listening(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A Serve configuration that listens where the gateway reaches it."""
        return on_port(config, "0.0.0.0", SERVE_PORT)  # noqa: S104 - the pod's own network

    def adopt(self) -> None:
        """Take over what an earlier fabric made: a gang that was released is whole, or has lost slices."""
        self._uid = self._own()["metadata"]["uid"]
        found = set(self._by_slice())
        with self._lock:
            gang = set(self._layout.staying) - set(self._layout.joining) if found else set()
            self._released = found | gang

    def change(self, how: Callable[[Any], Any]) -> PodLayout:
        """Write down another layout on the RayCluster, before anything is done about it.

        Raises:
            OSError: If it cannot be written now; then the cluster is still made of what it was.
        """
        with self._lock:
            before, self._layout = self._layout, how(self._layout)
            try:
                if self._uid and self._layout.written() != before.written():
                    self._write_down()
            except FabricError as error:
                self._layout = before
                raise OSError(error.message) from error
            self._released &= set(self._layout.slices)
            self._drained &= set(self._layout.slices)
            return self._layout

    def tend(self) -> None:
        """Make what is missing, and release the gang once all of its pods wait at the gate.

        Raises:
            FabricError: If it can never be made as it is.
        """
        if not self._backoff.over:
            return
        try:
            self._tend()
        except (Unavailable, Conflict, Denied) as error:
            # Seen again at a later look; what runs goes on meanwhile. An API server that has just started refuses even
            # who has all rights for some seconds; where they are missing, the deadline of the start tells so.
            self._trouble = error.message
            if not isinstance(error, Conflict):
                self._backoff.refused()
        else:
            self._trouble = ""
            self._backoff.taken()

    def lost(self) -> list[str]:
        """Names of slices whose pod has ended or is gone, or whose node is gone or has not been ready for a while."""
        if not self._uid:
            return []
        if self._found() is None:
            return list(self._layout.staying)
        pods = self._by_slice()
        return [
            name
            for name in self._layout.staying
            if (name in self._released and not self._lives(pods.get(name))) or self._node_is_gone(name)
        ]

    def last_words(self, name: str) -> str:
        """How a slice's pod ended."""
        if self._found() is None:
            return "its RayCluster was deleted by somebody else"
        if self._node_is_gone(name):
            return f"Kubernetes has no node {self._layout.nodes[name]} any more"
        known = self._by_slice().get(name) or self._last.get(name)
        if known and not pod_state.has_ended(known) and not self._node_is_ready(known):
            return f"its node {known['spec'].get('nodeName')} is not ready"
        if known and (lacks := self._events.lacks(known)):
            return lacks
        gone = self._surface.pods.gone(known["metadata"]["uid"]) if known else None
        return pod_state.last_words(gone or known)

    def awaits(self, names: Sequence[str]) -> str:
        """Why slices have not joined."""
        problem = self._surface.pods.problem or self._surface.clusters.problem
        if self._trouble or problem:
            return self._trouble or (problem.message if problem else "")
        pods = self._by_slice()
        for name in names:
            if name not in self._released:
                why = self._events.why_no_pod(self._found())
                return f"slice {name}: KubeRay has not made its pod: {why}"
            why = self._complaint(pods[name]) if name in pods else ""
            if why:
                return f"slice {name} on {self._layout.nodes[name]}: {why}"
        return ""

    def oversized(self, slices: Mapping[str, Slice]) -> str:
        """Nothing: the kernel ends what exceeds its pod's limit."""
        return ""

    def drain(self, name: str) -> None:
        """Let KubeRay end the slice's pod; its Ray node drains itself at SIGTERM."""
        with self._lock:
            self._drained.add(name)

    def has_left(self, name: str) -> bool:
        """Whether the pod of a drained slice is gone."""
        return name in self._drained and name not in self._by_slice()

    def end_one(self, name: str, patience_s: float) -> bool:
        """Ask once more for the end of a slice's pod, sooner; whether it is gone."""
        pod = self._by_slice().get(name)
        if pod is not None:
            self._quietly(lambda: self._delete_pod(pod, patience_s))
        return pod is None

    def end(self, patience_s: float) -> bool:
        """End workers, then the head with its RayCluster; whether all are gone."""
        until = time.monotonic() + _END_S
        while time.monotonic() < until:
            if self._quietly(lambda: self._take_down(patience_s)):
                return True
            time.sleep(_POLL_S)
        return False

    def forget(self) -> None:
        """Nothing: what was kept of it was the RayCluster."""

    def _complaint(self, pod: Object) -> str:
        """Why a released pod does not run: from its status, or else from what was told of it."""
        return pod_state.awaits(pod) or ("" if pod_state.is_running(pod) else self._events.complaint(pod))

    def _tend(self) -> None:
        cluster = self._found()
        if cluster is None:
            if not self._uid and self.wanted is not None:
                self._create(self.wanted)
            return
        self._uid = cluster["metadata"]["uid"]
        self._token.ensure(cluster, self.wanted, is_new=self._made)
        self._bring_size(cluster)
        self._release()
        for name, pod in self._by_slice().items():
            check_built(f"slice {name} on {self._layout.nodes.get(name)}", pod_state.awaits(pod))

    def _create(self, wanted: WantedCluster) -> None:
        """Make the RayCluster, unless one of that name still leaves.

        Raises:
            BadInput: If the cluster's KubeRay is too old for it.
            Unavailable: If nobody says whether it was made.
        """
        if self._surface.clusters.get(self._object_name) is not None:
            return
        made = ray_cluster(wanted, self._surface.home, self._layout.written())
        try:
            created = self._surface.api.create(RAY_CLUSTERS, made)
        except Unavailable:
            self._unanswered = True
            raise
        if why := dropped(created):
            self._surface.api.delete(RAY_CLUSTERS, self._object_name)
            raise BadInput(why)
        self._uid, self._made = created["metadata"]["uid"], True
        self._surface.clusters.learn(created)
        self._token.ensure(created, wanted, is_new=True)

    def _bring_size(self, cluster: Object) -> None:
        """Let every worker group have as many pods as the layout says, and name those that leave."""
        with self._lock:
            layout, drained = self._layout, set(self._drained)
        leaving: dict[str, list[str]] = {}
        for name, pod in self._by_slice().items():
            if name in drained and name in layout.pools:
                leaving.setdefault(layout.pools[name], []).append(pod["metadata"]["name"])
        existing = cluster["spec"].get("workerGroupSpecs") or []
        # A pod that joins finds the secret of the name under which the cluster was made, not of whose it became.
        wanted, counts = layout.as_made(self.wanted), layout.replicas(drained)
        groups = worker_groups(wanted, self._surface.home, existing=existing, replicas=counts, leaving=leaving)
        if [size_of(group) for group in groups] != [size_of(group) for group in existing]:
            self._patch_cluster(cluster, {"spec": {"workerGroupSpecs": groups}})

    def _release(self) -> None:
        """Send every pod of the gang to the node of its slice once all of them wait at the gate."""
        pods = self._by_slice()
        with self._lock:
            self._released |= pods.keys() & set(self._layout.slices)
            starts = {name: pod["metadata"]["uid"] for name, pod in pods.items()}
            self._layout = self._layout.model_copy(update={"starts": starts})
            waiting = [name for name in self._layout.staying if name not in self._released]
        self._last |= pods
        places = {name: Place(self._layout.pools.get(name, ""), 1) for name in waiting}
        chosen = choose(places, self._pods())
        going = [Going(pod, name, self._layout.nodes[name]) for name, pods in chosen.items() for pod in pods]
        check_tokens(going)
        release(self._surface.api, going, self._surface.nodes, self._went)

    def _went(self, name: str, pod: Object) -> None:
        with self._lock:
            self._released.add(name)
        self._last[name] = pod
        self._surface.pods.learn(pod)

    def _take_down(self, patience_s: float) -> bool:
        """One step towards nothing being left; whether that is reached."""
        if self._unanswered and not self._uid:
            self._look_for_it()
        cluster = self._found(leaving=True)
        pods = self._pods()
        workers = [pod for pod in pods if not pod_state.is_head(pod)]
        if cluster is not None and "deletionTimestamp" not in cluster["metadata"]:
            groups = cluster["spec"].get("workerGroupSpecs") or []
            if any(group.get("replicas") for group in groups):
                none = worker_groups(None, self._surface.home, existing=groups, replicas={})
                self._patch_cluster(cluster, {"spec": {"workerGroupSpecs": none}})
            elif not workers:
                self._surface.api.delete(RAY_CLUSTERS, self._object_name)
        for pod in workers or pods:
            self._delete_pod(pod, patience_s)
        return cluster is None and not pods

    def _look_for_it(self) -> None:
        """Ask whether the RayCluster is there: it may have been made although nobody said so, or be heard of later."""
        try:
            found = self._surface.api.get(RAY_CLUSTERS, self._object_name)
        except NotFound:
            return
        if born_of(found) == self._layout.born:
            self._uid = found["metadata"]["uid"]
            self._surface.clusters.learn(found)

    def _delete_pod(self, pod: Object, patience_s: float) -> None:
        """Delete it with less patience than its own; at once where no kubelet would answer."""
        grace_s = int(patience_s) if self._node_is_ready(pod) else 0
        granted = pod["metadata"].get("deletionGracePeriodSeconds")
        if granted is None or granted > grace_s:
            self._surface.api.delete(PODS, pod["metadata"]["name"], grace_s)

    def _patch_cluster(self, cluster: Object, change: dict[str, Any]) -> None:
        guarded = {**change, "metadata": {"resourceVersion": cluster["metadata"]["resourceVersion"]}}
        self._surface.clusters.learn(self._surface.api.patch(RAY_CLUSTERS, self._object_name, guarded))

    def _write_down(self) -> None:
        annotation = {names.LAYOUT: self._layout.written()}
        labels = {names.WORKLOAD: names.label_value(self._layout.workload), names.ATTEMPT: str(self._layout.attempt)}
        written = {"uid": self._uid, "labels": labels, "annotations": annotation}
        patched = self._surface.api.patch(RAY_CLUSTERS, self._object_name, {"metadata": written})
        self._surface.clusters.learn(patched)

    def _own(self) -> Object:
        found = self._found()
        if found is None:
            raise NotFound(f"RayCluster {self._object_name} is not there")
        return found

    def _found(self, *, leaving: bool = False) -> Object | None:
        """The cluster's RayCluster; one that is being deleted only if it is asked for."""
        found = self._surface.clusters.get(self._object_name)
        if found is None or (self._uid and found["metadata"]["uid"] != self._uid):
            return None
        if "deletionTimestamp" in found["metadata"] and not leaving:
            return None
        return found if self._uid or born_of(found) == self._layout.born else None

    def _pods(self) -> list[Object]:
        """Pods of this very RayCluster."""
        return [
            pod
            for pod in self._surface.pods.group(self._object_name)
            if any(owner.get("uid") == self._uid for owner in pod["metadata"].get("ownerReferences", ()))
        ]

    def _by_slice(self) -> dict[str, Object]:
        """Pods that were released, by their slice."""
        return {name: pod for pod in self._pods() if (name := pod_state.slice_of(pod))}

    def _lives(self, pod: Object | None) -> bool:
        if pod is None or pod_state.has_ended(pod) or self._events.lacks(pod):
            return False
        return not self._surface.silence.lost(pod["spec"].get("nodeName"), self._surface.nodes)

    def _node_is_ready(self, pod: Object) -> bool:
        """Whether its node works; a pod without a node needs none."""
        node = pod["spec"].get("nodeName")
        return not node or pod_state.node_is_ready(self._surface.nodes.get(node))

    def _node_is_gone(self, name: str) -> bool:
        return self._surface.nodes.get(self._layout.nodes[name]) is None

    def _address(self) -> str:
        pod = self._by_slice().get(self._layout.head)
        return str(pod.get("status", {}).get("podIP", "")) if pod else ""

    def _quietly(self, action: Callable[[], Any]) -> Any:
        """Do what is tried again anyway."""
        try:
            return action()
        except FabricError as error:
            _log.warning("%s: %s", self._layout.name, error.message)
            return None
