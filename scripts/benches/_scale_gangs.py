"""What a watch shows of gangs: when each is ready, which are started in part, and what every node carries.

Knows nothing of who placed them, nor of clocks and connections: changes in, figures out.
"""

import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts.rigging.layout import GPU

CLUSTER = "ray.io/cluster"
"""Label that KubeRay gives the pods of a cluster."""
Amounts = Mapping[str, float]
"""CPUs, bytes and GPUs, by Kubernetes' names."""
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_COUNTED = ("cpu", "memory", GPU)
_ROUNDING = 1e-6


def amount(text: str) -> float:
    """A Kubernetes quantity such as `2`, `500m` or `16Gi` as a number."""
    for suffix, factor in _BINARY.items():
        if text.endswith(suffix):
            return float(text.removesuffix(suffix)) * factor
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


def requests(pod: Mapping[str, Any]) -> dict[str, float]:
    """What a pod's containers ask for together."""
    found: dict[str, float] = dict.fromkeys(_COUNTED, 0.0)
    for container in pod["spec"]["containers"]:
        asked = container.get("resources", {}).get("requests", {})
        for name in _COUNTED:
            found[name] += amount(str(asked.get(name, "0")))
    return found


def pods_of(cluster: Mapping[str, Any]) -> int:
    """Pods that a RayCluster asks for: its head and all workers."""
    return 1 + sum(group.get("replicas") or 0 for group in cluster["spec"].get("workerGroupSpecs") or ())


@dataclass(slots=True)
class _Gang:
    """What is known of one gang."""

    free: set[str] = field(default_factory=set)
    """Pods that no gate holds."""
    bound: set[str] = field(default_factory=set)
    """Pods that have a node."""
    released_at: float | None = None
    size: int | None = None
    """Pods that it has when it is whole, as its RayCluster says; None until that was heard of."""
    whole: bool = False
    """Whether all of it had nodes once; what leaves afterwards is not started in part."""
    half_since: float | None = None


class Gangs:
    """Takes in every change of pods and RayClusters of one namespace, in order; safe to call from two threads.

    Args:
        capacity: What each node has.
    """

    def __init__(self, capacity: Mapping[str, Amounts]) -> None:
        self._capacity = capacity
        self._gangs: dict[str, _Gang] = defaultdict(_Gang)
        self._carried: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(_COUNTED, 0.0))
        self._on: dict[str, tuple[str, Amounts]] = {}
        self._lock = threading.Lock()
        self.ready_at: dict[str, float] = {}
        """When each gang was first said to be ready by KubeRay, by its RayCluster."""
        self.gone: set[str] = set()
        """RayClusters that were deleted."""
        self.overcommitted: list[str] = []
        """A sentence for each node and kind that carried more than it has, once."""
        self.most_half = 0
        """Most gangs that were started in part at one instant."""
        self._halves: list[float] = []

    def saw_pod(self, at: float, change: str, pod: Mapping[str, Any]) -> None:
        """Take in a change of a pod.

        Args:
            at: When, in seconds.
            change: ADDED, MODIFIED or DELETED.
            pod: As it is then.
        """
        meta, name = pod["metadata"], pod["metadata"]["name"]
        cluster = meta.get("labels", {}).get(CLUSTER)
        if cluster is None:
            return
        with self._lock:
            gang, gone = self._gangs[cluster], change == "DELETED"
            _put(gang.free, name, not gone and not pod["spec"].get("schedulingGates"))
            _put(gang.bound, name, not gone and bool(pod["spec"].get("nodeName")))
            self._weigh(name, pod, gone)
            self._judge(at, gang)

    def saw_cluster(self, at: float, change: str, cluster: Mapping[str, Any]) -> None:
        """Take in a change of a RayCluster."""
        name = cluster["metadata"]["name"]
        with self._lock:
            if change == "DELETED":
                self.gone.add(name)
                return
            gang = self._gangs[name]
            if not gang.whole:
                gang.size = pods_of(cluster)
                self._judge(at, gang)
            if cluster.get("status", {}).get("state") == "ready":
                self.ready_at.setdefault(name, at)

    def num_ready(self) -> int:
        """Gangs that were ready."""
        with self._lock:
            return len(self.ready_at)

    def released_at(self) -> dict[str, float]:
        """When the last gate of each gang fell, by its RayCluster."""
        with self._lock:
            return {name: gang.released_at for name, gang in self._gangs.items() if gang.released_at is not None}

    def longest_half_s(self, now: float) -> float:
        """How long a gang was started in part at most, those included that still are; in seconds."""
        with self._lock:
            still = [now - gang.half_since for gang in self._gangs.values() if gang.half_since is not None]
            return max((*self._halves, *still), default=0.0)

    def _judge(self, at: float, gang: _Gang) -> None:
        """Note that a gang was released, or began or ceased to be started in part."""
        if gang.size is None:
            return
        if gang.released_at is None and len(gang.free) >= gang.size:
            gang.released_at = at
        gang.whole = gang.whole or len(gang.bound) >= gang.size
        is_half = bool(gang.bound) and not gang.whole
        if is_half and gang.half_since is None:
            gang.half_since = at
            self.most_half = max(self.most_half, sum(each.half_since is not None for each in self._gangs.values()))
        elif not is_half and gang.half_since is not None:
            self._halves.append(at - gang.half_since)
            gang.half_since = None

    def _weigh(self, name: str, pod: Mapping[str, Any], gone: bool) -> None:
        """Count what the pod asks for on its node, as long as it is there and has not ended."""
        node = pod["spec"].get("nodeName")
        ended = gone or pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
        if node and not ended and name not in self._on:
            self._on[name] = node, requests(pod)
            self._add(node, self._on[name][1], 1.0)
        elif ended and name in self._on:
            where, asked = self._on.pop(name)
            self._add(where, asked, -1.0)

    def _add(self, node: str, asked: Amounts, sign: float) -> None:
        for kind, number in asked.items():
            self._carried[node][kind] += sign * number
            has = self._capacity.get(node, {}).get(kind, 0.0)
            if sign > 0 and self._carried[node][kind] > has * (1 + _ROUNDING):
                self.overcommitted.append(f"{node} carries {self._carried[node][kind]:g} {kind} and has {has:g}")


def _put(names: set[str], name: str, belongs: bool) -> None:
    (names.add if belongs else names.discard)(name)


def quantile(numbers: list[float], share: float) -> float:
    """The number that `share` of them do not exceed; 0 of none."""
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
