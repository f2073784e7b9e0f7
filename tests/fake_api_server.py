"""An API server in memory, with what KubeRay, a scheduler and kubelets would do; no socket and no Ray behind it.

It keeps what the backend relies on: versions that rise, gates that hold a pod, patches that are tested, names that are
taken, owners that take their objects along, replicas that become pods.
"""

import copy
import queue
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fabric.backends.kuberay import names
from fabric.backends.kuberay.api import (
    NODES,
    PODS,
    RAY_CLUSTERS,
    RAY_JOBS,
    Change,
    Expired,
    Kind,
    Listing,
    Object,
    Patch,
)
from fabric.core.errors import BadInput, Conflict, FabricError, NotFound


def kube_node(name: str, tier: str, *, ready: bool = True, gpus: int = 0, **spec: Any) -> Object:
    """A node of four CPUs and 8 GiB."""
    return {
        "metadata": {"name": name, "uid": name, "labels": {"fabric/tier": tier, names.HOSTNAME: f"host-{name}"}},
        "spec": spec,
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "allocatable": {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": str(gpus)},
        },
    }


@dataclass
class FakeApiServer:
    """Implements `fabric.backends.kuberay.api.KubeApi`; pods run at once when nothing holds them."""

    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    """By kind and name."""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    """Verb, kind and name of every change that was asked for."""
    asked: set[tuple[str, str]] = field(default_factory=set)
    """Verb and kind of everything that was asked for."""
    refuses: dict[tuple[str, str], FabricError] = field(default_factory=dict)
    """By verb and kind: raised until it is taken out."""
    makes_pods: bool = True
    """Whether the operator works."""
    gives_tokens: bool = True
    """Whether the operator is new enough to give pods the cluster's token."""
    pulls: bool = True
    """Whether images can be pulled."""
    silent: set[str] = field(default_factory=set)
    """Nodes whose kubelet answers nothing: pods there that are asked to leave stay until they are taken away."""
    released: list[tuple[str, str, str]] = field(default_factory=list)
    """Pod, slice and host of every release, in order."""

    def __post_init__(self) -> None:
        self._version = 0
        self._count = 0
        self._lock = threading.RLock()
        self._watches: list[tuple[Kind, str, queue.SimpleQueue[Change | FabricError | None]]] = []

    def listing(self, kind: Kind, selector: str = "", fields: str = "") -> Listing:
        """All objects of a kind that have the labels and the values of fields."""
        with self._lock:
            self._may("list", kind)
            items = [
                copy.deepcopy(item)
                for (plural, _), item in self.objects.items()
                if plural == kind.plural and _has(item, fields) and _labelled(item, selector)
            ]
            return Listing(tuple(items), str(self._version))

    def watch(self, kind: Kind, version: str, selector: str = "") -> Iterator[Change]:
        """Changes after now of objects that have the labels."""
        told: queue.SimpleQueue[Change | FabricError | None] = queue.SimpleQueue()
        with self._lock:
            self._may("watch", kind)
            if int(version) < self._version:
                raise Expired("too old")
            self._watches.append((kind, selector, told))
        while (change := told.get()) is not None:
            if isinstance(change, FabricError):
                raise change
            yield change

    def get(self, kind: Kind, name: str) -> Object:
        """One object."""
        with self._lock:
            self._may("get", kind)
            return copy.deepcopy(self._known(kind, name))

    def create(self, kind: Kind, item: Object) -> Object:
        """Make an object, and what follows from it."""
        with self._lock:
            self._may("create", kind)
            name = item["metadata"]["name"]
            self.calls.append(("create", kind.plural, name))
            if (kind.plural, name) in self.objects:
                raise Conflict(f"{kind.plural} {name} is there")
            made = self._put(kind, copy.deepcopy(item))
            self._reconcile()
            return made

    def patch(self, kind: Kind, name: str, patch: Patch) -> Object:
        """Change an object, and what follows from it."""
        with self._lock:
            self._may("patch", kind)
            self.calls.append(("patch", kind.plural, name))
            item = copy.deepcopy(self._known(kind, name))
            if isinstance(patch, dict):
                version = patch.get("metadata", {}).get("resourceVersion")
                if version not in {None, item["metadata"]["resourceVersion"]}:
                    raise Conflict("it has changed")
                _merge(item, patch)
            else:
                for step in patch:
                    _apply(item, step)
            changed = self._put(kind, item, event="MODIFIED")
            if kind == PODS:
                self.released.append(
                    (name, item["metadata"]["annotations"][names.SLICE], item["spec"]["nodeSelector"][names.HOSTNAME])
                )
            self._reconcile()
            return changed

    def patch_each(self, kind: Kind, patches: Mapping[str, Patch]) -> Mapping[str, Object | FabricError]:
        """Change several objects, one after the other."""
        found: dict[str, Object | FabricError] = {}
        for name, patch in patches.items():
            try:
                found[name] = self.patch(kind, name, patch)
            except FabricError as error:
                found[name] = error
        return found

    def delete(self, kind: Kind, name: str, grace_s: int | None = None) -> None:
        """Take an object away, with all that it owns."""
        with self._lock:
            self._may("delete", kind)
            self.calls.append(("delete", kind.plural, name))
            self.take(kind, name, grace_s)
            self._reconcile()

    def close(self) -> None:
        """End every watch."""
        with self._lock:
            for _, _, told in self._watches:
                told.put(None)
            self._watches.clear()

    def add(self, kind: Kind, *items: Object) -> None:
        """Put objects there, as somebody else would."""
        with self._lock:
            for item in items:
                self._put(kind, item)

    def take(self, kind: Kind, name: str, grace_s: int | None = None) -> None:
        """Remove an object and all that it owns, as somebody else would."""
        with self._lock:
            item = self.objects.get((kind.plural, name))
            if item is None:
                return
            if item.get("spec", {}).get("nodeName") in self.silent and grace_s != 0:
                if "deletionTimestamp" not in item["metadata"]:
                    self.change(kind, name, metadata={"deletionTimestamp": "now", "deletionGracePeriodSeconds": 30})
                return
            del self.objects[kind.plural, name]
            self._tell("DELETED", kind, item)
            uid = item["metadata"]["uid"]
            for plural, owned in [key for key, value in self.objects.items() if _owned_by(value, uid)]:
                self.take(Kind("", plural), owned)

    def change(self, kind: Kind, name: str, **changes: Any) -> None:
        """Change parts of an object, as somebody else would."""
        with self._lock:
            item = copy.deepcopy(self._known(kind, name))
            _merge(item, changes)
            self._put(kind, item, event="MODIFIED")

    def operate(self, kind: Kind, name: str, **changes: Any) -> None:
        """Change parts of an object, as somebody else would, and let the operator see it."""
        with self._lock:
            self.change(kind, name, **changes)
            self._reconcile()

    def interrupt(self, error: FabricError) -> None:
        """End every watch with an error, as an API server that is restarted does."""
        with self._lock:
            for _, _, told in self._watches:
                told.put(error)
            self._watches.clear()

    def named(self, kind: Kind) -> list[str]:
        """Names of all objects of a kind."""
        with self._lock:
            return sorted(name for plural, name in self.objects if plural == kind.plural)

    def pod_of(self, slice_name: str) -> Object:
        """The pod that was released as a slice."""
        with self._lock:
            pods = [item for (plural, _), item in self.objects.items() if plural == PODS.plural]
            return next(p for p in pods if p["metadata"].get("annotations", {}).get(names.SLICE) == slice_name)

    def _may(self, verb: str, kind: Kind) -> None:
        self.asked.add((verb, kind.plural))
        if (verb, kind.plural) in self.refuses:
            raise self.refuses[verb, kind.plural]

    def _known(self, kind: Kind, name: str) -> Object:
        if (kind.plural, name) not in self.objects:
            raise NotFound(f"no {kind.plural} {name}")
        return self.objects[kind.plural, name]

    def _put(self, kind: Kind, item: Object, event: str = "ADDED") -> Object:
        self._version += 1
        item["metadata"].setdefault("uid", f"uid-{self._version}")
        item["metadata"]["resourceVersion"] = str(self._version)
        before = self.objects.get((kind.plural, item["metadata"]["name"]))
        self.objects[kind.plural, item["metadata"]["name"]] = item
        self._tell(event, kind, item, before)
        return copy.deepcopy(item)

    def _tell(self, event: str, kind: Kind, item: Object, before: Object | None = None) -> None:
        """Tell watches; one that asked for labels hears of an object that loses them that it is gone."""
        if event == "DELETED":
            self._version += 1
            item = {**item, "metadata": {**item["metadata"], "resourceVersion": str(self._version)}}
        for watched, selector, told in self._watches:
            if watched.plural == kind.plural and _labelled(item, selector):
                told.put(Change(event, copy.deepcopy(item)))
            elif watched.plural == kind.plural and before and _labelled(before, selector):
                told.put(Change("DELETED", copy.deepcopy(item)))

    def _reconcile(self) -> None:
        """What the operator, the scheduler and kubelets do."""
        if self.makes_pods:
            for job in [item for (plural, _), item in self.objects.items() if plural == RAY_JOBS.plural]:
                self._operate_job(job)
            for cluster in [item for (plural, _), item in self.objects.items() if plural == RAY_CLUSTERS.plural]:
                self._operate(cluster)
        for pod in [item for (plural, _), item in self.objects.items() if plural == PODS.plural]:
            self._run(pod)

    def _operate_job(self, job: Object) -> None:
        """Make the RayCluster of a RayJob, or take it away, as KubeRay 1.6.2 does."""
        name, status = f"{job['metadata']['name']}-raycluster", job.setdefault("status", {})
        how_far = status.get("jobDeploymentStatus", "")
        if how_far in {"Complete", "Failed"}:
            self.take(RAY_CLUSTERS, name)
        elif job["spec"].get("suspend"):
            if how_far != "Suspended":
                self.take(RAY_CLUSTERS, name)
                self.change(RAY_JOBS, job["metadata"]["name"], status=_job_status("Suspended", ""))
        elif how_far in {"", "Suspended"}:
            meta = job["metadata"]
            own = {"name": name, "labels": meta.get("labels", {}), "annotations": meta.get("annotations", {})}
            owner = {"kind": "RayJob", "name": meta["name"], "uid": meta["uid"]}
            made = {"metadata": {**own, "ownerReferences": [owner]}, "spec": job["spec"]["rayClusterSpec"]}
            self._put(RAY_CLUSTERS, copy.deepcopy(made))
            self.change(RAY_JOBS, meta["name"], status={**_job_status("Initializing", ""), "rayClusterName": name})

    def _operate(self, cluster: Object) -> None:
        spec, name = cluster["spec"], cluster["metadata"]["name"]
        if spec.get("suspend"):
            for group in ("headgroup", *(group["groupName"] for group in spec.get("workerGroupSpecs", ()))):
                for pod in self._pods(name, group):
                    self.take(PODS, pod)
            return
        if not self._pods(name, "headgroup"):
            self._make(cluster, spec["headGroupSpec"], "headgroup", "head")
        for group in spec.get("workerGroupSpecs", ()):
            for pod in group.get("scaleStrategy", {}).get("workersToDelete", ()):
                self.take(PODS, pod)
            pods = self._pods(name, group["groupName"])
            for _ in range(group["replicas"] - len(pods)):
                self._make(cluster, group, group["groupName"], "worker")
            for pod in pods[group["replicas"] :]:
                self.take(PODS, pod)

    def _pods(self, cluster: str, group: str) -> list[str]:
        wanted = {names.CLUSTER: cluster, names.GROUP: group}
        return [
            name
            for (plural, name), item in self.objects.items()
            if plural == PODS.plural and wanted.items() <= item["metadata"]["labels"].items()
        ]

    def _make(self, cluster: Object, group: Object, name: str, node_type: str) -> None:
        self._count += 1
        meta, template = cluster["metadata"], copy.deepcopy(group["template"])
        own = {names.CLUSTER: meta["name"], names.GROUP: name, names.NODE_TYPE: node_type}
        template.setdefault("metadata", {}).setdefault("labels", {}).update(own)
        if self.gives_tokens and cluster["spec"].get("authOptions"):
            container = template["spec"]["containers"][0]
            container["env"] = [*container.get("env", ()), {"name": "RAY_AUTH_MODE", "value": "token"}]
        template["metadata"] |= {
            "name": f"{meta['name']}-{name}-{self._count}",
            "ownerReferences": [{"uid": meta["uid"]}],
        }
        self._put(PODS, {**template, "status": {"phase": "Pending"}})

    def _run(self, pod: Object) -> None:
        """Let a pod run on its node, unless something holds it."""
        if pod["status"]["phase"] != "Pending" or pod["spec"].get("schedulingGates") or not self.pulls:
            return
        host = pod["spec"].get("nodeSelector", {}).get(names.HOSTNAME)
        if host is None:
            return
        nodes = [item for (plural, _), item in self.objects.items() if plural == NODES.plural]
        node = next(n["metadata"]["name"] for n in nodes if n["metadata"]["labels"][names.HOSTNAME] == host)
        running = copy.deepcopy(pod)
        running["spec"]["nodeName"] = node
        running["status"] = {"phase": "Running", "podIP": "192.0.2.1"}
        self._put(PODS, running, event="MODIFIED")


