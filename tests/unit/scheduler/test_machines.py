"""Nodes come from the site file, and are the same after they were written down."""

import json

import pytest

from fabric.config.memory import Superchip
from fabric.config.site import Capacity, Tier
from fabric.core.topology import Place
from fabric.scheduler.columns import Node, NodeState
from fabric.scheduler.machines import node_from, node_to, nodes_of
from tests.builders import gpu_node, tiny_site

DISKLESS = Tier(
    name="alps",
    nodes=1,
    capacity=Capacity(cpus=288.0, gpus=4.0, memory="480 GiB"),
    diskless=True,
    speed=2.5,
    superchip=Superchip(cpus=72.0, memory="110 GiB"),
)


def test_a_node_has_what_its_tier_says() -> None:
    names = [(node.name, node.tier, node.heads, node.terms) for node in nodes_of(tiny_site().tiers)]
    assert names == [("gpu-0", "gpu", False, None), ("commodity-0", "commodity", True, None)]


def test_only_a_tier_that_charges_more_than_is_asked_has_terms() -> None:
    (node,) = nodes_of([DISKLESS])
    assert node.speed == 2.5
    assert node.terms is not None
    assert (node.terms.tier, node.terms.diskless, str(node.terms.unit)) == ("alps", True, "1 GPUs + 72 CPUs + 110 GiB")


@pytest.mark.parametrize(
    "node",
    [
        gpu_node("g0"),
        nodes_of([DISKLESS])[0],
        Node("n", "t", gpu_node("g").capacity, True, NodeState.DRAINING, Place("a", "b"), holds=frozenset({"y", "x"})),
    ],
    ids=["plain", "charging", "elsewhere"],
)
def test_a_node_that_is_written_down_is_the_same_again(node: Node) -> None:
    assert node_from(json.loads(json.dumps(node_to(node)))) == node
