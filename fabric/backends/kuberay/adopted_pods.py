"""The pods of an object that somebody made himself: found, released to their nodes as one gang, and watched.

Knows nothing of what the object says of itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fabric.backends.kuberay import names, pod_state
from fabric.backends.kuberay.api import PODS, KubeApi, Object
from fabric.backends.kuberay.foreign import KIND_OF, Foreign, ForeignKind, foreign_objects
from fabric.backends.kuberay.gang import Going, Place, choose, release
from fabric.backends.kuberay.layout import AdoptedLayout
from fabric.backends.kuberay.mirror import Mirror
from fabric.backends.kuberay.pod_events import PodEvents
from fabric.backends.kuberay.pods import Home
from fabric.backends.kuberay.silence import Silence
from fabric.core.errors import NotFound


@dataclass(frozen=True, slots=True)
class ForeignSurface:
    """What is heard of the objects that people made, and the server that is told."""

    api: KubeApi
    home: Home
    clusters: Mirror
    jobs: Mirror
    pods: Mirror
    """Grouped by the object's uid."""
    nodes: Mirror
    silence: Silence = field(default_factory=Silence)
    """Which nodes have been silent for too long."""

    @property
    def mirrors(self) -> tuple[Mirror, ...]:
        """Those that are for such objects alone."""
        return self.clusters, self.jobs, self.pods

    def objects(self) -> list[Foreign]:
        """Every object, oldest first."""
        site = self.home.site.name
        return foreign_objects(self.clusters.objects().values(), self.jobs.objects().values(), site)

    def find(self, kind: ForeignKind, name: str, uid: str) -> Foreign | None:
        """One object, if it is still that one."""
        found = self._mirror(kind).get(name)
        return Foreign(kind, found) if found is not None and found["metadata"]["uid"] == uid else None

    def look(self, kind: ForeignKind, name: str, uid: str) -> Foreign | None:
        """The same, asked of the server now: of two kinds of objects the later change may be heard first."""
        try:
            found = self.api.get(KIND_OF[kind], name)
        except NotFound:
            return None
        if found["metadata"]["uid"] != uid:
            return None
        return self.learn(Foreign(kind, found))

    def learn(self, foreign: Foreign) -> Foreign:
        """Take in what an answer to our own call says, unless nothing more would be heard of the object."""
        if names.PROJECT in foreign.labels:
            self._mirror(foreign.kind).learn(foreign.object)
        return foreign

    def _mirror(self, kind: ForeignKind) -> Mirror:
        return self.jobs if kind == "RayJob" else self.clusters


