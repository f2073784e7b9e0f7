"""The install manifests give control exactly the rights that it uses, and start the programs that exist."""

from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from fabric.api.admin import HEALTH
from fabric.backends.kuberay.api import KINDS, RAY_CLUSTERS, RAY_JOBS
from fabric.backends.kuberay.cordons import Cordons
from fabric.config.site import Ports
from tests.architecture.tree import ROOT
from tests.foreign import ray_cluster, ray_job, workers
from tests.unit.backends.test_adopted_cluster import Theirs, life_of
from tests.unit.backends.test_kuberay_manifest import TRAINERS
from tests.unit.backends.test_kuberay_pods import GANG, NAMES, World, adopted, tended

BASE = ROOT / "clusters" / "base"


def documents() -> Iterator[dict[str, Any]]:
    """Every object that is installed."""
    listed = YAML(typ="safe").load(BASE / "kustomization.yaml")["resources"]
    assert sorted(listed) == sorted(file.name for file in BASE.glob("*.yaml") if file.name != "kustomization.yaml")
    for name in listed:
        yield from YAML(typ="safe").load_all(BASE / name)


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [item for item in documents() if item["kind"] in kinds]


@pytest.mark.slow
def test_control_may_do_exactly_what_the_backend_does() -> None:
    world = World()
    pods = world.running()
    pods.change(lambda layout: layout.model_copy(update={"leaving": (TRAINERS[1].name,)}))
    pods.drain(TRAINERS[1].name)
    tended(pods, lambda: pods.has_left(TRAINERS[1].name))
    assert adopted(world).end(5.0)
    world.api.pulls = False
    waiting = world.cluster()
    tended(waiting, lambda: len(world.api.released) == 2 * len(GANG))
    assert waiting.awaits(NAMES) == ""
    cordons = Cordons(world.api, world.surface.nodes)
    cordons.want({"g0": "is being drained"})
    assert cordons.settle()
    world.close()
    theirs = Theirs()
    for kind, item in ((RAY_CLUSTERS, ray_cluster("mine", workers())), (RAY_JOBS, ray_job("mine", workers()))):
        life_of(theirs, kind, item)
    theirs.close()
    allowed = {
        (verb, resource)
        for role in of_kind("Role", "ClusterRole")
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert allowed == world.api.asked | theirs.api.asked


def test_rights_name_the_groups_of_the_kinds_and_only_nodes_are_seen_outside_the_namespace() -> None:
    groups = {kind.plural: kind.version.partition("/")[0] if "/" in kind.version else "" for kind in KINDS}
    for role in of_kind("Role", "ClusterRole"):
        for rule in role["rules"]:
            assert [groups[resource] for resource in rule["resources"]] == rule["apiGroups"]
    (wide,) = of_kind("ClusterRole")
    assert [rule["resources"] for rule in wide["rules"]] == [["nodes"]]
    bound = {item["roleRef"]["name"] for item in of_kind("RoleBinding", "ClusterRoleBinding")}
    assert bound == {role["metadata"]["name"] for role in of_kind("Role", "ClusterRole")}


def test_one_control_and_its_gateway_are_started_where_they_answer() -> None:
    (deployment,) = of_kind("Deployment")
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]["type"]) == (1, "Recreate")
    pod = deployment["spec"]["template"]["spec"]
    control, gateway = pod["containers"]
    assert control["command"][:4] == ["python", "-m", "fabric.control", "serve"]
    assert gateway["command"][:3] == ["python", "-m", "fabric.gateway"]
    assert control["readinessProbe"]["httpGet"]["path"] == HEALTH
    ports = Ports()
    assert control["ports"][0]["containerPort"] == ports.control
    assert gateway["ports"][0]["containerPort"] == ports.gateway
    assert f"--port={ports.gateway}" in gateway["command"]
    assert pod["serviceAccountName"] == of_kind("ServiceAccount")[0]["metadata"]["name"]


@pytest.mark.parametrize("kind", ["Service", "NetworkPolicy"])
def test_selectors_find_pods_that_are_made(kind: str) -> None:
    made = {"app.kubernetes.io/name": "fabric-control", "app.kubernetes.io/managed-by": "fabric"}
    for item in of_kind(kind):
        spec = item["spec"]
        labels = spec["selector"] if kind == "Service" else spec["podSelector"]["matchLabels"]
        assert labels.items() <= made.items(), item["metadata"]["name"]
