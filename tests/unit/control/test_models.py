"""Models by project: each sees and serves its own."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.api.admin import EvaluationView, ModelVersionView
from fabric.control import models as under_test
from fabric.control.mlflow_spaces import SITES, project_in, project_of, space_of
from fabric.control.models import LEFT_ALONE_S, LOOP_WAITS_S, Models
from fabric.core.errors import NotFound, Unavailable
from fabric.registry.evaluation import Evaluation
from fabric.registry.versions import Candidate, Lineage
from fabric.store.mlflow_registry import MlflowModels, Row, Run
from fabric.workloads.states import State
from tests.fake_pins import FakePins
from tests.unit.control.world import World

TAKEN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
"""Names of workspaces that MLflow takes, of 2 to 63 letters."""


class FakeMlflow:
    """MLflow's registry, whose workspaces are kept apart."""

    spaces_made: Mapping[str, str] = {}
    kept: dict[str, list[Row]] = {}

    def __init__(self, uri: str, *, space: str = SITES, timeout_s: float = 0.0) -> None:
        self._space = space

    def spaces(self) -> Mapping[str, str]:
        return self.spaces_made

    def _rows(self) -> list[Row]:
        if self._space not in self.spaces_made:
            raise NotFound(f"Workspace {self._space!r} not found")
        return self.kept.setdefault(self._space, [])

    def rows(self, name: str | None) -> list[Row]:
        return [row for row in self._rows() if name in (None, row.name)]

    def aliases(self, name: str | None) -> Mapping[str, Mapping[str, int]]:
        return {row.name: {"champion": 1} for row in self._rows()}

    def make_model(self, name: str) -> None: ...

    def make_run(self, experiment: str, run: Run) -> str:
        return "run"

    def make_version(self, row: Row, source: str, run_id: str) -> int:
        self._rows().append(Row(row.name, 1, row.tags, 0.0))
        return 1

    def set_tags(self, name: str, version: int, tags: Mapping[str, str]) -> None: ...


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Models:
    """Projects alpha and beta each have a model `chat`, and beta has another one."""
    monkeypatch.setattr(FakeMlflow, "spaces_made", {SITES: "", "p-alpha": "alpha", "p-beta": "beta", "strange": "x"})
    monkeypatch.setattr(FakeMlflow, "kept", {})
    monkeypatch.setattr(under_test, "MlflowHttp", FakeMlflow)
    for project, name in (("alpha", "chat"), ("beta", "chat"), ("beta", "draft")):
        folder = tmp_path / project / name
        folder.mkdir(parents=True)
        lineage = Lineage("1", "c", ())
        registry = MlflowModels(FakeMlflow("", space=space_of(project)))  # type: ignore[arg-type]
        registry.register(Candidate(name, f"{project}-{name}", folder.as_uri(), lineage, {}))
    return Models("http://mlflow", FakePins())


def named(found: object) -> list[tuple[str, str]]:
    assert isinstance(found, list)
    return [(version.project, version.name) for version in found]


def test_a_project_sees_its_own_models_and_the_site_all_of_them(models: Models) -> None:
    assert named(models.models("alpha")) == [("alpha", "chat")]
    assert named(models.models("beta")) == [("beta", "chat"), ("beta", "draft")]
    assert named(models.models()) == [("alpha", "chat"), ("beta", "chat"), ("beta", "draft")]


def test_a_project_that_has_never_asked_mlflow_for_anything_has_none(models: Models) -> None:
    assert models.models("gamma") == []


def test_a_service_serves_the_model_of_its_own_project_and_no_others(models: Models, tmp_path: Path) -> None:
    assert models.folder("a", "chat@champion", "alpha") == tmp_path / "alpha" / "chat"
    assert models.folder("b", "chat@champion", "beta") == tmp_path / "beta" / "chat"
    with pytest.raises(NotFound):
        models.folder("c", "draft@champion", "alpha")


