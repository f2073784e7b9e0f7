"""Nodes that do not exist, for scale: they are ready and take pods as real ones do."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from scripts.rigging.api import Api, Object, wait_until
from tests.cluster.pods import Namespace, spec
from tests.cluster.ray_clusters import gated, ray_cluster, release

NODES = 200
PODS = 400
LABEL = "fabric-test/fake"
READY_S = 90.0
ANNOTATION = {"kwok.x-k8s.io/node": "fake"}
TOLERATES_FAKE = {"key": LABEL, "operator": "Exists", "effect": "NoSchedule"}


def fake_node(name: str) -> Object:
    """A node of 4 GPUs that only who tolerates fakes lands on."""
    amounts = {"cpu": "64", "memory": "256Gi", "nvidia.com/gpu": "4", "pods": "110"}
    return {
        "metadata": {"name": name, "annotations": ANNOTATION, "labels": {LABEL: "yes", "kubernetes.io/hostname": name}},
        "spec": {"taints": [{"key": LABEL, "value": "yes", "effect": "NoSchedule"}]},
        "status": {"capacity": amounts, "allocatable": amounts},
    }


def _ready(node: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node.get("status", {}).get("conditions", []))


@pytest.fixture(scope="module")
def fakes(api: Api) -> Iterator[list[str]]:
    """Names of the fake nodes, all ready."""
    names = [f"fake-{number:03}" for number in range(NODES)]
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: api.create("/api/v1/nodes", fake_node(name)), names))
    wait_until("all fakes are ready", lambda: sum(map(_ready, api.items("/api/v1/nodes", LABEL))) == NODES, READY_S)
    print(f"{NODES} fake nodes ready after {time.monotonic() - started:.1f} s")
    yield names
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: api.delete(f"/api/v1/nodes/{name}"), names))


def _fake(what: Object) -> Object:
    tolerations = [*what.get("tolerations", []), TOLERATES_FAKE]
    return {**what, "nodeSelector": {LABEL: "yes"}, "tolerations": tolerations}


def test_hundreds_of_fake_nodes_take_no_more_than_they_hold(namespace: Namespace, fakes: list[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: namespace.run(f"pod-{i}", _fake(spec("sleep", "1", gpus=2))), range(PODS)))

    def running() -> Counter[str]:
        return Counter(pod["spec"]["nodeName"] for pod in namespace.pods() if pod["status"]["phase"] == "Running")

    wait_until("all pods run", lambda: running().total() == PODS, READY_S)
    assert running() == dict.fromkeys(fakes, 2)
    namespace.run("surplus", _fake(spec("sleep", "1", gpus=2)))
    # A fake node whose lease was renewed late is not ready for a moment, and then that is what the pod is told.
    wait_until(
        "the surplus is told what it lacks",
        lambda: "Insufficient nvidia.com/gpu" in namespace.why_waiting("surplus"),
        READY_S,
        hint=lambda: namespace.why_waiting("surplus"),
    )


def test_the_operator_counts_a_ray_cluster_of_fake_pods_as_ready(namespace: Namespace, fakes: list[str]) -> None:
    wanted = ray_cluster("pretended", workers=3)
    groups = wanted["spec"]
    for group in (groups["headGroupSpec"], *groups["workerGroupSpecs"]):
        template = group["template"]["spec"]
        template["tolerations"] = [*template.get("tolerations", []), TOLERATES_FAKE]
    namespace.api.create(namespace.ray(), wanted)
    pods = gated(namespace, "pretended", 4)
    for pod, node in zip(pods, fakes, strict=False):
        release(namespace, pod, node)
    path = namespace.ray("rayclusters/pretended")
    wait_until("it is ready", lambda: namespace.api.get(path).get("status", {}).get("state") == "ready", READY_S)
    assert [namespace.pod(pod)["spec"]["nodeName"] for pod in pods] == fakes[:4]
