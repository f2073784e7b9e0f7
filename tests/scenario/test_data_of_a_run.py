"""A pre-training run keeps to the data set that it began with, whatever becomes of the folder meanwhile."""

import importlib.util
import pickle
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import fabric.train
from fabric.core.errors import Conflict
from fabric.data.batches import LocalBatches
from fabric.data.shards import open_dataset
from fabric.train import sizes
from fabric.train.samples import Tokens
from fabric.train.settings import FeederSettings, PretrainSettings, TrainerSettings
from fabric.train.sizes import at_every_size
from fabric.train.task import Outcome, Task
from tests.ray.small_data import write_data_set
from tests.unit.train import worlds
from tests.unit.train.test_sizes import Groups, Told, size

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class ReadingGroups(Groups):
    """Groups of ranks that read one batch each, from a source of their own, as a process has it."""

    read: list[Tokens] = field(default_factory=list)

    def start(self, task: Task, trainers: TrainerSettings, slices: tuple[str, ...]) -> Outcome:
        """A group of ranks."""
        source = pickle.loads(pickle.dumps(task.source))  # noqa: S301 - made here
        self.read.append(next(source.batches(rank=0, world_size=1)))
        return super().start(task, trainers, slices)


@pytest.fixture
def groups() -> ReadingGroups:
    """Ranks that are to grow once."""
    return ReadingGroups(Told([size(1), size(2)]))


@pytest.fixture
def app(groups: ReadingGroups, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The app, with one process in place of Ray."""

    def pretrain(task: Task, *, say: Any, **_: Any) -> Any:
        return at_every_size(groups.start, task, task.settings.trainers, stopping=threading.Event(), say=say)

    fake_ray_train: Any = SimpleNamespace(connect=lambda: None, pretrain=pretrain)
    fake_pipeline: Any = SimpleNamespace(start_data_workers=lambda source, **_: LocalBatches(source))
    monkeypatch.setattr(fabric.train, "ray_train", fake_ray_train, raising=False)
    monkeypatch.setitem(sys.modules, "fabric.train.ray_train", fake_ray_train)
    monkeypatch.setitem(sys.modules, "fabric.data.ray_pipeline", fake_pipeline)
    monkeypatch.setattr(sys, "path", list(sys.path))  # the app puts its checkout there
    monkeypatch.setattr(sizes, "_LOOK_EVERY_S", 0.01)
    spec = importlib.util.spec_from_file_location("app_under_test", ROOT / "apps" / "pretrain.py")
    assert spec is not None
    assert spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    monkeypatch.setattr(app, "reporter", lambda folder: groups.reporter)
    return app


def chosen(feeders: int) -> PretrainSettings:
    """A short run of a tiny model."""
    model = str(ROOT / "configs" / "models" / "llama-tiny.yaml")
    return worlds.settings(model=model, feeders=FeederSettings(count=feeders))


@pytest.mark.parametrize("feeders", [0, 1])
def test_ranks_that_start_after_another_version_was_published_read_none_of_it(
    app: ModuleType, groups: ReadingGroups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, feeders: int
) -> None:
    monkeypatch.setenv("FABRIC_ARTIFACTS", tmp_path.as_uri())
    data = tmp_path / "data"
    began_with = write_data_set(data).version
    published = write_data_set(tmp_path / "other", train_tokens=19_000).version
    expected = open_dataset(data).samples(32, 0).rows(range(4))

    def publish(group: int) -> None:
        data.rename(tmp_path / "before")
        (tmp_path / "other").rename(data)

    groups.meanwhile = publish
    with pytest.raises(Conflict, match=f"holds version {published}, but the run began with {began_with}"):
        app.run(chosen(feeders))
    assert groups.ran == [(1, size(1).slices)]
    assert [(rows == expected).all() for rows in groups.read] == [True]
