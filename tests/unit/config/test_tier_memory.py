"""What a tier says of its memory suits its nodes, or is refused by place."""

import pytest

from fabric.config.load import apply_sets, decode
from fabric.config.site import Site, Tier
from fabric.core.errors import BadConfig
from fabric.core.resources import Resources

COMMODITY = {"name": "commodity", "nodes": 1, "heads": True, "capacity": {"cpus": 4, "memory": "8 GiB"}}
ALPS = {
    "name": "alps",
    "nodes": 2,
    "capacity": {"cpus": 288, "gpus": 4, "memory": "487 GB"},
    "diskless": True,
    "superchip": {"cpus": 72, "memory": "112 GB"},
}


def read(*sets: str) -> Tier:
    document = {"name": "lab", "tiers": [COMMODITY], "alps": ALPS}
    changed = apply_sets(document, [f"alps.{item}" for item in sets])
    tiers = [COMMODITY, changed["alps"]]
    return decode(Site, {"name": "lab", "tiers": tiers}, "site.yaml").tiers[1]


def test_a_grace_hopper_tier_is_given_out_in_superchips() -> None:
    tier = read()
    assert tier.superchip is not None
    assert tier.superchip.resources == Resources.of(72, 1, "112 GB")


def test_a_diskless_tier_charges_the_default_caps_and_one_with_disks_charges_nothing_by_itself() -> None:
    assert read().charges is not None
    assert read("diskless=false").charges is None


def test_caps_may_be_charged_on_a_tier_with_disks_too() -> None:
    tier = read("diskless=false", "ram.shm=1 GiB")
    assert tier.charges is not None
    assert tier.charges.shm == "1 GiB"


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("ram.shm=64 MB/s", "tiers.1.ram: '64 MB/s' is not a size"),
        ("ram.object_store_most='-1'", "tiers.1.ram: '-1' is not a size"),
        ("ram.object_store_permille=1001", "tiers.1.ram.object_store_permille: Input should be less than or equal to"),
        ("ram.object_store_permille=0.3", "tiers.1.ram.object_store_permille: Input should be a valid integer"),
        ("ram.disk=nvme", "tiers.1.ram.disk: Input should be 'tmpfs' or 'block' (got 'nvme')"),
        (
            "ram.image=500 GB",
            "tiers.1: tier alps: the fixed part of the RAM bill (469.2 GiB) leaves nothing of a node's",
        ),
        ("superchip.memory=140 GB", "tier alps: 4 superchips (1 GPUs + 72 CPUs + 130.4 GiB each) need 67.99 GiB more"),
        ("superchip.gpus=3", "tiers.1: tier alps: 4 GPUs of a node are no whole number of superchips of 3 GPUs"),
        ("superchip.gpus=8", "tiers.1: tier alps: 4 GPUs of a node are no whole number of superchips of 8 GPUs"),
        ("superchip.gpus=0.5", "tiers.1.superchip: a superchip has whole accelerators, not 0.5"),
        ("superchip.memory=0 B", "tiers.1.superchip: a superchip needs some memory"),
        ("superchip.nics=1", "tiers.1.superchip.nics: unknown key"),
        ("capacity.gpus=0", "tiers.1: tier alps: 0 GPUs of a node are no whole number of superchips of 1 GPUs"),
        ("staging.weights_per_s=0 B", "tiers.1.staging: weights_per_s must be above zero"),
        ("staging.image_per_s=fast", "tiers.1.staging: 'fast' is not a size"),
        ("staging.safe_factor=0.5", "tiers.1.staging.safe_factor: Input should be greater than or equal to 1"),
        ("staging.boot_s=-1", "tiers.1.staging.boot_s: Input should be greater than or equal to 0"),
        ("staging.boots_s=1", "tiers.1.staging.boots_s: unknown key. Did you mean 'boot_s'?"),
    ],
)
def test_a_wrong_memory_or_staging_setting_is_refused_by_place(item: str, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read(item)
    assert message in str(caught.value)
