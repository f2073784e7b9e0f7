"""Names that are made up here never stand in the way of new work; those that people choose do."""

import pytest

from fabric.control.callers import LOCAL_ADMIN
from fabric.core.errors import Conflict
from fabric.workloads.spec import WorkloadSpec
from tests.unit.control.world import World


def test_a_made_up_name_that_is_taken_is_made_up_again(world: World) -> None:
    # The first bytes that are drawn are 000001.
    world.job("job-000001")
    world.job("job-000002")
    made = world.service.submit(WorkloadSpec(entrypoint="true"), LOCAL_ADMIN, "k1")
    assert (made.name, made.spec.name) == ("job-000003", "job-000003")
    assert world.service.submit(WorkloadSpec(entrypoint="true"), LOCAL_ADMIN, "k1").name == made.name


def test_a_chosen_name_that_is_taken_is_refused(world: World) -> None:
    world.job("mine")
    with pytest.raises(Conflict, match="there is a workload mine already"):
        world.job("mine")


def test_a_key_of_another_request_is_refused_however_the_name_came_about(world: World) -> None:
    world.service.submit(WorkloadSpec(entrypoint="true"), LOCAL_ADMIN, "k1")
    with pytest.raises(Conflict, match="'k1' was used for job-000001"):
        world.service.submit(WorkloadSpec(entrypoint="false"), LOCAL_ADMIN, "k1")