def _owned_by(item: Object, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences", ()))


def _merge(item: Object, patch: Object) -> None:
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(item.get(key), dict):
            _merge(item[key], value)
        elif value is None:
            item.pop(key, None)
        else:
            item[key] = _without_nulls(copy.deepcopy(value))


def _without_nulls(value: Any) -> Any:
    """What a merge patch makes of a part that was not there."""
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return value


def _job_status(how_far: str, said: str) -> Object:
    return {"jobDeploymentStatus": how_far, "jobStatus": said}


def _labelled(item: Object, selector: str) -> bool:
    """Whether an object has labels, given as `key=value` or as a `key` with any value."""
    labels = item["metadata"].get("labels") or {}
    wishes = [wish.partition("=") for wish in selector.split(",") if wish]
    return all(labels.get(key) == value if sign else key in labels for key, sign, value in wishes)


def _apply(item: Object, step: Any) -> None:
    """One step of a JSON patch."""
    *above, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
    place: Any = item
    for part in above:
        place = place[int(part)] if isinstance(place, list) else place[part]
    key: Any = int(last) if isinstance(place, list) else last
    if step["op"] == "test":
        if place[key] != step["value"]:
            raise BadInput(f"{step['path']} is not {step['value']}")
    elif step["op"] == "remove":
        del place[key]
    else:
        place[key] = step["value"]


def _has(item: Object, fields: str) -> bool:
    """Whether paths such as `involvedObject.uid=u` have these values."""
    for path, value in (wish.split("=", 1) for wish in fields.split(",") if wish):
        found: Any = item
        for key in path.split("."):
            found = found.get(key)
        if found != value:
            return False
    return True
