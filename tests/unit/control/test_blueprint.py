"""What the processes of a workload are told, and the backend with them."""

import hashlib
from pathlib import Path

from fabric.config import env
from fabric.control.blueprint import SiteBlueprint
from fabric.store.records import SqlRecords
from fabric.workloads.record import Grant, Record
from fabric.workloads.spec import Group, ServiceSpec, WorkloadSpec
from fabric.workloads.states import State
from tests.builders import job, piece, record, tiny_site
from tests.unit.control.world import World


class _NoModels:
    def folder(self, workload: str, reference: str, project: str) -> Path:
        raise AssertionError(workload)


def _submitted(records: SqlRecords) -> Record:
    grant = Grant((piece("c0", head=True),))
    return records.submit(record(job("mine", project="alpha"), State.STARTING, grant=grant, submitted_by="ann"))


def test_the_backend_and_every_process_are_told_for_whom_they_work(world: World, tmp_path: Path) -> None:
    blueprint = SiteBlueprint(
        tiny_site(), tmp_path / "artifacts", tmp_path, world.records, _NoModels(), lambda *asked: {}, world.secrets
    )
    wanted = blueprint.wanted(_submitted(world.records))
    assert (wanted.submitted_by, wanted.env[env.USER]) == ("ann", "ann")


def test_the_token_of_a_workload_opens_its_project_and_nothing_of_the_person(world: World, tmp_path: Path) -> None:
    blueprint = SiteBlueprint(
        tiny_site(), tmp_path / "artifacts", tmp_path, world.records, _NoModels(), lambda *asked: {}, world.secrets
    )
    token = blueprint.wanted(_submitted(world.records)).env[env.TOKEN]
    key = world.records.find_key(hashlib.sha256(token.encode()).hexdigest())
    assert key is not None
    assert (key.project, key.role, key.workload, key.user) == ("alpha", "workload", "mine", "")


def test_an_element_of_an_array_is_told_its_number(world: World, tmp_path: Path) -> None:
    blueprint = SiteBlueprint(
        tiny_site(), tmp_path / "artifacts", tmp_path, world.records, _NoModels(), lambda *asked: {}, world.secrets
    )
    world.array("sweep", 3)
    placed = world.change("sweep.2", State.STARTING, grant=Grant((piece("c0", head=True),)))
    told = blueprint.wanted(placed).env
    assert (told[env.ARRAY], told[env.ARRAY_INDEX], told[env.ARRAY_SIZE]) == ("sweep", "2", "3")
    assert env.ARRAY not in blueprint.wanted(_submitted(world.records)).env


def test_a_service_that_goes_back_serves_the_version_of_then(world: World, tmp_path: Path) -> None:
    asked: list[str] = []

    class Models:
        def folder(self, workload: str, reference: str, project: str) -> Path:
            asked.append(reference)
            return tmp_path

    blueprint = SiteBlueprint(
        tiny_site(), tmp_path / "artifacts", tmp_path, world.records, Models(), lambda *asked: {}, world.secrets
    )
    for name, version in (("now", None), ("back", 2)):
        service = ServiceSpec(model="play@champion", version=version)
        spec = WorkloadSpec(name=name, kind="service", service=service, groups=(Group(),))
        grant = Grant((piece("c0", head=True),))
        blueprint.wanted(world.records.submit(record(spec, State.STARTING, grant=grant)))
    assert asked == ["play@champion", "play:2"]
