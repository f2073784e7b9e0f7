"""A grant becomes exactly the objects that KubeRay should get."""

import base64
import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ruamel.yaml import YAML

from fabric.backends.kuberay import names
from fabric.backends.kuberay.manifest import RAY_VERSION, cluster_secret, ray_cluster, release_patch, worker_groups
from fabric.backends.kuberay.pods import Home
from fabric.backends.local.ray_node import RAY_VERSION as INSTALLED
from fabric.config import env
from fabric.config.kubernetes import FabricProfile, Kubernetes, NodeGroup, Toleration
from fabric.config.load import load
from fabric.config.site import Capacity, Head, Site, Tier
from fabric.core.errors import BadInput
from fabric.core.resources import Resources
from fabric.scheduler.ports import WantedCluster
from fabric.workloads.record import Grant, Slice
from tests.architecture.tree import ROOT
from tests.builders import piece, tiny_site, wanted

HEAD = piece("c0", "head", Resources.of(1, 0, "2 GiB"), head=True)
LOADER = piece("c1", "loaders", Resources.of(2.5, 0, "2 GiB"))
TRAINERS = tuple(piece(f"g{n}", "trainers", Resources.of(4, 2, "4 GiB")) for n in (0, 1))
TOLD = {env.TOKEN: "secret-1", env.WORKLOAD: "w", "NOTE": "costs $(PATH)"}


def pods_site(**more: Any) -> Site:
    """A site of two tiers in Kubernetes."""
    gpu = NodeGroup(selector={"fabric/tier": "gpu"}, tolerations=(Toleration(key="gpu", effect="NoSchedule"),))
    commodity = NodeGroup(selector={"fabric/tier": "commodity"})
    tiers = (
        Tier(name="gpu", nodes=2, capacity=Capacity(cpus=4.0, gpus=2.0, memory="8 GiB"), kubernetes=gpu),
        Tier(name="commodity", nodes=2, heads=True, capacity=Capacity(cpus=4.0, memory="8 GiB"), kubernetes=commodity),
    )
    own = Kubernetes(images={"amd64": "fabric:1"})
    fields = {"name": "pods", "backend": "kuberay", "kubernetes": own, "tiers": tiers, "head": Head(memory="2 GiB")}
    return Site(**{**fields, **more})


def asked(*slices: Slice, name: str = "w-1", **more: Any) -> WantedCluster:
    """A cluster of these slices whose workload was told something."""
    return wanted(name, *(slices or (HEAD, LOADER, *TRAINERS)), env=TOLD, **more)


def rendered(cluster: WantedCluster, site: Site | None = None) -> dict[str, Any]:
    return ray_cluster(cluster, Home(site or pods_site()), layout="{}")


