"""What would become of work on a drained node, where it needs more than the records to say so."""

from dataclasses import replace

from fabric.control.moves import Scene, moves
from fabric.core.resources import Resources
from fabric.scheduler.cycle import decide
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Running, Told
from fabric.store.drains import Drain
from fabric.workloads.record import Grant, Record
from fabric.workloads.spec import Group, Priority, ServiceSpec, WorkloadSpec
from fabric.workloads.states import State
from tests.builders import hybrid, job, piece, record, world

WHOLE = Resources.of(1, 2, "1 GiB")
NOW = 1000.0


def runs(spec: WorkloadSpec, *nodes: str) -> Record:
    grant = Grant((piece("c0", "head", head=True), *(piece(node, "t", WHOLE) for node in nodes)))
    made = record(spec, State.RUNNING, grant=grant)
    return replace(made, at=replace(made.at, granted=1.0, running=1.0))


def told(work: Record, others: tuple[Record, ...] = (), workers: int | None = None) -> tuple[str, tuple[str, ...], str]:
    """How, where to and in which words it leaves g1."""
    known = Running(work.name, Grant(()), None, told=Told(attempt=1, workers=workers))
    scene = Scene(hybrid(), {r.name: r for r in (work, *others)}, world(known), Policy(min_run_s=0.0), decide)
    _, (found,) = moves(scene, Drain("g1", "ada", "", NOW), {}, NOW)
    return found.how, found.to, found.said


def swarm(*nodes: str) -> Record:
    group = Group(name="t", min=1, max=2, count=2, tier="gpu", gpus=2.0, memory="1 GiB")
    return runs(job("swarm", "wait", group), *nodes)


def chat() -> Record:
    group = Group(name="t", count=1, tier="gpu", gpus=2.0, memory="1 GiB")
    spec = WorkloadSpec(
        name="chat", kind="service", priority=Priority.SERVING, groups=(group,),
        service=ServiceSpec(model="m@champion", group="t"),
    )  # fmt: skip
    return runs(spec, "g1")


def test_elastic_work_shrinks_to_what_it_has_elsewhere() -> None:
    assert told(swarm("g0", "g1"), workers=2) == ("shrinks", ("g0",), "goes on with 1 of 2 workers on g0")


def test_a_service_is_ready_elsewhere_before_it_leaves() -> None:
    assert told(chat()) == ("moves", ("g0",), "is ready on g0 before it leaves")


def test_a_service_that_finds_no_place_waits() -> None:
    full = replace(swarm("g0"), name="full", spec=job("full", "wait", Group(name="t", count=1, tier="gpu", gpus=2.0)))
    how, to, said = told(chat(), (replace(full, spec=full.spec.model_copy(update={"priority": Priority.SERVING})),))
    assert (how, to) == ("waits", ())
    assert "0 of 1 workers" in said
