"""What people write themselves becomes the workload that they meant, or is refused with what to write instead."""

from typing import Any

import pytest

from fabric.backends.kuberay import names
from fabric.backends.kuberay.adoption import spec_of
from fabric.backends.kuberay.api import Object
from fabric.backends.kuberay.foreign import foreign_objects
from fabric.backends.kuberay.identity import known_as_patch, name_before, name_of
from fabric.config.kubernetes import NodeGroup
from fabric.config.site import Capacity, Defaults, Tier
from fabric.core.errors import BadInput
from fabric.workloads.spec import AdoptedSpec, Group, Priority, WorkloadSpec
from tests.foreign import cluster_spec, foreign, ray_cluster, ray_job, template, workers
from tests.unit.backends.test_kuberay_manifest import pods_site

SITE = pods_site(defaults=Defaults(walltime_s=600.0, max_failures=2))
ARM = Tier(
    name="arm", nodes=1, architecture="arm64", capacity=Capacity(cpus=8.0, gpus=1.0, memory="16 GiB"),
    kubernetes=NodeGroup(selector={"fabric/tier": "arm"}, image="fabric:arm"),
)  # fmt: skip
TWO_GPU_TIERS = SITE.model_copy(update={"tiers": (*SITE.tiers, ARM)})


def spec(item: Object, site: Any = SITE) -> WorkloadSpec:
    return spec_of(foreign(item), site)


def test_a_ray_cluster_is_a_gang_of_its_head_and_its_workers() -> None:
    found = spec(ray_cluster("mine", workers(2, "small", template("2", "3Gi", 1)), project="chem"))
    assert found == WorkloadSpec(
        name=found.name,
        project="chem",
        entrypoint="stays until RayCluster mine is deleted",
        groups=(
            Group(name="head", tier="commodity", cpus=1.0, memory=f"{2**30} B"),
            Group(name="small", count=2, tier="gpu", cpus=2.0, gpus=1.0, memory=f"{3 * 2**30} B"),
        ),
        max_failures=2,
        adopted=AdoptedSpec(kind="RayCluster", name="mine", uid="uid-mine"),
    )
    assert (found.name or "").startswith("mine-")


def test_a_ray_job_has_its_entrypoint_and_the_sites_walltime() -> None:
    found = spec(ray_job("train", workers()))
    assert (found.entrypoint, found.walltime_s, found.adopted) == (
        "python x.py", 600.0, AdoptedSpec(kind="RayJob", name="train", uid="uid-train"),
    )  # fmt: skip


def test_labels_and_annotations_say_what_kuberay_has_no_field_for() -> None:
    said = {names.WALLTIME: "90", names.MAX_FAILURES: "0"}
    found = spec(ray_job(labels={names.PRIORITY: "interactive"}, annotations=said))
    assert (found.priority, found.walltime_s, found.max_failures) == (Priority.INTERACTIVE, 90.0, 0)


@pytest.mark.parametrize(
    ("sentence", "pods", "tier"),
    [
        ("GPUs need the tier that has them", template(gpus=1), "gpu"),
        ("work without them may go anywhere", template(), None),
        ("labels of a tier choose it", template(nodeSelector={"fabric/tier": "commodity"}), "commodity"),
        (
            "so do they beside what all nodes have",
            template(nodeSelector={"fabric/tier": "gpu", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}),
            "gpu",
        ),
    ],
)
def test_the_tier_of_workers(sentence: str, pods: Object, tier: str | None) -> None:
    assert spec(ray_cluster("c", workers(pods=pods))).groups[1].tier == tier, sentence


def test_where_several_tiers_have_gpus_workers_may_go_to_any_unless_their_labels_say_more() -> None:
    anywhere = spec(ray_cluster("c", workers()), TWO_GPU_TIERS)
    on_arm = template("6", gpus=1, nodeSelector={"kubernetes.io/arch": "arm64"})
    assert anywhere.groups[1].tier is None
    assert spec(ray_cluster("c", workers(pods=on_arm)), TWO_GPU_TIERS).groups[1].tier == "arm"


def test_a_head_with_gpus_goes_where_they_are() -> None:
    assert spec(ray_cluster("c", head=template(gpus=1))).groups[0].tier == "gpu"


