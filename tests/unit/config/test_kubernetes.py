"""What a site says of its Kubernetes is complete and closed, or refused by place."""

from typing import Any

import pytest

from fabric.config.load import apply_sets, decode
from fabric.config.site import Site
from fabric.core.errors import BadConfig

GPU: dict[str, Any] = {
    "name": "gpu", "nodes": 1, "heads": True, "capacity": {"cpus": 4, "gpus": 2, "memory": "6 GiB"},
    "kubernetes": {"selector": {"fabric/tier": "gpu"}},
}  # fmt: skip
OWN: dict[str, Any] = {"namespace": "fabric", "images": {"amd64": "ray:2"}}
PROFILE: dict[str, Any] = {
    "version": "cxi-1", "devices": ["/dev/cxi0"], "privileged": True, "env": {"NCCL_NET": "AWS Libfabric"},
}  # fmt: skip


def read(*sets: str, backend: str = "kuberay", kubernetes: Any = OWN, **group: Any) -> Site:
    tier = {**GPU, "kubernetes": {**GPU["kubernetes"], **group}}
    document = {"name": "lab", "backend": backend, "kubernetes": kubernetes, "tiers": [tier]}
    return decode(Site, apply_sets(document, sets), "site.yaml")


def test_a_site_of_pods_names_its_namespace_images_and_nodes() -> None:
    site = read()
    assert site.kubernetes is not None
    assert (site.kubernetes.namespace, site.kubernetes.images) == ("fabric", {"amd64": "ray:2"})
    assert site.tiers[0].kubernetes is not None
    assert site.tiers[0].kubernetes.selector == {"fabric/tier": "gpu"}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("backend=local", "`kubernetes` is for `backend: kuberay`; the backend local ignores it"),
        ("kubernetes=null", "backend kuberay needs `kubernetes` with a namespace and images"),
        ("kubernetes.namespace=My_Space", "kubernetes.namespace: 'My_Space' is no namespace"),
        ("kubernetes.images={}", "kubernetes.images: Dictionary should have at least 1 item"),
        ("kubernetes.images={s390x: ray}", "kubernetes.images.s390x"),
        ("kubernetes.images={amd64: \"\"}", "kubernetes.images: an image needs a name"),
        ("kubernetes.built_for={ray:2: [arm64]}", "ray:2 is named for amd64, but built_for says it is not"),
        ("kubernetes.built_for={mine: []}", "built_for: an image is for at least one architecture"),
        ("kubernetes.built_for={mine: [s390x]}", "kubernetes.built_for.mine.0"),
        ("kubernetes.images={arm64: ray}", "tier gpu: kubernetes.images has none for amd64"),
        ("kubernetes.pull_policy=never", "kubernetes.pull_policy: Input should be 'Always', 'IfNotPresent' or 'Never'"),
        ("kubernetes.control_url=fabric:8270", "kubernetes.control_url: String should match pattern"),
        ("kubernetes.start_deadline_s=0", "kubernetes.start_deadline_s: Input should be greater than 0"),
        ("kubernetes.name_space=x", "kubernetes.name_space: unknown key. Did you mean 'namespace'?"),
    ],
)  # fmt: skip
def test_a_wrong_setting_of_kubernetes_is_refused_by_place(item: str, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read(item)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"selector": {}}, "tiers.0.kubernetes.selector: Dictionary should have at least 1 item"),
        ({"selector": {"a": "b c"}}, "tiers.0.kubernetes.selector.a: String should match pattern"),
        ({"mounts": [{"host": "data"}]}, "tiers.0.kubernetes.mounts.0.host: String should match pattern"),
        ({"tolerations": [{"key": "a", "effect": "Never"}]}, "tiers.0.kubernetes.tolerations.0.effect"),
        ({"image": ""}, "tiers.0.kubernetes.image: String should have at least 1 character"),
        ({"gpus": 1}, "tiers.0.kubernetes.gpus: unknown key"),
        ({"vet": True}, "tiers.0.kubernetes.vet"),
        ({"vet": {"shm": "plenty"}}, "tiers.0.kubernetes.vet: 'plenty' is not a size"),
        ({"vet": {"memory_free": "0 B"}}, "tiers.0.kubernetes.vet: an amount of 0 asks for nothing; leave it out"),
        ({"vet": {"clock_skew_s": 0}}, "tiers.0.kubernetes.vet.clock_skew_s: Input should be greater than 0"),
        (
            {"vet": {"deadline_s": 1e6}},
            "tiers.0.kubernetes.vet.deadline_s: Input should be less than or equal to 86400",
        ),
        ({"vet": {"again_s": 1}}, "tiers.0.kubernetes.vet.again_s: Input should be greater than or equal to 10"),
        ({"vet": {"network": True}}, "tiers.0.kubernetes: vet.network needs a profile whose `env` sets NCCL_NET"),
        ({"vet": {"gpus": 4}}, "tiers.0.kubernetes.vet.gpus: unknown key"),
    ],
)
def test_a_wrong_setting_of_a_node_group_is_refused_by_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read(**change)
    assert message in str(caught.value)


def test_a_tier_without_labels_of_its_nodes_is_refused() -> None:
    tier = {name: value for name, value in GPU.items() if name != "kubernetes"}
    with pytest.raises(BadConfig, match="tier gpu: backend kuberay needs `kubernetes` with the labels of its nodes"):
        decode(Site, {"name": "lab", "backend": "kuberay", "kubernetes": OWN, "tiers": [tier]}, "site.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env": {}}, "a profile with devices must set NCCL_NET in `env`"),
        ({"privileged": False}, "devices can be seen but not opened"),
        ({"host_network": True, "dns_policy": "ClusterFirst"}, "or workers never find their head"),
        ({"devices": ["cxi0"]}, "profile.devices.0: String should match pattern"),
        ({"version": ""}, "profile.version: String should have at least 1 character"),
        ({"resources": {"hpe.com/cxi": 0}}, "each of `resources` needs at least 1"),
        ({"env": {"NCCL NET": "x", "NCCL_NET": "y"}}, "profile.env.NCCL NET"),
    ],
)
def test_a_fabric_profile_that_could_fall_back_to_tcp_or_find_no_head_is_refused(
    change: dict[str, Any], message: str
) -> None:
    assert read(profile=PROFILE).tiers[0].kubernetes is not None
    with pytest.raises(BadConfig) as caught:
        read(profile={**PROFILE, **change})
    assert message in str(caught.value)
