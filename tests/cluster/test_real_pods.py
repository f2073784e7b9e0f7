"""Pods of the rig are processes of this machine's own environment, each on the node it was meant for."""

from scripts.rigging.layout import GPU, NODES, TIER_LABEL, layout
from tests.cluster.pods import Namespace, python, spec

HELLO = "import socket, fabric.core.resources as r; print(socket.gethostname(), r.Resources.of(cpus=2))"


def test_a_pod_runs_on_each_node(namespace: Namespace) -> None:
    for node in NODES:
        namespace.run(node.name, spec(*python(HELLO), node=node.name, gpus=min(node.num_gpus, 1)))
    for node in NODES:
        done = namespace.until(node.name, "Succeeded")
        assert done["spec"]["nodeName"] == node.name
        assert namespace.log(node.name) == f"{node.name} 2 CPUs\n"


def test_nodes_say_their_tier_and_their_gpus(namespace: Namespace) -> None:
    found = {n["metadata"]["name"]: n for n in namespace.api.items("/api/v1/nodes", TIER_LABEL)}
    seen = {
        name: (n["metadata"]["labels"][TIER_LABEL], n["status"]["allocatable"].get(GPU)) for name, n in found.items()
    }
    assert seen == {"gpu-0": ("gpu", "4"), "commodity-0": ("commodity", None)}


def test_work_that_does_not_ask_for_gpus_stays_off_their_nodes(namespace: Namespace) -> None:
    namespace.run("strays", spec("sleep", "60", node="gpu-0"))
    namespace.run("greedy", spec("sleep", "60", gpus=5))
    assert "untolerated taint" in namespace.why_waiting("strays")
    assert f"Insufficient {GPU}" in namespace.why_waiting("greedy")


def test_pods_find_each_other_by_name_and_share_files(namespace: Namespace) -> None:
    shared = layout().shared / namespace.name
    serve = f"mkdir {shared}; cd {shared}; echo from afar > said; exec python -m http.server 8000"
    namespace.run("server", spec("bash", "-c", serve, node="commodity-0"), {"app": "server"})
    headless = {"clusterIP": "None", "selector": {"app": "server"}, "publishNotReadyAddresses": True}
    namespace.api.create(namespace.path("services"), {"metadata": {"name": "named"}, "spec": headless})
    namespace.until("server", "Running")
    url = f"http://named.{namespace.name}.svc.cluster.local:8000/said"
    ask = f"until wget -q -O- {url}; do sleep 0.5; done; cat {shared}/said"
    namespace.run("client", spec("bash", "-c", ask, node="gpu-0", gpus=1))
    namespace.until("client", "Succeeded")
    assert namespace.log("client") == "from afar\nfrom afar\n"
    assert (shared / "said").read_text() == "from afar\n"
