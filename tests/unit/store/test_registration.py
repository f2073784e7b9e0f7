"""Registering what stages left behind, on a registry in memory."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fabric.config.load import decode
from fabric.core.errors import BadInput, Corrupt, NotFound, StorageFull, Unavailable
from fabric.registry.evaluation import JUDGEMENTS, Evaluation
from fabric.registry.settings import RegisterSettings
from fabric.store.outputs import keep, read_output, verify_output
from fabric.store.registration import Registration, register
from tests.fake_models import FakeModelStore
from tests.storage import refuse


class World:
    """A folder of outputs and a registry."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.models = FakeModelStore()
        self.output("demo/data", "dataset", {"shard.npy": b"0123"})

    def output(self, name: str, kind: str, files: dict[str, bytes], listed: bool = False, **more: Any) -> str:
        """Write a finished output, and return its version."""
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        found = {}
        for place, data in files.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_bytes(data)
            found[place] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        version = hashlib.sha256(json.dumps(found).encode()).hexdigest()[:12]
        entries = [{"path": place, **entry} for place, entry in found.items()] if listed else found
        manifest = {"kind": kind, "version": version, "files": entries, **more}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return version

    def trained(self, weights: bytes = b"weights") -> str:
        """A model that learned from the data."""
        data = read_output(self.root, "demo/data")
        parents = [{"name": "demo/data", "version": data.version}, {"name": "base", "version": "cafe"}]
        told: dict[str, Any] = {
            "parents": parents,
            "metrics": {"loss": 1.5, "speed": None},
            "config": {"lr": 0.1},
            "revision": "0123abc",
        }
        files = {"model/model.safetensors": weights, "model/config.json": b"{}", "losses.png": b"picture"}
        return self.output("demo/pretrain", "model", files, **told)

    def judged(self, bits: float, version: str | None = None, suite: str = "s") -> None:
        """An evaluation of the model as it is, or of another version."""
        found = {JUDGEMENTS: {"demo/pretrain": Evaluation(suite, {"bits_per_byte": bits}).to_dict()}}
        version = version or read_output(self.root, "demo/pretrain").version
        parents = [{"name": "demo/pretrain", "version": version}]
        self.output("demo/evaluate", "evaluation", {"evaluation.json": json.dumps(found).encode()}, parents=parents)

    def register(self, **change: Any) -> Registration:
        """Register the model."""
        chosen = {
            "output": "demo/register",
            "name": "shakespeare",
            "model": "demo/pretrain",
            "evaluation": "demo/evaluate",
            "rule": {"metric": "bits_per_byte", "better": "lower"},
        }
        return register(decode(RegisterSettings, {**chosen, **change}, "here"), self.root, self.models)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "runs")


def test_the_first_version_takes_the_alias_with_its_whole_lineage(world: World) -> None:
    version = world.trained()
    world.judged(2.5)
    done = world.register()
    assert (done.version.version, done.version.digest, done.version.aliases) == (1, version, ("champion",))
    assert done.version.metrics == {"loss": 1.5, "bits_per_byte": 2.5}
    data = read_output(world.root, "demo/data")
    assert done.version.lineage.as_texts() == {
        "revision": "0123abc",
        "config": '{"lr": 0.1}',
        "data": f"demo/data@{data.version}",
        "made_from": "base@cafe",
    }
    assert done.summary.endswith("alias champion moved to :1: nobody has it yet")


def test_registering_the_same_again_changes_nothing(world: World) -> None:
    world.trained()
    world.judged(2.5)
    first, again = world.register(), world.register()
    assert again.version == first.version
    assert not again.verdict.moves
    assert "stays at :1: it has it already" in again.summary
    assert len(world.models.kept) == 1


def test_a_worse_model_is_registered_and_the_alias_stays(world: World) -> None:
    world.trained(b"good")
    world.judged(2.5)
    world.register()
    world.trained(b"bad")
    world.judged(2.6)
    done = world.register()
    assert (done.version.version, done.version.aliases) == (2, ())
    assert "alias champion stays at :1: worse: bits_per_byte 2.5 -> 2.6" in done.summary
    world.trained(b"best")
    world.judged(2.4)
    assert "alias champion moved from :1 to :3: not worse" in world.register().summary


def test_a_registered_version_stays_when_its_stage_runs_again(world: World) -> None:
    world.trained(b"first")
    world.judged(2.5)
    done = world.register()
    kept = Path(done.version.uri.removeprefix("file://"))
    world.trained(b"second")
    assert (kept / "model.safetensors").read_bytes() == b"first"
    assert sorted(path.name for path in kept.iterdir()) == ["config.json", "model.safetensors"]


def test_what_was_decided_is_written_down(world: World) -> None:
    version = world.trained()
    world.judged(2.5)
    world.register()
    note = read_output(world.root, "demo/register")
    assert note.kind == "registration"
    assert note.parents == [("demo/pretrain", version)]
    decided = {key: note.manifest[key] for key in ("model", "alias", "moved", "reason", "before")}
    assert decided == {
        "model": "shakespeare:1",
        "alias": "champion",
        "moved": True,
        "reason": "nobody has it yet",
        "before": None,
    }


