"""Parts of the rig can be killed and come back; what ran on meanwhile ran on."""

import time

import httpx
import pytest

from scripts.rigging.api import Refused, wait_until
from scripts.rigging.layout import GPU
from scripts.rigging.rig import Rig
from tests.cluster.pods import Namespace, spec
from tests.cluster.ray_clusters import gated, ray_cluster

NOTICED_S = 90.0
TICKS = "n=0; while sleep 0.5; do n=$((n+1)); echo $n; done"
"""A process that shows that it never stopped."""


def _restarts(namespace: Namespace, pod: str) -> int:
    count: int = namespace.pod(pod)["status"]["containerStatuses"][0]["restartCount"]
    return count


def test_an_operator_that_comes_back_finds_what_was_asked_meanwhile(rig: Rig, namespace: Namespace) -> None:
    rig.kill("kuberay-operator")
    assert rig.status().components["kuberay-operator"] is None
    namespace.api.create(namespace.ray(), ray_cluster("asked-meanwhile"))
    time.sleep(1.0)
    assert namespace.pods() == []
    rig.start("kuberay-operator")
    assert len(gated(namespace, "asked-meanwhile", 2)) == 2


@pytest.mark.parametrize("part", ["kube-apiserver", "etcd"])
def test_pods_run_on_while_a_part_of_the_control_plane_is_dead(rig: Rig, namespace: Namespace, part: str) -> None:
    namespace.run("ticking", spec("bash", "-c", TICKS, node="commodity-0"))
    namespace.until("ticking", "Running")
    rig.kill(part)
    with rig.api(timeout_s=2.0) as impatient, pytest.raises((httpx.HTTPError, Refused)):
        impatient.create(namespace.path("configmaps"), {"metadata": {"name": "unkept"}})
    time.sleep(5.0)
    killed = time.monotonic()
    rig.start(part)
    print(f"the API answers {time.monotonic() - killed:.0f} s after {part} came back")
    wait_until("the nodes are ready", lambda: rig.status().up, NOTICED_S)
    assert (namespace.phase("ticking"), _restarts(namespace, "ticking")) == ("Running", 0)
    assert int(namespace.log("ticking").split()[-1]) >= 10
    namespace.run("after", spec("true", node="commodity-0"))
    namespace.until("after", "Succeeded")


def test_a_dead_kubelet_is_noticed_and_comes_back_with_its_pods_and_gpus(rig: Rig, namespace: Namespace) -> None:
    namespace.run("staying", spec("sleep", "600", node="gpu-0", gpus=1))
    namespace.until("staying", "Running")
    rig.kill("kubelet-gpu-0")
    wait_until("the node is not ready", lambda: rig.status().nodes["gpu-0"] == "not ready", NOTICED_S)
    assert rig.status().nodes["commodity-0"] == "ready"
    rig.start("kubelet-gpu-0")
    assert rig.status().up
    assert (namespace.phase("staying"), _restarts(namespace, "staying")) == ("Running", 0)
    assert namespace.api.get("/api/v1/nodes/gpu-0")["status"]["allocatable"][GPU] == "4"


def test_a_dead_node_takes_its_pods_along_and_a_new_one_can_run_there_afterwards(
    rig: Rig, namespace: Namespace
) -> None:
    namespace.run("doomed", spec("sleep", "600", node="commodity-0"))
    namespace.until("doomed", "Running")
    rig.kill("commodity-0")
    wait_until("the node is not ready", lambda: rig.status().nodes["commodity-0"] == "not ready", NOTICED_S)
    rig.start("commodity-0")
    wait_until("the pod is known to be dead", lambda: namespace.phase("doomed") in ("Failed", "Succeeded"), NOTICED_S)
    namespace.run("after", spec("true", node="commodity-0"))
    namespace.until("after", "Succeeded")
