"""The install manifests give control exactly the rights that it uses, and start the programs that exist."""

import json
from typing import Any

import pytest
from ruamel.yaml import YAML

from fabric.api.admin import HEALTH
from fabric.backends.kuberay import names
from fabric.backends.kuberay.api import JOBS, KINDS, NODES, RAY_CLUSTERS, RAY_JOBS
from fabric.backends.kuberay.cordons import Cordons
from fabric.backends.kuberay.mirror import Mirror
from fabric.config.site import Ports
from tests.foreign import ray_cluster, ray_job, workers
from tests.kustomized import BASE, FOLDERS, built
from tests.preflights import shows
from tests.unit.backends.test_adopted_cluster import Theirs, life_of
from tests.unit.backends.test_kuberay_manifest import TRAINERS
from tests.unit.backends.test_kuberay_pods import GANG, NAMES, World, adopted, tended
from tests.unit.backends.test_vetter import World as VettingWorld


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [item for item in built(BASE) if item["kind"] in kinds]


def test_every_file_is_installed_in_the_namespace_that_is_wanted_with_its_image() -> None:
    listed = YAML(typ="safe").load(BASE / "kustomization.yaml")["resources"]
    assert sorted(listed) == sorted(file.name for file in BASE.glob("*.yaml") if file.name != "kustomization.yaml")
    made = built(BASE, "elsewhere")
    assert {item["metadata"].get("namespace") for item in made if not item["kind"].startswith("Cluster")} == {
        "elsewhere",
        None,
    }
    (deployment,) = [item for item in made if item["kind"] == "Deployment"]
    images = {container["image"] for container in deployment["spec"]["template"]["spec"]["containers"]}
    assert images == {"images.example.org/fabric/control:0.1.0"}


def test_the_dashboard_is_installed_where_grafana_looks_for_it() -> None:
    (dashboard,) = [item for folder in FOLDERS for item in built(folder, "elsewhere") if item["kind"] == "ConfigMap"]
    assert dashboard["metadata"] == {
        "name": "fabric-dashboard",
        "namespace": "elsewhere",
        "labels": {"grafana_dashboard": "1"},
    }
    assert json.loads(dashboard["data"]["dashboard.json"])["panels"]


def preflights() -> set[tuple[str, str]]:
    """What is asked for while nodes are vetted and drained."""
    vetting = VettingWorld()
    vetting.api.answers = {"g0": shows(), "c0": shows(cpus=1)}
    vetting.settle()
    vetting.api.change(NODES, "g0", spec={"unschedulable": True})
    vetting.settle()
    mirror = Mirror(vetting.api, JOBS, names.PREFLIGHT, lambda: None)
    mirror.start()
    assert mirror.first_look(5.0)
    mirror.end()
    while ("watch", "jobs") not in vetting.api.asked:
        assert mirror.is_alive()
    vetting.api.close()
    mirror.join(5.0)
    return vetting.api.asked


@pytest.mark.slow
def test_control_may_do_exactly_what_the_backend_does() -> None:
    world = World()
    pods = world.running()
    pods.change(lambda layout: layout.model_copy(update={"leaving": (TRAINERS[1].name,)}))
    pods.drain(TRAINERS[1].name)
    tended(pods, lambda: pods.has_left(TRAINERS[1].name))
    again = adopted(world)
    tended(again, lambda: again.head()[1] != "")
    assert again.end(5.0)
    world.api.pulls = False
    waiting = world.cluster()
    tended(waiting, lambda: len(world.api.released) == 2 * len(GANG))
    assert waiting.awaits(NAMES) == ""
    cordons = Cordons(world.api, world.surface.nodes)
    cordons.want({"g0": "is being drained"})
    assert cordons.settle()
    world.close()
    asked = preflights()
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
    assert allowed == world.api.asked | theirs.api.asked | asked


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
