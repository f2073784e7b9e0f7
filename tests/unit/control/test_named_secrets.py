"""Secrets by name: set, used in work and deleted, and told to nobody."""

from pathlib import Path

import pytest

from fabric.control.blueprint import SiteBlueprint
from fabric.control.named_secrets import MOST_SECRETS
from fabric.core.errors import Unavailable
from fabric.store.named_secrets import NamedSecret
from fabric.workloads.record import Grant
from fabric.workloads.spec import WorkloadSpec
from fabric.workloads.states import State
from tests.builders import piece, tiny_site
from tests.unit.control.world import START, World

HF = "/api/fabric/secrets/alpha/hf"
VALUE = "hf-not-to-be-seen"
SPEC = {"name": "mine", "entrypoint": "x", "project": "alpha", "secrets": {"HF_TOKEN": "hf"}}


def blueprint(world: World, folder: Path) -> SiteBlueprint:
    return SiteBlueprint(tiny_site(), folder / "a", folder, world.records, world.models, lambda *_: {}, world.secrets)  # type: ignore[arg-type]


def placed(world: World) -> object:
    return world.change("mine", State.STARTING, grant=Grant((piece("c0", head=True),)))


def test_one_is_set_and_listed_without_what_it_holds(world: World) -> None:
    client = world.client(world.person("ann", "member", "alpha"))
    said = client.put(HF, json={"value": VALUE})
    told = {"name": "hf", "project": "alpha", "set_by": "ann", "set_at": START}
    assert said.json() == told
    assert client.get("/api/fabric/secrets/alpha").json() == {"secrets": [told]}
    assert client.get("/api/fabric/secrets/beta").status_code == 403


def test_work_finds_it_in_its_environment_and_nothing_else_shows_it(world: World, tmp_path: Path) -> None:
    client = world.client()
    client.put(HF, json={"value": VALUE})
    answers = [client.post("/api/fabric/workloads", json={"spec": SPEC})]
    wanted = blueprint(world, tmp_path).wanted(placed(world))  # type: ignore[arg-type]
    assert (wanted.env["HF_TOKEN"], wanted.hidden) == (VALUE, frozenset({"HF_TOKEN"}))
    paths = ("workloads/mine", "workloads/mine/explain", "workloads/mine/events", "workloads", "secrets/alpha", "past")
    answers += [client.get(f"/api/fabric/{path}") for path in paths]
    answers += [client.get("/api/jobs/mine"), client.get("/api/jobs/")]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert [answer.url.path for answer in answers if VALUE in answer.text] == []


def test_another_value_holds_from_the_next_start_on(world: World, tmp_path: Path) -> None:
    for value in ("old", "new"):
        world.client().put(HF, json={"value": value})
    world.job("mine", project="alpha", secrets={"HF_TOKEN": "hf"})
    assert blueprint(world, tmp_path).wanted(placed(world)).env["HF_TOKEN"] == "new"  # type: ignore[arg-type]


def test_work_that_names_one_that_is_not_there_is_refused_with_the_remedy(world: World) -> None:
    world.client().put("/api/fabric/secrets/alpha/other", json={"value": "v"})
    said = world.client().post("/api/fabric/workloads", json={"spec": SPEC})
    assert said.status_code == 404
    assert "no secret 'hf' (it has other). Set it first: `fabric secrets set hf`" in said.json()["message"]
    elsewhere = {**SPEC, "project": "beta", "secrets": {"X": "other"}}
    assert world.client().post("/api/fabric/workloads", json={"spec": elsewhere}).status_code == 404


@pytest.mark.parametrize(
    ("secrets", "says"),
    [
        ({"FABRIC_TOKEN": "hf"}, "set by the fabric"),
        ({"A B": "hf"}, "no variable for a secret"),
        ({"X": "../hf"}, "not a secret name"),
    ],
)
def test_variables_and_names_that_cannot_be_are_bad_input(world: World, secrets: dict[str, str], says: str) -> None:
    world.client().put(HF, json={"value": VALUE})
    said = world.client().post("/api/fabric/workloads", json={"spec": {**SPEC, "secrets": secrets}})
    assert (said.status_code, says in said.json()["message"]) == (400, True)


