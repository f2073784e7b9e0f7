"""How long a gang's nodes need until it can work depends on what they hold."""

import pytest

from fabric.config.staging import StagingPriors
from fabric.core.errors import BadInput
from fabric.core.resources import Resources
from fabric.scheduler.columns import Node, NodeColumns
from fabric.scheduler.placement import place
from fabric.scheduler.readiness import Experience, staging_of, staging_on
from fabric.scheduler.shape import head_part, shape_of
from fabric.scheduler.staging import Holds, Kind, Measured, Stage, observe
from fabric.workloads.spec import ArtifactSpec
from tests.builders import cpu_node, group

PRIORS = StagingPriors(
    boot_s=180.0, ray_s=10.0, caches_s=60.0, image_per_s="100 MiB", weights_per_s="200 MiB", safe_factor=2.0
)
KNOWN = Experience({"gpu": PRIORS, "commodity": StagingPriors(boot_s=0.0, ray_s=5.0)}, loader="streamer")
IMAGE = ArtifactSpec(name="vllm", size="10000 MiB")
WEIGHTS = ArtifactSpec(name="apertus", size="20000 MiB")
REPLICAS = group("replicas", 2, "gpu", gpus=2.0, image=IMAGE, weights=WEIGHTS)
SHAPE = shape_of([REPLICAS, group("routers", tier="commodity")])


def gpu(name: str, *holds: str) -> Node:
    return Node(name, "gpu", Resources.of(4, 2, "8 GiB"), holds=frozenset(holds))


def test_a_shape_is_staged_on_a_tier_with_everything_that_its_workers_need() -> None:
    assert staging_on(SHAPE, "gpu", KNOWN).expected_s == 100.0 + 100.0 + 60.0 + 10.0
    assert staging_on(SHAPE, "gpu", KNOWN).safe_s == 2 * 270.0
    assert staging_on(SHAPE, "commodity", KNOWN).expected_s == 5.0
    assert staging_on(SHAPE, "gpu", KNOWN, holds=Holds(booted=False)).expected_s == 450.0


def test_a_tier_that_no_part_may_use_needs_nothing() -> None:
    assert staging_on(shape_of([REPLICAS]), "commodity", KNOWN).lines == ()


def test_what_was_measured_with_the_same_loader_counts() -> None:
    measured = Measured()
    for _ in range(3):
        measured = observe(measured, Kind(Stage.WEIGHTS, "gpu", "apertus", "streamer"), 20.0)
    learned = Experience(KNOWN.priors, measured, "streamer")
    assert staging_on(SHAPE, "gpu", learned).expected_s == 100.0 + 20.0 + 60.0 + 10.0
    assert staging_on(SHAPE, "gpu", Experience(KNOWN.priors, measured, "other")).expected_s == 270.0


@pytest.mark.parametrize(
    ("world", "nodes", "expected_s"),
    [
        ("both have everything", [gpu("a", "vllm", "apertus"), gpu("b", "vllm", "apertus")], 10.0),
        ("one lacks the image", [gpu("a", "vllm", "apertus"), gpu("b", "apertus")], 110.0),
        ("one lacks the weights", [gpu("a", "vllm", "apertus"), gpu("b", "vllm", "other")], 170.0),
        ("one has nothing", [gpu("a", "vllm", "apertus"), gpu("b")], 270.0),
    ],
)
def test_a_gang_waits_for_the_slowest_of_its_nodes(world: str, nodes: list[Node], expected_s: float) -> None:
    site = NodeColumns.of([*nodes, cpu_node("c0")])
    found = place(SHAPE, site.capacity, site, head_part(Resources.of(1, 0, "1 GiB")))
    assert not found.lacks
    assert staging_of(found.pieces, site, KNOWN).expected_s == expected_s, world


def test_a_tier_of_which_nothing_is_known_is_named() -> None:
    with pytest.raises(BadInput, match="how tier 'moon' starts work; known: commodity, gpu"):
        staging_on(shape_of([group()]), "moon", KNOWN)
