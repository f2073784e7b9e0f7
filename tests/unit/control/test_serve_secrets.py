"""Serve configurations name secrets of their project: told to the processes of the workload and to nobody else."""

import json
from pathlib import Path
from typing import Any

import pytest

from fabric.control.blueprint import SiteBlueprint
from fabric.workloads.record import Grant, Record
from fabric.workloads.states import State
from tests.builders import piece, tiny_site
from tests.unit.control.world import World

PATH = "/api/serve/applications/"
SECRET = "/api/fabric/secrets/default/hf"
VALUE = "hf-not-to-be-seen"
HF = "fabric-secret:hf"


def config(application: dict[str, str], *replicas: dict[str, str]) -> dict[str, Any]:
    """An application with these variables, and a deployment for each of those of its replicas."""
    deployments = [
        {"name": f"D{number}", "ray_actor_options": {"num_cpus": 1, "runtime_env": {"env_vars": variables}}}
        for number, variables in enumerate(replicas)
    ]
    runtime_env = {"env_vars": application}
    return {"applications": [{"import_path": "mine:app", "runtime_env": runtime_env, "deployments": deployments}]}


def deployed(world: World, document: dict[str, Any]) -> Record:
    """Deploy it; its workload."""
    said = world.client().put(PATH, json=document)
    assert said.status_code == 200, said.text
    (record,) = (each for each in world.records.list(kind="service") if not each.stop_requested)
    return record


@pytest.fixture(autouse=True)
def kept(world: World) -> None:
    world.client().put(SECRET, json={"value": VALUE})


def test_every_process_finds_what_is_named_and_serve_itself_is_not_told(world: World, tmp_path: Path) -> None:
    record = deployed(world, config({"HF_TOKEN": HF, "PLAIN": "1"}, {"HF_TOKEN": HF, "OWN": "2"}))
    group = record.spec.groups[0].name
    placed = world.change(record.name, State.STARTING, grant=Grant((piece("c0", head=True, group=group),)))
    models: Any = world.models
    wanted = SiteBlueprint(
        tiny_site(), tmp_path / "a", tmp_path, world.records, models, lambda *_: {}, world.secrets
    ).wanted(placed)
    assert (wanted.env["HF_TOKEN"], wanted.hidden) == (VALUE, frozenset({"HF_TOKEN"}))
    assert wanted.serve is not None
    (application,) = wanted.serve["applications"]
    assert application["runtime_env"] == {"env_vars": {"PLAIN": "1"}}
    assert application["deployments"][0]["ray_actor_options"]["runtime_env"] == {"env_vars": {"OWN": "2"}}
    assert VALUE not in json.dumps(wanted.serve)


def test_the_configuration_is_shown_back_unchanged_and_no_answer_holds_the_value(world: World) -> None:
    document = config({"HF_TOKEN": HF})
    record = deployed(world, document)
    client = world.client()
    shown = client.get(PATH).json()["applications"]["default"]["deployed_app_config"]
    assert shown == document["applications"][0]
    assert deployed(world, document).name == record.name, "the same once more changes nothing"
    paths = [PATH, "/api/fabric/workloads", "/api/fabric/deployments", "/api/fabric/deployments/default"]
    paths += [f"/api/fabric/workloads/{record.name}{more}" for more in ("", "/explain", "/events", "/bill")]
    answers = [client.get(path) for path in paths]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert [answer.url.path for answer in answers if VALUE in answer.text] == []
    assert VALUE not in record.spec.model_dump_json()


def test_one_that_is_not_there_is_refused_and_one_that_is_named_stays(world: World) -> None:
    said = world.client().put(PATH, json=config({"HF_TOKEN": "fabric-secret:other"}))
    assert (said.status_code, "no secret 'other' (it has hf)" in said.text) == (404, True)
    record = deployed(world, config({"HF_TOKEN": HF}))
    said = world.client().delete(SECRET)
    assert (said.status_code, f"named by {record.name}" in said.json()["message"]) == (409, True)
    world.client().delete(PATH)
    world.end(record.name)
    assert world.client().delete(SECRET).status_code == 204


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (config({"X": HF}, {"X": "plain"}), "X names secret hf elsewhere"),
        (config({"X": "plain"}, {"X": HF}), "X names secret hf elsewhere"),
        (config({}, {"X": HF}, {"X": "fabric-secret:hg"}), "X names secret hg, and hf elsewhere"),
        (config({"x": HF}), "no variable for a secret"),
        (config({"X": "fabric-secret:../hf"}), "not a secret name"),
        (config({"FABRIC_TOKEN": HF}), "set by the fabric"),
    ],
)
def test_a_variable_means_one_thing_in_all_of_a_configuration(
    world: World, document: dict[str, Any], says: str
) -> None:
    said = world.client().put(PATH, json=document)
    assert (said.status_code, says in said.text) == (400, True), said.text


def test_arguments_of_an_application_are_its_own_whatever_they_look_like(world: World, tmp_path: Path) -> None:
    document: dict[str, Any] = config({})
    document["applications"][0]["args"] = {"env_vars": {"X": HF}}
    assert deployed(world, document).spec.named_secrets == {}