def test_a_variable_is_either_plain_or_secret() -> None:
    with pytest.raises(ValueError, match="X is in env and in secrets"):
        WorkloadSpec(entrypoint="x", env={"X": "1"}, secrets={"X": "hf"})


@pytest.mark.parametrize("environment", [{"X": "fabric-secret:hf", "Y": "1"}, {"X": "fabric-secret:hf"}])
def test_a_jobs_own_environment_may_name_one_and_is_shown_as_it_was_given(
    world: World, tmp_path: Path, environment: dict[str, str]
) -> None:
    client = world.client()
    client.put("/api/fabric/secrets/default/hf", json={"value": VALUE})
    asked = {"entrypoint": "x", "submission_id": "mine", "runtime_env": {"env_vars": environment}}
    assert client.post("/api/jobs/", json=asked).status_code == 200
    assert client.get("/api/jobs/mine").json()["runtime_env"]["env_vars"] == environment
    wanted = blueprint(world, tmp_path).wanted(placed(world))  # type: ignore[arg-type]
    assert (wanted.env["X"], wanted.hidden) == (VALUE, frozenset({"X"}))
    assert wanted.runtime_env["env_vars"] == {key: text for key, text in environment.items() if key != "X"}
    assert client.delete("/api/fabric/secrets/default/hf").status_code == 409


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"secrets": {"X": "other"}}, "X names another secret in secrets"),
        ({"env": {"X": "1"}}, "X is in env and in secrets"),
        ({"runtime_env": {"env_vars": {"x": "fabric-secret:hf"}}}, "'x' is no variable for a secret"),
        ({"runtime_env": {"env_vars": {"X": "fabric-secret:"}}}, "'' is not a secret name"),
        ({"runtime_env": {"env_vars": {"FABRIC_X": "fabric-secret:hf"}}}, "FABRIC_X is set by the fabric"),
        ({"runtime_env": {"env_vars": {"X": "fabric-secret:hg"}}}, "no secret 'hg'"),
    ],
)
def test_what_an_environment_names_is_checked_as_what_a_spec_names(
    world: World, spec: dict[str, object], says: str
) -> None:
    world.client().put(HF, json={"value": VALUE})
    asked = {**SPEC, "secrets": {}, "runtime_env": {"env_vars": {"X": "fabric-secret:hf"}}, **spec}
    said = world.client().post("/api/fabric/workloads", json={"spec": asked})
    assert (said.status_code in {400, 404}, says in said.json()["message"]) == (True, True), said.text


@pytest.mark.parametrize("value", ["", "a\0b", "x" * 32_769])
def test_a_value_that_no_process_could_be_told_is_refused_and_not_repeated(world: World, value: str) -> None:
    said = world.client().put(HF, json={"value": value})
    assert said.status_code == 400
    assert "xxx" not in said.text


def test_a_project_has_so_many_at_most(world: World) -> None:
    for number in range(MOST_SECRETS):
        world.secrets.put_named_secret(NamedSecret("alpha", f"s{number}", "ann", START), "v")
    assert world.client().put(HF, json={"value": "v"}).status_code == 400
    assert world.client().put("/api/fabric/secrets/alpha/s7", json={"value": "w"}).status_code == 200


def test_one_that_is_needed_stays_until_its_work_has_ended(world: World, tmp_path: Path) -> None:
    world.client().put(HF, json={"value": VALUE})
    world.job("mine", project="alpha", secrets={"HF_TOKEN": "hf"})
    said = world.client().delete(HF)
    assert (said.status_code, "named by mine" in said.json()["message"]) == (409, True)
    world.end("mine")
    assert world.client().delete(HF).status_code == 204
    assert world.client().delete(HF).status_code == 404


def test_work_whose_secret_is_gone_all_the_same_waits_for_it(world: World, tmp_path: Path) -> None:
    world.client().put(HF, json={"value": VALUE})
    world.job("mine", project="alpha", secrets={"HF_TOKEN": "hf"})
    world.secrets.drop_named_secret("alpha", "hf")
    with pytest.raises(Unavailable, match="secret hf of project alpha is not there any more"):
        blueprint(world, tmp_path).wanted(placed(world))  # type: ignore[arg-type]