class AdoptedPods:
    """Those of one attempt."""

    def __init__(self, layout: AdoptedLayout, surface: ForeignSurface) -> None:
        self._layout, self._surface = layout, surface
        self._whole: set[str] = set()
        self._last: dict[str, dict[str, Object]] = {}
        """What each pod of a slice was last, by its uid."""
        self._events = PodEvents(surface.api)

    def take_over(self) -> None:
        """Go on where an earlier fabric was: a gang of which anything was released is whole, or has lost slices."""
        if any(self._by_slice().values()):
            self._whole = set(self._layout.firm)

    @property
    def gone(self) -> bool:
        """Whether the object has no pods, of whatever attempt."""
        return not self._surface.pods.group(names.label_value(self._layout.uid))

    def let_go(self) -> None:
        """Take away pods that were asked to leave where no kubelet answers for them; Kubernetes keeps those for ever.

        Raises:
            FabricError: If one cannot be taken away now.
        """
        for pod in self._surface.pods.group(names.label_value(self._layout.uid)):
            if _is_asked_to_leave(pod) and not self._node_lives(pod):
                self._surface.api.delete(PODS, pod["metadata"]["name"], 0)

    @property
    def running(self) -> bool:
        """Whether all of them run, but for those that come and go."""
        pods, most = self._by_slice(), self._layout.workers
        return all(sum(pod_state.is_running(pod) for pod in pods[name]) >= most[name] for name in self._layout.firm)

    def release(self) -> None:
        """Send every pod to the node of its slice once all of them wait at the gate.

        Raises:
            Conflict: If one has changed meanwhile; the next look sees how.
        """
        there = self._by_slice()
        for name, pods in there.items():
            self._remember(name, pods)
            if len(pods) >= self._layout.workers[name] and name in self._layout.firm:
                self._whole.add(name)
        places = {name: self._place(name, there) for name in self._layout.firm if name not in self._whole}
        chosen = choose(places, self._mine())
        self._let_go(chosen)
        self._whole |= chosen.keys()
        if self._layout.floating and not places:
            self._let_come(there)

    def _place(self, name: str, there: Mapping[str, list[Object]]) -> Place:
        return Place(self._layout.pools.get(name, ""), self._layout.workers[name] - len(there[name]))

    def _let_come(self, there: Mapping[str, list[Object]]) -> None:
        """Release what Ray's autoscaler asked for to where the grant has room for it, each by itself."""
        for name in self._layout.floating:
            place = self._place(name, there)
            if not pod_state.node_is_ready(self._surface.nodes.get(self._layout.nodes[name])):
                continue
            gated = [p for p in self._mine() if pod_state.is_gated(p) and pod_state.pool_of(p) == place.pool]
            self._let_go({name: gated[: place.pods]})

    def _let_go(self, chosen: Mapping[str, Iterable[Object]]) -> None:
        nodes = self._layout.nodes
        going = [Going(pod, name, nodes[name]) for name, pods in chosen.items() for pod in pods]
        release(self._surface.api, going, self._surface.nodes, self._went)

    def _went(self, name: str, pod: Object) -> None:
        self._surface.pods.learn(pod)
        self._remember(name, [pod])

    def lost(self) -> list[str]:
        """Slices that were whole and of which a pod has ended, is gone, or is on a node that is not ready.

        Of those whose pods come and go, only a node that is not ready loses any. Whose node is gone is lost even before
        it had a pod.
        """
        there = self._by_slice()
        return [
            name
            for name in self._layout.slices
            if (name in self._whole and sum(map(self._lives, there[name])) < self._layout.workers[name])
            or (name in self._layout.floating and not all(map(self._node_lives, there[name])))
            or self._node_is_gone(name)
        ]

    def last_words(self, name: str) -> str:
        """How a slice was lost."""
        if self._node_is_gone(name):
            return f"Kubernetes has no node {self._layout.nodes[name]} any more"
        there = {pod["metadata"]["uid"]: pod for pod in self._by_slice()[name]}
        known = self._last.get(name, {}) | there
        pod = next((pod for uid, pod in known.items() if uid not in there or not self._lives(pod)), None)
        if pod is None:
            return pod_state.last_words(None)
        last = self._surface.pods.gone(pod["metadata"]["uid"]) or pod
        node = last["spec"].get("nodeName")
        if node and not pod_state.node_is_ready(self._surface.nodes.get(node)):
            return f"its node {node} is not ready"
        return pod_state.last_words(last)

    def awaits(self) -> str:
        """Why they do not all run."""
        problem = self._surface.pods.problem
        if problem:
            return problem.message
        for name, pods in self._by_slice().items():
            if name in self._layout.firm and name not in self._whole:
                return f"KubeRay has not made all pods of slice {name}: {self._events.why_no_pod(self._cluster())}"
            for pod in pods:
                why = pod_state.awaits(pod) or ("" if pod_state.is_running(pod) else self._events.complaint(pod))
                if why:
                    return f"slice {name} on {self._layout.nodes[name]}: {why}"
        return ""

    def _cluster(self) -> Object | None:
        """The RayCluster whose pods they are, about which the operator complains."""
        layout = self._layout
        found = self._surface.find(layout.kind, layout.object_name, layout.uid)
        if found is None or found.kind == "RayCluster":
            return found.object if found else None
        return self._surface.clusters.get(str(found.status.get("rayClusterName", "")))

    def _remember(self, name: str, pods: Iterable[Object]) -> None:
        self._last.setdefault(name, {}).update({pod["metadata"]["uid"]: pod for pod in pods})

    def _mine(self) -> list[Object]:
        pods = self._surface.pods.group(names.label_value(self._layout.uid))
        return [pod for pod in pods if pod["metadata"]["labels"].get(names.ATTEMPT) == str(self._layout.attempt)]

    def _by_slice(self) -> Mapping[str, list[Object]]:
        """Those that were released, by their slice."""
        found: dict[str, list[Object]] = {name: [] for name in self._layout.slices}
        for pod in self._mine():
            name = pod_state.slice_of(pod)
            if name in found:
                found[name].append(pod)
        return found

    def _lives(self, pod: Object) -> bool:
        ended = pod.get("status", {}).get("phase") in {"Failed", "Succeeded"}
        return not ended and self._node_lives(pod)

    def _node_is_gone(self, name: str) -> bool:
        return self._surface.nodes.get(self._layout.nodes[name]) is None

    def _node_lives(self, pod: Object) -> bool:
        return not self._surface.silence.lost(pod["spec"].get("nodeName"), self._surface.nodes)


def _is_asked_to_leave(pod: Object) -> bool:
    """Whether somebody has deleted it and its kubelet may take its time."""
    return "deletionTimestamp" in pod["metadata"] and pod["metadata"].get("deletionGracePeriodSeconds") != 0
