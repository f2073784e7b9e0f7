"""Objects that people made in Kubernetes are handed in with the same checks as all work, and once."""

import pytest

from fabric.control.adoption import Adoptions
from fabric.control.callers import LOCAL_ADMIN
from fabric.core.errors import BadInput, Conflict, DoesNotFit
from fabric.workloads.spec import AdoptedSpec, Group, WorkloadSpec
from fabric.workloads.states import State
from tests.unit.control.world import SITE, START, World

HEAD = Group(name="head", tier="commodity")


def asked(name: str = "mine-1", uid: str = "u", **more: object) -> WorkloadSpec:
    """What an object asks to be."""
    adopted = AdoptedSpec(kind="RayCluster", name="mine", uid=uid)
    fields = {"entrypoint": "stays", "groups": (HEAD,), **more}
    return WorkloadSpec(name=name, adopted=adopted, **fields)  # type: ignore[arg-type]


@pytest.fixture
def reception(world: World) -> Adoptions:
    return Adoptions(world.service._ports, SITE)


def test_an_object_is_queued_for_its_owner_and_wakes_the_loop(world: World, reception: Adoptions) -> None:
    stands = reception.take_in(asked())
    record = world.records.get("mine-1")
    assert (stands.uid, stands.state, stands.line[:6]) == ("u", State.QUEUED, "waits:")
    assert (record.submitted_by, record.at.submitted, world.process.woken) == ("RayCluster mine", START, 1)
    assert reception.standing() == {"mine-1": stands}


def test_the_same_object_again_is_the_workload_that_it_was_also_when_that_has_ended(
    world: World, reception: Adoptions
) -> None:
    reception.take_in(asked())
    world.change("mine-1", State.CANCELLED, message="stopped by ann")
    again = reception.take_in(asked())
    assert (again.state, again.line, reception.standing()) == (State.CANCELLED, "stopped by ann", {})
    assert len(world.records.list()) == 1


def test_an_object_names_no_work_of_other_projects(world: World, reception: Adoptions) -> None:
    world.job("secret-work", project="astro")
    world.job("our-work")
    reception.take_in(asked())
    world.change("mine-1", State.QUEUED, waits_for="2 GPUs short, behind secret-work, our-work")
    told = reception.standing()["mine-1"].line
    assert ("secret-work" in told, "our-work" in told, "work of another project" in told) == (False, True, True)
    assert (found := reception.find("mine-1")) is not None
    assert found.line == told


def test_a_withdrawn_object_is_asked_to_end_with_the_reason(world: World, reception: Adoptions) -> None:
    reception.take_in(asked())
    reception.withdraw("mine-1", "its object was deleted")
    assert (world.records.get("mine-1").stop_requested, reception.find("mine-2")) == (True, None)


def test_somebody_elses_workload_of_that_name_is_not_taken_for_the_object(world: World, reception: Adoptions) -> None:
    world.job("mine-1")
    with pytest.raises(Conflict, match="already that is none of RayCluster mine"):
        reception.take_in(asked())
    assert reception.standing() == {}


def test_what_can_never_run_is_refused(reception: Adoptions) -> None:
    with pytest.raises(DoesNotFit, match="group head asks for"):
        reception.take_in(asked(groups=(HEAD.model_copy(update={"cpus": 99.0}),)))


def test_nobody_hands_in_somebody_elses_object_by_the_api(world: World) -> None:
    with pytest.raises(BadInput, match="make the RayCluster in Kubernetes"):
        world.service.submit(asked(), LOCAL_ADMIN)


def test_only_an_object_brings_its_head_and_every_object_does() -> None:
    with pytest.raises(ValueError, match="no group may be called 'head'"):
        WorkloadSpec(entrypoint="true", groups=(HEAD,))
    with pytest.raises(ValueError, match="RayCluster mine brings its head; it needs a group 'head'"):
        asked(groups=(Group(),))
