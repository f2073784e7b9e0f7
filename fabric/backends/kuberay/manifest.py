"""A wanted cluster as the objects that Kubernetes gets: one RayCluster, and one secret that belongs to it.

Knows nothing of a Kubernetes that would take them: values in, values out.
"""

import base64
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from fabric.backends.kuberay import names
from fabric.backends.kuberay.pods import Home, pod_template, secret_variables, start_params
from fabric.scheduler.ports import WantedCluster
from fabric.workloads.record import Slice

API_VERSION, KIND = "ray.io/v1", "RayCluster"
"""KubeRay's kind of a cluster that stays."""
RAY_VERSION = "2.60.0"
"""Version of Ray in every image, which KubeRay asks for before it turns tokens on."""
TOO_OLD = "its KubeRay is too old; install 1.6.2 or later, CRDs and operator"
"""What is said of a Kubernetes that does not know what these manifests rely on."""
TOKEN_KEY = "auth_token"  # noqa: S105
"""Where KubeRay looks for the token in the secret."""


def ray_cluster(wanted: WantedCluster, home: Home, layout: str) -> dict[str, Any]:
    """The RayCluster of a grant: its head, and a worker group for each group and shape of slice.

    Args:
        wanted: The recorded grant and what runs on it.
        home: The site.
        layout: What an adopting fabric reads.

    Raises:
        BadInput: If no pods could be what was granted.
    """
    head = wanted.grant.head
    name = names.object_name(wanted.name)
    labels = {**names.object_labels(wanted, home.site.name), names.GENERATION: str(wanted.generation)}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": name,
            "namespace": home.kubernetes.namespace,
            "labels": labels,
            "annotations": {names.LAYOUT: layout},
        },
        "spec": {
            "rayVersion": RAY_VERSION,
            "enableInTreeAutoscaling": False,
            "authOptions": {"mode": "token", "secretName": name},
            "headGroupSpec": {"rayStartParams": start_params(head, home), "template": pod_template(head, wanted, home)},
            "workerGroupSpecs": worker_groups(wanted, home),
        },
    }


def size_of(group: Mapping[str, Any]) -> tuple[Any, ...]:
    """What of a worker group the fabric decides."""
    deleted = group.get("scaleStrategy", {}).get("workersToDelete") or []
    return (group["groupName"], group.get("replicas"), group.get("maxReplicas"), sorted(deleted))


def dropped(created: Mapping[str, Any]) -> str:
    """What an API server left out of a RayCluster without a word, because its CRD is older; empty if nothing.

    Without its token a cluster is everybody's, and without their gate pods go where nobody granted anything.
    """
    spec = created["spec"]
    templates = [spec["headGroupSpec"], *spec.get("workerGroupSpecs", ())]
    gates = all("schedulingGates" in group["template"]["spec"] for group in templates)
    missing = [*([] if spec.get("authOptions") else ["authOptions"]), *([] if gates else ["schedulingGates"])]
    return f"the CRD of RayClusters drops {' and '.join(missing)}: {TOO_OLD}" if missing else ""


def worker_groups(
    wanted: WantedCluster | None,
    home: Home,
    *,
    existing: Iterable[Mapping[str, Any]] = (),
    replicas: Mapping[str, int] | None = None,
    leaving: Mapping[str, Iterable[str]] | None = None,
) -> list[dict[str, Any]]:
    """The worker groups of a grant.

    Args:
        wanted: The recorded grant; None where it has not been heard yet, so that no group can be added.
        home: The site.
        existing: Groups that the cluster has; they stay, in their order, if need be without a pod.
        replicas: Pods of each group; those of the grant if left out.
        leaving: Pods that are to be ended, by their group.

    Raises:
        BadInput: If no pods could be what was granted.
    """
    workers = [part for part in wanted.grant.slices if not part.head] if wanted else []
    counts = replicas if replicas is not None else Counter(names.pool_name(part) for part in workers)
    # Those that are there stay as they are: another template would not change pods that run.
    groups = {str(group["groupName"]): dict(group) for group in existing}
    for part in sorted(workers, key=names.pool_name):
        name = names.pool_name(part)
        if wanted and name not in groups and counts.get(name):
            groups[name] = _worker_group(name, part, wanted, home)
    return [
        {
            **{key: value for key, value in group.items() if key != "scaleStrategy"},
            **_replicas(counts.get(name, 0)),
            **_to_delete((leaving or {}).get(name, ())),
        }
        for name, group in groups.items()
    ]


def cluster_secret(wanted: WantedCluster, home: Home, token: str, owner: Mapping[str, Any]) -> dict[str, Any]:
    """The secret of a cluster: Ray's token, the workload's own, and the values of secrets that it names.

    Args:
        wanted: Whose it is.
        home: The site.
        token: The cluster's Ray token.
        owner: The RayCluster as Kubernetes has it, with which the secret goes.
    """
    kept = {TOKEN_KEY: token} | {name: wanted.env[name] for name in secret_variables(wanted)}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": names.object_name(wanted.name),
            "namespace": home.kubernetes.namespace,
            "labels": names.object_labels(wanted, home.site.name),
            "ownerReferences": [owner_reference(owner)],
        },
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in sorted(kept.items())},
    }


def owner_reference(owner: Mapping[str, Any]) -> dict[str, Any]:
    """What makes an object go together with the RayCluster `owner`."""
    meta = owner["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }


def release_patch(pod: Mapping[str, Any], slice_name: str, hostname: str) -> list[dict[str, Any]]:
    """The one JSON patch that lets a gated pod go to the node of its slice, and nowhere else.

    Raises:
        ValueError: If the pod does not wait at our gate.
    """
    gates = [gate["name"] for gate in pod["spec"].get("schedulingGates", ())]
    at = f"/spec/schedulingGates/{gates.index(names.GATE)}"
    noted = [] if "annotations" in pod["metadata"] else [{"op": "add", "path": "/metadata/annotations", "value": {}}]
    selects = [] if "nodeSelector" in pod["spec"] else [{"op": "add", "path": "/spec/nodeSelector", "value": {}}]
    return [
        {"op": "test", "path": "/metadata/uid", "value": pod["metadata"]["uid"]},
        {"op": "test", "path": f"{at}/name", "value": names.GATE},
        *noted,
        {"op": "add", "path": f"/metadata/annotations/{_escaped(names.SLICE)}", "value": slice_name},
        *selects,
        {"op": "add", "path": f"/spec/nodeSelector/{_escaped(names.HOSTNAME)}", "value": hostname},
        {"op": "remove", "path": at},
    ]


def _worker_group(name: str, part: Slice, wanted: WantedCluster, home: Home) -> dict[str, Any]:
    return {
        "groupName": name,
        "rayStartParams": start_params(part, home),
        "template": pod_template(part, wanted, home),
    }


def _replicas(count: int) -> dict[str, int]:
    return {"replicas": count, "minReplicas": 0, "maxReplicas": count}


def _to_delete(pods: Iterable[str]) -> dict[str, Any]:
    named = sorted(pods)
    return {"scaleStrategy": {"workersToDelete": named}} if named else {}


def _escaped(key: str) -> str:
    """A key as JSON pointers write it."""
    return key.replace("~", "~0").replace("/", "~1")