def test_all_containers_count_and_limits_where_no_request_is_given() -> None:
    pods = template()
    pods["spec"]["containers"].append({"name": "log", "resources": {"limits": {"cpu": "500m", "memory": "512Mi"}}})
    pods["spec"]["initContainers"] = [{"name": "first", "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}}]
    group = spec(ray_cluster("c", workers(pods=pods))).groups[1]
    assert (group.cpus, group.memory) == (3.0, f"{2**30 + 2**29} B")


def test_a_group_has_the_pods_that_kuberay_will_make_within_its_bounds() -> None:
    groups = (
        workers(0, "none"),
        workers(0, "least", minReplicas=2, maxReplicas=9),
        workers(5, "most", maxReplicas=3),
        {key: value for key, value in workers(name="unsaid", minReplicas=1).items() if key != "replicas"},
    )
    found = {group.name: group.count for group in spec(ray_cluster("c", *groups)).groups[1:]}
    assert found == {"least": 2, "most": 3, "unsaid": 1}


def test_rays_autoscaler_is_granted_all_that_it_may_ask_for_and_its_own_container() -> None:
    def asked(replicas: int, **more: Any) -> WorkloadSpec:
        return spec(ray_cluster("c", workers(replicas, maxReplicas=4), enableInTreeAutoscaling=True, **more))

    found = asked(1)
    assert (found.groups[0].cpus, found.groups[0].memory) == (1.5, f"{2**30 + 2**29} B")
    assert (found.groups[1].count, found.adopted and found.adopted.autoscaled) == (4, True)
    assert asked(3) == found, "what it asks for now changes nothing"
    small = {"resources": {"requests": {"cpu": "100m", "memory": "1Gi"}}}
    assert asked(1, autoscalerOptions=small).groups[0].cpus == 1.1


def test_the_same_object_asks_for_the_same_workload_whatever_the_fabric_wrote_on_it() -> None:
    before, after = ray_cluster("c", workers()), ray_cluster("c", workers())
    after["spec"]["suspend"] = False
    after["metadata"]["annotations"] = {names.LAYOUT: "{}", names.MESSAGE: "waits"}
    gates = {"schedulingGates": [{"name": names.GATE}], "tolerations": [{"key": "gpu"}]}
    after["spec"]["headGroupSpec"]["template"]["spec"] |= gates
    assert spec(before) == spec(after)


def test_neither_other_defaults_nor_another_tier_of_the_site_make_an_object_another_workload() -> None:
    other = TWO_GPU_TIERS.model_copy(update={"defaults": Defaults(walltime_s=60.0, max_failures=7)})
    found = [spec(ray_job("train", workers()), site) for site in (SITE, other)]
    assert found[0].name == found[1].name
    assert [(each.walltime_s, each.max_failures, each.groups[1].tier) for each in found] == [
        (600.0, 2, "gpu"), (60.0, 7, None),
    ]  # fmt: skip


def test_a_field_that_an_earlier_version_did_not_know_makes_an_object_no_other_workload() -> None:
    known = spec(ray_job("train", workers()))
    newer = known.model_copy(update={"metadata": {"of": "a later version"}, "checkpoints": True})
    assert name_of(foreign(ray_job("train", workers())), newer) == known.name


@pytest.mark.parametrize(
    ("item", "name"),
    [
        (ray_job("train", workers(2)), "train-18097211"),
        (
            ray_cluster(
                "mine", workers(3, "small", template("2", "3Gi", 1)), project="chem",
                annotations={names.AGAIN: "2", names.MAX_FAILURES: "0"},
            ),
            "mine-92670743",
        ),
        (
            ray_cluster(
                "c", workers(1, maxReplicas=4), enableInTreeAutoscaling=True, labels={names.PRIORITY: "harvest"}
            ),
            "c-a8c6bd16",
        ),
    ],
)  # fmt: skip
def test_names_that_the_version_before_gave_are_still_known(item: Object, name: str) -> None:
    """The names were made by that version, and not by what knows them now."""
    before = spec(item)
    assert name_before(foreign(item), before) == name != before.name
    patch = known_as_patch(foreign(item), before, name)
    item["metadata"].setdefault("annotations", {}).update(patch["metadata"]["annotations"])
    assert spec(item).name == name
    item["metadata"]["annotations"][names.AGAIN] = "once more"
    assert spec(item).name not in {name, before.name}


@pytest.mark.parametrize(
    "other",
    [
        ray_cluster("c", workers(2), uid="uid-c"),
        ray_cluster("c", workers(), uid="another"),
        ray_cluster("c", workers(), uid="uid-c", project="other"),
        ray_cluster("c", workers(), uid="uid-c", annotations={names.AGAIN: "2"}),
        ray_cluster("c", workers(), uid="uid-c", annotations={names.WALLTIME: "60"}),
        ray_cluster("c", workers(), uid="uid-c", annotations={names.MAX_FAILURES: "2"}),
        ray_cluster("c", workers(), uid="uid-c", labels={names.PRIORITY: "harvest"}),
        ray_cluster("c", workers(pods=template(gpus=1, nodeSelector={"fabric/tier": "gpu"})), uid="uid-c"),
    ],
)
def test_one_that_asks_for_something_else_is_another_workload(other: Object) -> None:
    assert spec(other).name != spec(ray_cluster("c", workers())).name


def test_what_belongs_to_somebody_elses_object_is_not_an_object_of_its_own() -> None:
    owned = ray_cluster("job-raycluster-x")
    owned["metadata"]["ownerReferences"] = [{"uid": "uid-job", "kind": "RayJob"}]
    old, new = ray_job("old", creationTimestamp="2026-01-01"), ray_cluster("new", creationTimestamp="2026-01-02")
    other = ray_job("other", labels={names.SITE: "another"})
    assert [one.name for one in foreign_objects([owned, new], [old, other], "pods")] == ["old", "new"]


def _on(**more: Any) -> Object:
    return ray_cluster("c", workers(pods=template(**more)))


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (ray_job(shutdownAfterJobFinishes=False), "RayJob mine: set shutdownAfterJobFinishes: true"),
        (ray_job(rayClusterSpec=None, clusterSelector={"a": "b"}), "give it a rayClusterSpec"),
        (ray_job(backoffLimit=2), "leave out backoffLimit; .*fabric/max-failures"),
        (ray_job(submissionMode="InteractiveMode"), "another submissionMode"),
        (ray_job(entrypoint=" "), "give it an entrypoint"),
        (ray_job(deletionStrategy={"deletionRules": [{}]}), "leave out deletionStrategy.deletionRules"),
        (
            ray_job(status={"jobDeploymentStatus": "ValidationFailed", "message": "no such mode"}),
            "KubeRay refused it: no such mode. Delete it",
        ),
        (ray_job("a" * 48), "at most 47"),
        (ray_cluster("a" * 54), "at most 53"),
        (ray_cluster("1st"), "begin with a letter"),
        (ray_cluster("c", workers(maxReplicas=2**31 - 1), enableInTreeAutoscaling=True), "small: set maxReplicas; as"),
        (
            ray_job(rayClusterSpec=cluster_spec(workers(maxReplicas=None), enableInTreeAutoscaling=True)),
            "worker group small: set maxReplicas; as many pods",
        ),
        (ray_cluster(managedBy="kueue.x-k8s.io/multikueue"), "leave out managedBy"),
        (ray_cluster(labels={names.PRIORITY: "serving"}), "must be one of interactive, batch, harvest, got 'serving'"),
        (ray_cluster(annotations={names.WALLTIME: "2h"}), "fabric/walltime must be a number of seconds, got '2h'"),
        (ray_cluster(annotations={names.WALLTIME: "-1"}), "greater than 0"),
        (ray_cluster(annotations={names.MAX_FAILURES: "many"}), "fabric/max-failures must be a number, got 'many'"),
        (ray_cluster("c", workers(name="head")), "worker group head: call it otherwise"),
        (ray_cluster("c", workers(name="a b")), "worker group a b: .*not a group name"),
        (ray_cluster("c", workers(), workers()), "groups need different names"),
        (ray_cluster("c", workers(numOfHosts=2)), "worker group small: leave out suspend, and numOfHosts"),
        (ray_cluster("c", workers(suspend=True)), "leave out suspend"),
        (
            ray_cluster("c", workers(3, minReplicas=4, maxReplicas=3)),
            "minReplicas must be from 0 to maxReplicas, got 4",
        ),
        (ray_cluster("c", workers(pods={"spec": {}})), "worker group small has no containers"),
        (_on(nodeSelector={"zone": "a"}), r"no tier has all labels of its nodeSelector \(zone=a\); they have gpu: "),
        (_on(gpus=1, nodeSelector={"fabric/tier": "commodity"}), "asks for nvidia.com/gpu, which no tier has that"),
        (_on(nodeName="g0"), "leave out nodeName; the fabric chooses the nodes"),
        (_on(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"a": 1}}}), "nodeAffinity"),
        (_on(topologySpreadConstraints=[{"whenUnsatisfiable": "DoNotSchedule"}]), "topologySpreadConstraints"),
        (_on(cpus="two"), "container ray: 'two' is no quantity"),
        (_on(cpus="0"), "how many CPUs and how much memory"),
        (_on(memory="0"), "how many CPUs and how much memory"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_what_to_write_instead(item: Object, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        spec(item)


def test_a_device_that_nobody_counts_is_refused_by_name() -> None:
    pods = template()
    pods["spec"]["containers"][0]["resources"]["requests"]["rdma/hca"] = "1"
    with pytest.raises(
        BadInput, match="asks for rdma/hca, which the fabric does not count; it knows cpu, memory, nvid"
    ):
        spec(ray_cluster("c", workers(pods=pods)))
