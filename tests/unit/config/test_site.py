"""A site file is read whole, or refused by place."""

import pytest

from fabric.config.load import apply_sets, decode
from fabric.config.site import Site
from fabric.core.errors import BadConfig
from fabric.core.resources import Resources

CAPACITY = {"cpus": 4, "memory": "6 GiB"}
COMMODITY = {"name": "commodity", "nodes": 2, "heads": True, "capacity": CAPACITY}


def read(*sets: str, **tier: object) -> Site:
    return decode(Site, apply_sets({"name": "lab", "tiers": [{**COMMODITY, **tier}]}, sets), "site.yaml")


def test_a_small_site_has_named_nodes_with_capacity() -> None:
    (tier,) = read().tiers
    assert tier.node_names == ("commodity-0", "commodity-1")
    assert tier.capacity.resources == Resources.of(4, 0, "6 GiB")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("name=../up", "name: '../up' is not a site name"),
        ("backend=slurm", "backend: Input should be 'local' or 'kuberay' (got 'slurm')"),
        ("tiers=[]", "tiers: Tuple should have at least 1 item"),
        ("ports.console=8271", "ports: gateway and console cannot share port 8271"),
        ("ports.control=8265", "ports: 8265 is Ray's own dashboard port"),
        ("ports={control: 9, gateway: 9}", "ports: control and gateway cannot share port 9"),
        ("ports.control=70000", "ports.control: Input should be less than or equal to 65535"),
        ("head.memory=2 Gb", "head: '2 Gb' is not a size"),
        ("head.cpus=0.0001", "head: 0.0001 CPUs is not a non-negative multiple of 0.001"),
        ("head.memory=7 GiB", "a Ray head (1 CPUs + 7 GiB) fits on no node that may hold one (4 CPUs + 6 GiB)"),
        ("defaults.memory=lots", "defaults: 'lots' is not a size"),
        ("max_package_bytes=1 GiB", "max_package_bytes: Input should be a valid integer (got '1 GiB')"),
        (
            "max_package_bytes=104857600",
            "max_package_bytes: a Ray head takes no request above 100 MiB, so packages end",
        ),
        ("grace_s=-1", "grace_s: Input should be greater than or equal to 0"),
        ("grace=1", "grace: unknown key. Did you mean 'grace_s'?"),
        ("{anonymous: true}", "--set {anonymous: true}: write it as path=value"),
    ],
)
def test_a_wrong_site_setting_is_refused_by_place(item: str, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read(item)
    assert message in str(caught.value)


def test_anonymous_access_is_for_loopback_alone() -> None:
    with pytest.raises(BadConfig, match="anonymous access needs a loopback host, not 0.0.0.0"):
        read("anonymous=true", "host=0.0.0.0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": False}, "site.yaml: top level: no tier may hold Ray heads"),
        ({"name": "c c"}, "site.yaml: tiers.0.name: 'c c' is not a tier name"),
        ({"speed": 0.0}, "site.yaml: tiers.0.speed: Input should be greater than 0 (got 0.0)"),
        ({"nodes": 0}, "site.yaml: tiers.0.nodes: Input should be greater than or equal to 1 (got 0)"),
        ({"capacity": {**CAPACITY, "memory": "6 Gib"}}, "site.yaml: tiers.0.capacity: '6 Gib' is not a size"),
        ({"capacity": {**CAPACITY, "memory": 6}}, "site.yaml: tiers.0.capacity.memory: Input should be a valid string"),
        ({"capacity": {**CAPACITY, "memory": "0"}}, "site.yaml: tiers.0.capacity: a node needs some memory"),
        (
            {"capacity": {**CAPACITY, "gpus": 1.5}},
            "site.yaml: tiers.0.capacity: a node has whole accelerators, not 1.5",
        ),
        ({"capacity": {**CAPACITY, "cpu": 1}}, "site.yaml: tiers.0.capacity.cpu: unknown key. Did you mean 'cpus'?"),
        ({"architecture": "arm"}, "site.yaml: tiers.0.architecture: Input should be 'amd64' or 'arm64' (got 'arm')"),
    ],
)
def test_a_wrong_tier_is_refused_once_and_by_its_place(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read(**change)
    assert str(caught.value).startswith(message)
    assert "tiers: Tuple" not in str(caught.value), "only the innermost mistake is told"


def test_two_tiers_need_two_names() -> None:
    with pytest.raises(BadConfig, match="tiers need different names"):
        decode(Site, {"name": "lab", "tiers": [COMMODITY, COMMODITY]}, "site.yaml")