def test_connections_to_a_workspace_are_made_once(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    models.models()

    def another(uri: str, *, space: str = SITES, timeout_s: float = 0.0) -> FakeMlflow:
        raise AssertionError(f"a second one to {space}")

    monkeypatch.setattr(under_test, "MlflowHttp", another)
    assert named(models.models("alpha")) == [("alpha", "chat")]


class Watch:
    """A clock of which the test says how late it is."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_mlflow_that_hung_is_asked_again_after_a_while(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch()
    models = Models("http://mlflow", FakePins(), watch)

    def hangs(self: FakeMlflow, name: str | None) -> Mapping[str, Mapping[str, int]]:
        watch.now += LOOP_WAITS_S
        raise Unavailable("it does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(FakeMlflow, "aliases", hangs)
        with pytest.raises(Unavailable):
            models.folder("a", "chat@champion", "alpha")
    watch.now += LEFT_ALONE_S - 0.1
    with pytest.raises(Unavailable, match="it does not answer"):
        models.folder("a", "chat@champion", "alpha")
    watch.now += 0.1
    assert models.folder("a", "chat@champion", "alpha").name == "chat"


def test_mlflow_that_refuses_at_once_is_asked_again_at_once(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(self: FakeMlflow, name: str | None) -> Mapping[str, Mapping[str, int]]:
        raise Unavailable("it still starts")

    with monkeypatch.context() as patch:
        patch.setattr(FakeMlflow, "aliases", refuses)
        with pytest.raises(Unavailable):
            models.folder("a", "chat@champion", "alpha")
    assert models.folder("a", "chat@champion", "alpha").name == "chat"


def test_people_are_told_of_models_of_their_project_and_deploy_no_other(world: World) -> None:
    for project in ("alpha", "beta"):
        world.models.known.append(
            ModelVersionView(name=f"of-{project}", project=project, version=1, uri="file:///m", created_at=0.0)
        )
    world.issue("key", "member", "alpha")
    client = world.client("key")
    assert [m["name"] for m in client.get("/api/fabric/models").json()["models"]] == ["of-alpha"]
    assert [m["name"] for m in world.client().get("/api/fabric/models").json()["models"]] == ["of-alpha", "of-beta"]
    spec = {"kind": "service", "groups": [{"cpus": 1, "memory": "1 GiB"}]}
    answers = {
        name: client.post("/api/fabric/workloads", json={"spec": {**spec, "service": {"model": f"{name}:1"}}})
        for name in ("of-alpha", "of-beta")
    }
    assert {name: answer.status_code for name, answer in answers.items()} == {"of-alpha": 200, "of-beta": 404}
    assert answers["of-beta"].json()["message"] == "there is no model 'of-beta'; registered: of-alpha"


def test_a_version_says_how_it_was_judged_and_by_what_it_is_known(models: Models) -> None:
    registry = MlflowModels(FakeMlflow("", space=space_of("alpha")))  # type: ignore[arg-type]
    judged = Evaluation("suite", {"exact_match": 0.5}, (True, False))
    registry.register(Candidate("chat", "alpha-judged", "file:///m", Lineage(), {}, judged))
    (found,) = [each for each in models.models("alpha") if each.digest == "alpha-judged"]
    assert found.evaluation == EvaluationView(suite="suite", metrics={"exact_match": 0.5}, num_items=2, num_right=1)
    assert [each.evaluation for each in models.models("beta")] == [None, None]


def test_a_version_says_which_services_within_reach_serve_it(world: World) -> None:
    for number in (1, 2):
        view = ModelVersionView(name="tale", project="alpha", version=number, uri="file:///m", created_at=0.0)
        world.models.known.append(view)
    spec = {"kind": "service", "project": "alpha", "groups": [{"cpus": 1, "memory": "1 GiB"}]}
    for name, deployment in (("chat", "shop"), ("begins", None), ("over", None)):
        service = {"model": "tale:1", "deployment": deployment}
        answer = world.client().post("/api/fabric/workloads", json={"spec": {**spec, "name": name, "service": service}})
        assert answer.status_code == 200, answer.text
    world.models.pins |= {"chat": "tale:1", "over": "tale:2"}
    world.run("chat")
    world.end("over", State.CANCELLED)

    def told(key: str | None = None) -> dict[int, list[dict[str, str]]]:
        models = world.client(key).get("/api/fabric/models").json()["models"]
        return {each["version"]: each["served_by"] for each in models}

    serves = {"workload": "chat", "deployment": "shop", "asked": "tale:1", "state": "running", "condition": ""}
    assert told() == told(world.issue("ann", "viewer", "alpha")) == {1: [serves], 2: []}


@pytest.mark.parametrize(
    ("space", "project"), [(SITES, "default"), ("p-alpha", "alpha"), ("h-0123", "h-0123"), ("p-", "p-"), ("x", "x")]
)
def test_a_workspace_that_somebody_names_is_that_of_its_project(space: str, project: str) -> None:
    assert project_in(space) == project


@given(st.sets(st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,80}[a-zA-Z0-9])?", fullmatch=True), min_size=1))
def test_every_project_has_a_workspace_of_its_own_with_a_name_that_mlflow_takes(projects: set[str]) -> None:
    spaces = {project: space_of(project) for project in projects}
    assert len(set(spaces.values())) == len(projects)
    assert all(TAKEN.fullmatch(space) and 2 <= len(space) <= 63 for space in spaces.values())
    described = {space: project for project, space in spaces.items()}
    assert {project_of(space, described) for space in described} == projects


def test_a_workspace_that_says_it_is_anothers_is_nobodys() -> None:
    assert project_of("p-alpha", {"p-alpha": "beta"}) == ""
    assert project_of("mine", {"mine": "mine"}) == ""