def templates(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    """Every pod template, the head's first."""
    spec = cluster["spec"]
    return [spec["headGroupSpec"]["template"], *(group["template"] for group in spec["workerGroupSpecs"])]


def variables(template: dict[str, Any]) -> dict[str, str]:
    return {v["name"]: v.get("value", "") for v in template["spec"]["containers"][0]["env"]}


def as_yaml(document: Any) -> str:
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(document, stream)
    return stream.getvalue()


def test_the_manifest_of_a_gang_over_two_tiers(golden: Callable[[str, str], None]) -> None:
    golden("kuberay/two-tiers.yaml", as_yaml(rendered(asked())))


def test_the_manifest_of_a_diskless_slingshot_site(golden: Callable[[str, str], None]) -> None:
    site = load(Site, ROOT / "configs" / "sites" / "alps-like.yaml")
    unit = Resources.of(288, 4, "416 GiB")
    gang = (
        Slice("head-0", "head", "vm-1", "commodity", 1, Resources.of(2, 0, "8 GiB"), head=True),
        *(Slice(f"trainers-{n}", "trainers", f"nid{n:06}", "gh200", 4, unit) for n in (1, 2)),
    )
    golden("kuberay/alps-like.yaml", as_yaml(rendered(asked(*gang, name="pretrain-1"), site)))


def test_every_pod_waits_at_the_gate_and_each_shape_of_slice_is_one_worker_group() -> None:
    cluster = rendered(asked())
    gates = [template["spec"]["schedulingGates"] for template in templates(cluster)]
    assert gates == [[{"name": names.GATE}]] * 3
    groups = {group["groupName"]: group["replicas"] for group in cluster["spec"]["workerGroupSpecs"]}
    assert groups == {names.pool_name(LOADER): 1, names.pool_name(TRAINERS[0]): 2}
    assert cluster["spec"]["enableInTreeAutoscaling"] is False


def test_limits_are_the_grant_and_a_head_of_its_own_offers_ray_nothing() -> None:
    spec = rendered(asked())["spec"]
    limits = [t["spec"]["containers"][0]["resources"]["limits"] for t in templates({"spec": spec})]
    gpu = {"cpu": "4000m", "memory": str(4 * 2**30), "nvidia.com/gpu": "2"}
    assert gpu in limits
    assert {"cpu": "2500m", "memory": str(2 * 2**30)} in limits
    assert {k: v for k, v in spec["headGroupSpec"]["rayStartParams"].items() if k.startswith("num")} == {
        "num-cpus": "0",
        "num-gpus": "0",
    }


def test_a_head_that_works_too_is_the_first_worker_slice() -> None:
    only = piece("c0", resources=Resources.of(2, 0, "2 GiB"), head=True)
    spec = rendered(asked(only))["spec"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "2"
    assert spec["workerGroupSpecs"] == []


def test_ray_is_told_whole_cpus_that_hold_a_fraction_and_a_fraction_of_an_accelerator_is_refused() -> None:
    groups = rendered(asked())["spec"]["workerGroupSpecs"]
    loaders = [g for g in groups if '"loaders"' in variables(g["template"])["RAY_OVERRIDE_LABELS"]]
    assert [group["rayStartParams"]["num-cpus"] for group in loaders] == ["3"]
    half = piece("g0", "trainers", Resources.of(1, 0.5, "1 GiB"))
    with pytest.raises(BadInput, match="slice trainers-g0 has 0.5 GPUs, but tier gpu gives pods whole"):
        rendered(asked(HEAD, half))


def test_secrets_are_in_the_secret_and_nothing_a_person_wrote_is_taken_for_a_reference() -> None:
    cluster = asked()
    told = variables(templates(rendered(cluster))[0])
    assert (told[env.TOKEN], told["NOTE"]) == ("", "costs $$(PATH)")
    assert "secret-1" not in json.dumps(rendered(cluster))
    owner = {"metadata": {"name": "w-1", "uid": "u-1"}}
    secret = cluster_secret(cluster, Home(pods_site()), "t-1", owner)
    kept = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    assert kept == {"auth_token": "t-1", env.TOKEN: "secret-1"}
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "u-1"


def test_what_a_person_keeps_as_a_secret_is_in_no_manifest() -> None:
    cluster = replace(asked(), env={**TOLD, "HF_TOKEN": "hf-1"}, hidden=frozenset({"HF_TOKEN"}))
    text = json.dumps(rendered(cluster))
    assert "hf-1" not in text
    assert '{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef"' in text
    kept = cluster_secret(cluster, Home(pods_site()), "t-1", {"metadata": {"name": "w-1", "uid": "u-1"}})["data"]
    assert base64.b64decode(kept["HF_TOKEN"]) == b"hf-1"


def test_work_has_its_grace_and_ten_seconds_more_before_it_is_killed() -> None:
    for template in templates(rendered(asked(), pods_site(grace_s=30.0))):
        assert template["spec"]["terminationGracePeriodSeconds"] == 40
        assert variables(template)["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] == "30"


def test_ray_labels_are_json_once_kubernetes_has_put_in_what_it_knows() -> None:
    text = variables(templates(rendered(asked()))[0])["RAY_OVERRIDE_LABELS"]
    for name, value in (("POD_NODE", "c0"), (env.SLICE, "head-c0"), ("POD_UID", "u")):
        text = text.replace(f"$({name})", value)
    assert json.loads(text) == {
        "fabric/tier": "commodity", "fabric/group": "head", "fabric/node": "c0", "fabric/slice": "head-c0",
        "fabric/start": "u",
    }  # fmt: skip


def test_a_profile_reaches_every_ray_process_of_its_tier_and_overrules_the_workload() -> None:
    profile = FabricProfile(
        version="cxi-1", devices=("/dev/cxi0",), privileged=True, env={"NCCL_NET": "AWS Libfabric"}, host_network=True
    )
    site = pods_site()
    gpu = site.tiers[0].model_copy(update={"kubernetes": NodeGroup(selector={"fabric/tier": "gpu"}, profile=profile)})
    told = replace(asked(), env={"NCCL_NET": "Socket"})
    found = templates(rendered(told, site.model_copy(update={"tiers": (gpu, site.tiers[1])})))
    (trainers,) = [t for t in found if t["metadata"]["labels"][names.TIER] == "gpu"]
    assert variables(trainers)["NCCL_NET"] == "AWS Libfabric"
    assert trainers["spec"]["hostNetwork"] is True
    assert trainers["spec"]["dnsPolicy"] == "ClusterFirstWithHostNet"
    assert {"name": "device-0", "hostPath": {"path": "/dev/cxi0", "type": "CharDevice"}} in trainers["spec"]["volumes"]
    assert all("hostNetwork" not in t["spec"] for t in found if t is not trainers)


@pytest.mark.parametrize(
    ("name", "object_name"),
    [
        ("train-1", "train-1"),
        ("Train.V2-1", "train-v2-1-"),
        ("7b-1", "w-7b-1-"),
        ("a" * 60 + "-1", "a" * 31 + "-"),
    ],
)
def test_names_are_those_of_the_workload_where_kuberay_takes_them(name: str, object_name: str) -> None:
    made = names.object_name(name)
    assert made.startswith(object_name)
    assert len(made) <= names.MOST_NAME
    assert names.object_name(made) == made
    assert (made == name) is (object_name == name)


def test_long_names_that_begin_alike_stay_apart() -> None:
    assert names.object_name("a" * 60 + "-1") != names.object_name("a" * 60 + "-2")
    assert names.label_value("b" * 90) != names.label_value("b" * 91)
    assert len(names.label_value("b" * 90)) <= 63


def test_groups_that_are_there_stay_and_only_named_pods_leave() -> None:
    cluster = asked()
    existing = rendered(cluster)["spec"]["workerGroupSpecs"]
    smaller = replace(cluster, grant=Grant((HEAD, TRAINERS[0])))
    trainers, loaders = names.pool_name(TRAINERS[0]), names.pool_name(LOADER)
    groups = worker_groups(
        smaller, Home(pods_site()), existing=existing, leaving={trainers: ["pod-b"], loaders: ["pod-a"]}
    )
    assert [group["groupName"] for group in groups] == [group["groupName"] for group in existing]
    told = {g["groupName"]: (g["replicas"], g["maxReplicas"], g["scaleStrategy"]["workersToDelete"]) for g in groups}
    assert told == {trainers: (1, 1, ["pod-b"]), loaders: (0, 0, ["pod-a"])}
    again = worker_groups(cluster, Home(pods_site()), existing=groups)
    assert again == existing


def test_a_pod_is_released_by_one_patch_that_names_its_node_and_slice() -> None:
    pod = {"metadata": {"uid": "u"}, "spec": {"schedulingGates": [{"name": "other"}, {"name": names.GATE}]}}
    patch = release_patch(pod, "trainers-0", "g0")
    assert [(step["op"], step["path"]) for step in patch] == [
        ("test", "/metadata/uid"),
        ("test", "/spec/schedulingGates/1/name"),
        ("add", "/metadata/annotations"),
        ("add", "/metadata/annotations/fabric~1slice"),
        ("add", "/spec/nodeSelector"),
        ("add", "/spec/nodeSelector/kubernetes.io~1hostname"),
        ("remove", "/spec/schedulingGates/1"),
    ]
    assert [step["value"] for step in patch if step["op"] == "add"] == [{}, "trainers-0", {}, "g0"]


def test_a_group_with_an_image_of_its_own_runs_it() -> None:
    cluster = asked(images={"trainers": "mine:2"})
    images = {t["spec"]["containers"][0]["image"] for t in templates(rendered(cluster))}
    assert images == {"mine:2", "fabric:1"}


def test_a_site_of_processes_renders_nothing() -> None:
    with pytest.raises(BadInput, match="site tiny is not for Kubernetes; its backend is local"):
        rendered(asked(), tiny_site())


def test_pods_and_processes_run_the_same_ray() -> None:
    assert RAY_VERSION == INSTALLED
