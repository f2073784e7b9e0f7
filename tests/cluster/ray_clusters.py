"""Ray clusters whose pods wait at a gate, and their jobs over REST, in a few words.

Knows nothing of the fabric's own backend: this is what it relies on.
"""

import httpx

from scripts.rigging.api import Object, wait_until
from tests.cluster.pods import Namespace, spec

GATE = "fabric/placement"
HEAD_S = 180.0
"""How long Ray may take to be ready, in pods of one CPU on a busy machine."""
JOB_S = 120.0


def ray_cluster(name: str, workers: int = 1) -> Object:
    """A RayCluster of a head without resources and workers with one GPU each; all pods wait at the gate."""
    head = _template(spec(cpus="1", memory="2Gi"))
    worker = _template(spec(cpus="1", memory="2Gi", gpus=1))
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name},
        "spec": {
            "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": head},
            "workerGroupSpecs": [
                {
                    "groupName": "workers",
                    "replicas": workers,
                    "minReplicas": workers,
                    "maxReplicas": 8,
                    "rayStartParams": {},
                    "template": worker,
                }
            ],
        },
    }


def _template(what: Object) -> Object:
    restarts = {key: value for key, value in what.items() if key != "restartPolicy"}
    return {"spec": {**restarts, "schedulingGates": [{"name": GATE}]}}


def gated(namespace: Namespace, cluster: str, count: int, limit_s: float = 60.0) -> list[str]:
    """Names of a cluster's pods once `count` wait at the gate; the head is first."""

    def waiting() -> list[Object]:
        pods = namespace.pods(f"ray.io/cluster={cluster}")
        return [pod for pod in pods if any(gate["name"] == GATE for gate in pod["spec"].get("schedulingGates", []))]

    wait_until(f"{count} pods of {cluster} wait at the gate", lambda: len(waiting()) == count, limit_s)
    heads_first = sorted(waiting(), key=lambda pod: pod["metadata"]["labels"]["ray.io/node-type"] != "head")
    return [pod["metadata"]["name"] for pod in heads_first]


def release(namespace: Namespace, pod: str, node: str) -> None:
    """Let a gated pod go to exactly this node."""
    where = {"op": "add", "path": "/spec/nodeSelector", "value": {"kubernetes.io/hostname": node}}
    namespace.api.patch(namespace.path(f"pods/{pod}"), [where, {"op": "remove", "path": "/spec/schedulingGates"}])


def node_of(namespace: Namespace, pod: str) -> str:
    """The node a pod is on; empty if it is on none."""
    name: str = namespace.pod(pod)["spec"].get("nodeName", "")
    return name


def until_ready(namespace: Namespace, cluster: str) -> None:
    """Wait until the operator counts the cluster as ready."""

    def state() -> str:
        found: str = namespace.api.get(namespace.ray(f"rayclusters/{cluster}")).get("status", {}).get("state", "")
        return found

    def stories() -> str:
        pods = namespace.pods(f"ray.io/cluster={cluster}")
        return "\n".join(namespace.story(pod["metadata"]["name"]) for pod in pods)

    wait_until(f"{cluster} is ready", lambda: state() == "ready", HEAD_S, hint=stories)


def run_job(namespace: Namespace, head: str, entrypoint: str) -> str:
    """What a Ray job printed, run to its success on the cluster of this head."""
    address = namespace.pod(head)["status"]["podIP"]
    with httpx.Client(base_url=f"http://{address}:8265", trust_env=False, timeout=30.0) as client:
        job = client.post("/api/jobs/", json={"entrypoint": entrypoint}).raise_for_status().json()["submission_id"]

        def status() -> str:
            found: str = client.get(f"/api/jobs/{job}").raise_for_status().json()["status"]
            return found

        def logs() -> str:
            printed: str = client.get(f"/api/jobs/{job}/logs").raise_for_status().json()["logs"]
            return printed

        wait_until(f"job {job} ends", lambda: status() in ("SUCCEEDED", "FAILED", "STOPPED"), JOB_S, hint=logs)
        assert status() == "SUCCEEDED", logs()
        return logs()
