"""Which evaluations are taken as they are, and by which works a model may be judged."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fabric.config.load import decode
from fabric.core.errors import Conflict
from fabric.registry.evaluation import Evaluation
from fabric.train import judge
from fabric.train.evaluate import EVALUATION, SAMPLES, EvaluateSettings
from fabric.train.judge import Findings, Stage, Works, evaluate
from fabric.train.manifest import seal, verify
from fabric.train.report import Silent
from tests.unit.train import worlds


class World:
    """A pre-trained model that is judged by works, without looking at either."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said: list[str] = []
        self.judged: list[str] = []

    def trained(self, *parents: dict[str, str]) -> dict[str, str]:
        """The model, made from these; its place in an evaluation's lineage."""
        (self.root / "pretrain" / "model").mkdir(parents=True, exist_ok=True)
        (self.root / "pretrain" / "model" / "weights").write_text("weights")
        made = seal(self.root / "pretrain", {"kind": "model", "name": "pretrain", "parents": parents})
        return {"name": "pretrain", "version": made["version"]}

    def judge(self, stage: Stage, made: Any, works: Works) -> Findings:
        """In place of what takes a model and torch."""
        self.judged.append(works.version)
        found = Evaluation(f"works-{works.version}-all", {"bits_per_byte": 2.0})
        return Findings({made["name"]: found}, {}, (), {})

    def evaluate(self, version: str) -> dict[str, Any]:
        """Judge it by the works of the data in this version."""
        settings = decode(EvaluateSettings, {"output": "e", "pretrained": "pretrain", "data": "data"}, "e.yaml")
        engines: Any = SimpleNamespace(name="none")
        stage = Stage(settings, self.root, self.root / "cache", engines, Silent(), self.said.append)
        return evaluate(stage, Works(worlds.held_out(), version))

    def from_before(self, *parents: dict[str, str]) -> None:
        """Make the evaluation one of those that do not name the data."""
        head = {key: value for key, value in verify(self.root / "e").items() if key not in ("version", "files")}
        seal(self.root / "e", {**head, "parents": parents}, iter([EVALUATION, SAMPLES]))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    monkeypatch.setattr(judge, "_judge_trained", world.judge)
    return world


def test_an_evaluation_names_the_works_among_its_parents_and_is_not_done_again_for_the_same(world: World) -> None:
    model = world.trained({"name": "data", "version": "one"})
    manifest = world.evaluate("one")
    assert manifest["parents"] == [model, {"name": "data", "version": "one"}]
    assert world.evaluate("one") == manifest
    assert (world.said, world.judged) == (["evaluated already"], ["one"])


def test_a_model_that_may_have_learned_from_the_works_is_not_judged_by_them(world: World) -> None:
    world.trained({"name": "data", "version": "one"})
    world.evaluate("one")
    with pytest.raises(Conflict, match=r"pretrain was trained on version one of data, which is now two: it may have"):
        world.evaluate("two")
    assert world.judged == ["one"]


def test_a_model_that_names_no_such_data_is_judged_again_by_other_works(world: World) -> None:
    world.trained({"name": "elsewhere", "version": "1"})
    for version in ("one", "two", "two"):
        world.evaluate(version)
    assert world.judged == ["one", "two"]


@pytest.mark.parametrize("parents", [({"name": "elsewhere", "version": "1"},), ()], ids=["other data", "none"])
def test_an_evaluation_from_before_works_were_named_is_taken_where_they_are_the_same(
    world: World, parents: tuple[dict[str, str], ...]
) -> None:
    model = world.trained(*parents)
    world.evaluate("one")
    world.from_before(model)
    assert world.evaluate("one")["parents"] == [model]
    assert world.judged == ["one"]
    world.evaluate("two")
    assert world.judged == ["one", "two"]
