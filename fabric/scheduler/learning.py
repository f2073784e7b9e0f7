"""What a start teaches about the next: how long its cluster took, and its weights. And the same as JSON and back.

Knows nothing of what is predicted from it.
"""

from collections.abc import Mapping
from dataclasses import astuple, replace
from typing import Any

from fabric.config.staging import StagingPriors
from fabric.core.quantity import Bytes
from fabric.scheduler.readiness import Experience
from fabric.scheduler.staging import Kind, Measured, Stage, observe
from fabric.workloads.record import Record


def learned(known: Experience, record: Record) -> Experience:
    """What is known after work has begun to run.

    Work on several tiers teaches nothing, as nobody saw what it waited for; nor does a head alone.

    Args:
        known: Before.
        record: Of the work, with the instants of its present attempt.
    """
    at, grant = record.at, record.grant
    if grant is None or at.granted is None or at.cluster_ready is None or at.running is None:
        return known
    tiers = {part.tier for part in grant.slices if not part.only_head}
    if len(tiers) != 1:
        return known
    [tier] = tiers
    if tier not in known.priors:
        return known
    measured = observe(known.measured, Kind(Stage.RAY, tier), max(0.0, at.cluster_ready - at.granted))
    weights = record.spec.replicas.weights if record.spec.replicas else None
    if weights is not None:
        kind = Kind(Stage.WEIGHTS, tier, weights.name, known.loader)
        measured = observe(measured, kind, max(0.0, at.running - at.cluster_ready), weights.num_bytes)
    return replace(known, measured=measured)


def known_to(known: Experience) -> dict[str, Any]:
    """What is known, as JSON holds it."""
    measured = known.measured
    return {
        "priors": {tier: priors.model_dump(mode="json") for tier, priors in sorted(known.priors.items())},
        "samples": [[*astuple(kind), list(seconds)] for kind, seconds in sorted(measured.samples.items())],
        "sizes": [[*astuple(kind), size.count] for kind, size in sorted(measured.sizes.items())],
        "loader": known.loader,
    }


def known_from(value: Mapping[str, Any]) -> Experience:
    """What `known_to` wrote.

    Raises:
        ValueError: If it is something else.
    """
    return Experience(
        {tier: StagingPriors.model_validate(priors) for tier, priors in value["priors"].items()},
        Measured(
            {_kind(*kind): tuple(seconds) for *kind, seconds in value["samples"]},
            {_kind(*kind): Bytes(count) for *kind, count in value["sizes"]},
        ),
        value["loader"],
    )


def _kind(stage: str, tier: str, artifact: str, loader: str) -> Kind:
    return Kind(Stage(stage), tier, artifact, loader)
