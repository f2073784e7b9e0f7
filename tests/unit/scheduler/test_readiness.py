"""How long a gang's nodes need until it can work depends on what they hold."""

import pytest

from fabric.config.staging import StagingPriors
from fabric.core.errors import BadInput
from fabric.scheduler.readiness import Experience, staging_on
from fabric.scheduler.shape import shape_of
from fabric.scheduler.staging import Holds, Kind, Measured, Stage, observe
from fabric.workloads.spec import ArtifactSpec
from tests.builders import group

PRIORS = StagingPriors(
    boot_s=180.0, ray_s=10.0, caches_s=60.0, image_per_s="100 MiB", weights_per_s="200 MiB", safe_factor=2.0
)
KNOWN = Experience({"gpu": PRIORS, "commodity": StagingPriors(boot_s=0.0, ray_s=5.0)}, loader="streamer")
IMAGE = ArtifactSpec(name="vllm", size="10000 MiB")
WEIGHTS = ArtifactSpec(name="apertus", size="20000 MiB")
REPLICAS = group("replicas", 2, "gpu", gpus=2.0, image=IMAGE, weights=WEIGHTS)
SHAPE = shape_of([REPLICAS, group("routers", tier="commodity")])


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


def test_a_tier_of_which_nothing_is_known_is_named() -> None:
    with pytest.raises(BadInput, match="how tier 'moon' starts work; known: commodity, gpu"):
        staging_on(shape_of([group()]), "moon", KNOWN)
