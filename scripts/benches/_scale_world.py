"""A thousand nodes that do not exist, the gangs that want them, and the site file that names them.

Knows nothing of who places gangs. A fifth of the nodes has four GPUs each and a gang takes two of them whole, so a
tenth as many gangs fit as there are nodes, and three times as many are asked for.
"""

import copy
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from scripts.benches._scale_gangs import amount
from scripts.rigging.api import Api, Object, wait_until
from scripts.rigging.images import RAY_IMAGE
from scripts.rigging.layout import GPU, ROOT

SITE = ROOT / "configs" / "sites" / "rig.yaml"
TIER = "fabric-bench/tier"
"""Label of a node that does not exist, and the key of its taint: real work stays off it, and gangs off real nodes."""
HANDS = 8
"""Requests that people make at once."""
PATIENCE_S = 600.0
NODE: Mapping[str, Mapping[str, str]] = {
    "gpu": {"cpu": "64", "memory": "256Gi", GPU: "4", "pods": "110"},
    "commodity": {"cpu": "16", "memory": "64Gi", "pods": "110"},
}
"""What a node of each tier has."""
HEAD = {"cpu": "1", "memory": "2Gi"}
WORKER = {"cpu": "16", "memory": "64Gi", GPU: "4"}
NUM_WORKERS = 2
"""Workers of a gang, each on a whole GPU node; its head is on a commodity node."""
CLUSTERS = "/apis/ray.io/v1/namespaces/{}/rayclusters"


@dataclass(frozen=True, slots=True)
class World:
    """How large it is."""

    num_nodes: int = 1000

    @property
    def nodes(self) -> dict[str, str]:
        """Tier of every node, by its name."""
        num_gpu = self.num_nodes // 5
        counts = {"gpu": num_gpu, "commodity": self.num_nodes - num_gpu}
        return {f"fake-{tier}-{i:05}": tier for tier, count in counts.items() for i in range(count)}

    @property
    def fit(self) -> int:
        """Gangs that fit."""
        return self.num_nodes // 5 // NUM_WORKERS

    @property
    def gangs(self) -> list[str]:
        """Names of all gangs that are asked for."""
        return [f"gang-{i:05}" for i in range(3 * self.fit)]

    def capacity(self) -> dict[str, dict[str, float]]:
        """What every node has, as numbers."""
        by_tier = {tier: {kind: amount(text) for kind, text in has.items()} for tier, has in NODE.items()}
        return {name: by_tier[tier] for name, tier in self.nodes.items()}


def fake_node(name: str, tier: str) -> Object:
    """A node of a tier."""
    labels = {TIER: tier, "kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}
    has = dict(NODE[tier])
    return {
        "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": labels},
        "spec": {"taints": [{"key": TIER, "value": tier, "effect": "NoSchedule"}]},
        "status": {"capacity": has, "allocatable": has},
    }


def make_nodes(api: Api, world: World) -> None:
    """Create every node, and wait until all are ready.

    Raises:
        RigError: If they are not.
    """
    at_once(lambda item: api.create("/api/v1/nodes", fake_node(*item)), world.nodes.items())
    everything = f"all {world.num_nodes} nodes are ready"
    wait_until(everything, lambda: sum(map(_is_ready, api.items("/api/v1/nodes", TIER))) == world.num_nodes, PATIENCE_S)


def remove_nodes(api: Api) -> None:
    """Delete every node that does not exist."""
    at_once(lambda node: api.delete(f"/api/v1/nodes/{node['metadata']['name']}"), api.items("/api/v1/nodes", TIER))


def at_once(work: Any, items: Iterable[Any]) -> None:
    """Do something for each item, several at a time; the first mistake is raised."""
    with ThreadPoolExecutor(HANDS) as pool:
        for _ in pool.map(work, items):
            pass


def site_file(world: World, folder: Path) -> Path:
    """The rig's site with tiers of nodes that do not exist."""
    yaml = YAML()
    site = yaml.load(SITE)
    site["name"] = "scale"
    site["kubernetes"]["control_url"] = None
    # What the gangs of the other ways give their heads.
    site["head"] = {"cpus": int(HEAD["cpu"]), "memory": HEAD["memory"].replace("Gi", " GiB")}
    # Nobody joins a head that does not exist: the pods are all there is to see.
    site["kubernetes"]["start_deadline_s"] = 86_400
    for tier in site["tiers"]:
        name, has = tier["name"], NODE[tier["name"]]
        gpus = {"gpus": int(has[GPU])} if GPU in has else {}
        tier["capacity"] = {"cpus": int(has["cpu"]), "memory": has["memory"].replace("Gi", " GiB"), **gpus}
        tier["nodes"] = sum(of == name for of in world.nodes.values())
        tier["kubernetes"] = {"selector": {TIER: name}, "tolerations": [{"key": TIER, "effect": "NoSchedule"}]}
    file = folder / "scale.yaml"
    yaml.dump(site, file)
    return file


def gang_spec(name: str) -> Object:
    """A gang as the fabric is asked for it; the site adds the head."""
    memory = WORKER["memory"].replace("Gi", " GiB")
    group = {"name": "trainers", "count": NUM_WORKERS, "tier": "gpu", "memory": memory}
    group |= {"cpus": float(WORKER["cpu"]), "gpus": float(WORKER[GPU])}
    return {"name": name, "entrypoint": "sleep infinity", "groups": [group]}


def gang_object(name: str, labels: Mapping[str, str]) -> Object:
    """The same gang as a suspended RayCluster."""
    workers = {"groupName": "trainers", "replicas": NUM_WORKERS, "minReplicas": NUM_WORKERS, "maxReplicas": NUM_WORKERS}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "suspend": True,
            "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": _pod("commodity", HEAD)},
            "workerGroupSpecs": [{**workers, "rayStartParams": {}, "template": _pod("gpu", WORKER)}],
        },
    }


def _pod(tier: str, asks: Mapping[str, str]) -> Object:
    amounts = {"requests": dict(asks), "limits": dict(asks)}
    container = {"name": "ray", "image": RAY_IMAGE, "imagePullPolicy": "Never", "resources": copy.deepcopy(amounts)}
    tolerations = [{"key": TIER, "operator": "Exists", "effect": "NoSchedule"}]
    return {"spec": {"containers": [container], "nodeSelector": {TIER: tier}, "tolerations": tolerations}}


def empty(api: Api, namespace: str) -> None:
    """Delete every RayCluster and pod of a namespace, and wait until nothing of them is left.

    Raises:
        RigError: If something stays.
    """
    api.delete(CLUSTERS.format(namespace))
    left = (CLUSTERS.format(namespace), *(f"/api/v1/namespaces/{namespace}/{kind}" for kind in ("pods", "services")))

    def is_empty() -> bool:
        api.delete(f"/api/v1/namespaces/{namespace}/pods", grace_s=0)
        return not any(api.items(path) for path in left)

    wait_until(f"namespace {namespace} is empty", is_empty, PATIENCE_S)


def until_gone(api: Api, namespace: str) -> None:
    """Wait until a deleted namespace is gone, so that its end costs the next run nothing.

    Raises:
        RigError: If it stays.
    """
    everything = "/api/v1/namespaces"

    def is_gone() -> bool:
        return namespace not in {item["metadata"]["name"] for item in api.items(everything)}

    wait_until(f"namespace {namespace} is gone", is_gone, PATIENCE_S)


def _is_ready(node: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node.get("status", {}).get("conditions", []))