def test_a_model_that_nobody_judged_takes_only_an_alias_that_nobody_has(world: World) -> None:
    world.trained(b"first")
    assert world.register(evaluation=None).verdict.moves
    world.trained(b"second")
    done = world.register(evaluation=None)
    assert not done.verdict.moves
    assert "it was not judged by bits_per_byte" in done.verdict.reason


def test_an_evaluation_of_another_version_is_refused(world: World) -> None:
    version = world.trained()
    world.judged(2.5, version="000000000000")
    with pytest.raises(BadInput, match=f"judged demo/pretrain at version 000000000000, which is now {version}"):
        world.register()
    assert world.models.kept == []


def test_an_evaluation_that_did_not_judge_it_is_refused(world: World) -> None:
    world.trained()
    parents = [{"name": "demo/finetune", "version": "1"}, {"name": "demo/data", "version": "2"}]
    world.output("demo/evaluate", "evaluation", {}, parents=parents)
    with pytest.raises(NotFound, match=r"did not judge demo/pretrain, but demo/finetune\. Evaluate it first"):
        world.register()


def test_an_evaluation_without_a_judgement_is_refused(world: World) -> None:
    version = world.trained()
    parents = [{"name": "demo/pretrain", "version": version}]
    world.output("demo/evaluate", "evaluation", {"evaluation.json": b"{}", "plot.png": b"x"}, parents=parents)
    with pytest.raises(NotFound, match="has `judgements` with demo/pretrain"):
        world.register()


@pytest.mark.parametrize("missing", ["demo/pretrain", "demo/evaluate"])
def test_a_stage_that_has_not_finished_is_named(world: World, missing: str) -> None:
    world.trained()
    world.judged(2.5)
    (world.root / missing / "manifest.json").unlink()
    with pytest.raises(NotFound, match=f"{missing} holds no finished output: manifest.json is missing"):
        world.register()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "No such file or directory, but manifest.json names it"),
        (lambda path: path.write_bytes(b"weight"), "has 6 bytes instead of 7"),
        (lambda path: path.write_bytes(b"Weights"), "its bytes are not those written"),
    ],
    ids=["missing", "cut short", "changed"],
)
def test_a_damaged_model_is_never_registered(world: World, damage: Any, said: str) -> None:
    world.trained()
    world.judged(2.5)
    damage(world.root / "demo/pretrain/model/model.safetensors")
    with pytest.raises(Corrupt, match=rf"model/model\.safetensors: {said}"):
        world.register()
    assert world.models.kept == []


@pytest.mark.parametrize("place", ["demo/pretrain/model/model.safetensors", "demo/evaluate/evaluation.json"])
def test_what_cannot_be_read_for_a_while_is_not_called_damaged(
    world: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    world.trained()
    world.judged(2.5)
    with monkeypatch.context() as patch:
        refuse(patch, Path(place).name)
        with pytest.raises(Unavailable, match=f"{place}: Stale file handle. Try again"):
            world.register()
    assert world.models.kept == []
    assert world.register().version.version == 1


def test_a_model_without_the_folder_of_weights_is_refused(world: World) -> None:
    world.trained()
    world.judged(2.5)
    with pytest.raises(NotFound, match="demo/pretrain/merged: no such folder"):
        world.register(weights="merged")


def test_manifests_may_list_their_files_either_way(world: World) -> None:
    for listed in (False, True):
        world.output("demo/x", "model", {"a": b"1", "b/c": b"23"}, listed=listed)
        output = read_output(world.root, "demo/x")
        verify_output(output)
        assert {name: size for name, (size, _) in output.files.items()} == {"a": 1, "b/c": 2}


@pytest.mark.parametrize(
    "text", ["", "5", "[]", "{}", '{"version": "1", "files": 5}', '{"version": "1", "files": {"a": {}}}']
)
def test_a_manifest_that_is_none_is_corrupt(world: World, text: str) -> None:
    (world.root / "demo/data/manifest.json").write_text(text)
    with pytest.raises(Corrupt, match=r"demo/data/manifest\.json: cannot be read"):
        read_output(world.root, "demo/data")


def test_an_output_outside_the_root_is_refused(world: World) -> None:
    with pytest.raises(BadInput, match="leads out of"):
        read_output(world.root, "../elsewhere")


def test_a_kept_copy_shares_its_bytes_and_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "source" / "deep").mkdir(parents=True)
    (tmp_path / "source" / "deep" / "file").write_bytes(b"x")
    kept = keep(tmp_path / "source", tmp_path / "to" / "copy")
    assert (kept / "deep" / "file").stat().st_ino == (tmp_path / "source" / "deep" / "file").stat().st_ino
    (tmp_path / "source" / "later").write_bytes(b"y")
    assert keep(tmp_path / "source", tmp_path / "to" / "copy") == kept
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["copy"]
    assert not (kept / "later").exists()


def test_a_copy_that_does_not_fit_leaves_nothing(tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"x" * 2**21)
    with pytest.raises(StorageFull):
        keep(tmp_path / "source", small_disk / "to" / "copy")
    assert list((small_disk / "to").iterdir()) == []
    assert (tmp_path / "source" / "file").exists()
