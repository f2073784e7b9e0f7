"""How long starts take is learned from starts, and services are started so much earlier."""

from dataclasses import replace
from typing import Any

import pytest

from fabric.config.staging import StagingPriors
from fabric.scheduler.cycle import decide
from fabric.scheduler.forecast import Demand
from fabric.scheduler.history import History
from fabric.scheduler.learning import known_from, known_to, learned
from fabric.scheduler.readiness import Experience
from fabric.scheduler.snapshot import Told
from fabric.scheduler.staging import Kind, Stage
from fabric.scheduler.world import World
from fabric.workloads.record import Grant, Instants, Record
from fabric.workloads.spec import ArtifactSpec, Group, ServiceSpec, WorkloadSpec
from fabric.workloads.states import State
from tests.builders import HEAD, hybrid, piece
from tests.unit.scheduler.test_room import EAGER, NOW, elastic, seen, trains

PRIORS = StagingPriors(ray_s=10.0, weights_per_s="100 MiB", safe_factor=2.0)
KNOWN = Experience({"gpu": PRIORS, "commodity": PRIORS})
WEIGHTS = ArtifactSpec(name="apertus", size="1000 MiB")


def serves(*nodes: str, state: State = State.RUNNING, **instants: Any) -> Record:
    """A service on some nodes whose weights are 1,000 MiB; it began to start at 100."""
    spec = WorkloadSpec(
        name="chat", kind="service", service=ServiceSpec(model="m@champion", group="w"),
        groups=(Group(name="w", gpus=1.0, weights=WEIGHTS),),
    )  # fmt: skip
    slices = (piece("c0", "head", head=True), *(piece(node, "w") for node in nodes))
    return Record("chat", spec, state, Instants(0.0, granted=100.0, **instants), grant=Grant(slices))


def test_a_start_teaches_how_long_its_cluster_and_its_weights_took() -> None:
    found = learned(KNOWN, serves("g0", cluster_ready=104.0, running=134.0)).measured
    weights = Kind(Stage.WEIGHTS, "gpu", "apertus")
    assert found.samples == {Kind(Stage.RAY, "gpu"): (4.0,), weights: (30.0,)}
    assert found.sizes == {weights: WEIGHTS.num_bytes}


@pytest.mark.parametrize(
    ("sentence", "record"),
    [
        ("it is on two tiers", serves("g0", "c1", cluster_ready=104.0, running=134.0)),
        ("it is a head alone", serves(cluster_ready=104.0, running=134.0)),
        ("nobody saw its cluster", serves("g0", running=134.0)),
        ("it does not run", serves("g0", cluster_ready=104.0)),
    ],
)
def test_others_teach_nothing(sentence: str, record: Record) -> None:
    assert learned(KNOWN, record) is KNOWN, sentence


def test_a_tier_that_the_site_does_not_know_teaches_nothing() -> None:
    moon = Experience({"moon": PRIORS})
    assert learned(moon, serves("g0", cluster_ready=104.0, running=134.0)) is moon


def test_the_world_learns_when_work_begins_to_run_and_remembers_it() -> None:
    world = World({"chat": serves("g0", state=State.STARTING)}, hybrid(), HEAD, history=History(known=KNOWN))
    world.put(serves("g0", cluster_ready=104.0, running=134.0))
    samples = world.snapshot.known.measured.samples
    assert samples[Kind(Stage.RAY, "gpu")] == (4.0,)
    world.move_nodes(hybrid()[1:])
    again = World(world.records, hybrid(), HEAD, before=world)
    assert again.snapshot.known.measured.samples == samples


def test_what_is_known_is_json_and_back() -> None:
    known = learned(KNOWN, serves("g0", cluster_ready=104.0, running=134.0))
    assert known_from(known_to(known)) == known


def test_a_service_that_does_not_say_its_lead_grows_so_early_that_a_replica_is_probably_ready() -> None:
    group = elastic(1, 1, 4)
    told = Told(1, demand=Demand(NOW, 10.0, (1,) * 3 + (2,) * 9, "test"))
    chat = trains("chat", "g0", priority="serving", service=True, elastic=group, replicas=group, told=told)
    world = seen(chat)
    assert decide(world, EAGER, NOW).resized == (), "needed in 30 s, and asked for a grace of 20 s ahead"
    (resize,) = decide(replace(world, known=KNOWN), EAGER, NOW).resized
    assert "needs 2 replicas in 40 s" in resize.reason
    slow = replace(chat, staged_s=35.0)
    (measured,) = decide(replace(seen(slow), known=KNOWN), EAGER, NOW).resized
    assert "needs 2 replicas in 55 s" in measured.reason
