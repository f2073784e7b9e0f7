"""RayClusters and RayJobs as people make them for the fabric, in a few words."""

from typing import Any

from fabric.backends.kuberay import names
from fabric.backends.kuberay.api import Object
from fabric.backends.kuberay.foreign import Foreign


def template(cpus: str = "1", memory: str = "1Gi", gpus: int = 0, **spec: Any) -> Object:
    """A pod template of one container."""
    amounts = {"cpu": cpus, "memory": memory, **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    container = {"name": "ray", "image": "ray:2", "resources": {"requests": amounts, "limits": amounts}}
    return {"spec": {"containers": [container], **spec}}


def workers(replicas: int = 1, name: str = "small", pods: Object | None = None, **group: Any) -> Object:
    """A worker group; one GPU for each pod unless told otherwise."""
    bounds = {"replicas": replicas, "minReplicas": 0, "maxReplicas": max(1, replicas)}
    return {"groupName": name, **bounds, "rayStartParams": {}, "template": pods or template(gpus=1), **group}


def cluster_spec(*groups: Object, head: Object | None = None, **more: Any) -> Object:
    """What a RayCluster is made of: a head, and these groups of workers."""
    return {
        "headGroupSpec": {"rayStartParams": {}, "template": head or template()},
        "workerGroupSpecs": list(groups),
        **more,
    }


def ray_cluster(name: str = "mine", *groups: Object, project: str = "default", **more: Any) -> Object:
    """A suspended RayCluster that names its project."""
    meta = {"name": name, "labels": {names.PROJECT: project} | more.pop("labels", {})}
    meta |= {key: more.pop(key) for key in ("annotations", "uid", "creationTimestamp") if key in more}
    spec = {"suspend": True, **cluster_spec(*groups, head=more.pop("head", None)), **more}
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": meta, "spec": spec}


def ray_job(name: str = "mine", *groups: Object, project: str = "default", **more: Any) -> Object:
    """A suspended RayJob that names its project."""
    meta = {"name": name, "labels": {names.PROJECT: project} | more.pop("labels", {})}
    meta |= {key: more.pop(key) for key in ("annotations", "uid", "creationTimestamp") if key in more}
    spec = {
        "suspend": True,
        "shutdownAfterJobFinishes": True,
        "entrypoint": "python x.py",
        "rayClusterSpec": cluster_spec(*groups, head=more.pop("head", None)),
    }
    found: Object = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": meta, "spec": {**spec, **more}}
    return found | ({"status": found["spec"].pop("status")} if "status" in more else {})


def foreign(item: Object) -> Foreign:
    """Such an object as the API server has it."""
    item["metadata"].setdefault("uid", f"uid-{item['metadata']['name']}")
    return Foreign(item["kind"], item)
