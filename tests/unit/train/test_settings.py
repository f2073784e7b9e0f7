"""What may be chosen about a pre-training run, and what is refused at load."""

from pathlib import Path
from typing import Any

import pytest

from fabric.config.load import load
from fabric.core.errors import BadConfig
from fabric.train.settings import ModelSettings, PretrainSettings

MODEL = """
vocab_size: 512
width: 64
mlp_width: 128
num_layers: 1
num_heads: 2
num_kv_heads: 2
context_tokens: 32
"""
TRAIN = """
output: demo/run
data: demo/data
model: configs/models/llama-tiny.yaml
steps: 100
batch: {rows: 8, micro_rows: 2}
checkpoints: {every_steps: 20}
validation: {every_steps: 50, subset_tokens: 1000}
trainers: {count: 2}
"""
WORKLOAD = """
workload:
  entrypoint: python x.py
  groups: [{name: trainers, count: 2}, {name: data, count: 1}]
"""


def read(tmp_path: Path, kind: type[Any], text: str, *sets: str) -> Any:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    return load(kind, file, sets)


def test_a_run_is_read_with_its_workload(tmp_path: Path) -> None:
    found = read(tmp_path, PretrainSettings, TRAIN + WORKLOAD, "seed=3", "optimiser.lr=3e-4")
    assert (found.seed, found.optimiser.lr, found.trainers.group, found.feeders.group) == (3, 3e-4, "trainers", "data")


def test_a_model_knows_its_size_without_being_built(tmp_path: Path) -> None:
    shape = read(tmp_path, ModelSettings, MODEL)
    attention, mlp, norms = 4 * 64 * 64, 3 * 64 * 128, 2 * 64
    assert shape.num_params == 512 * 64 + attention + mlp + norms + 64


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("num_heads=3", r"num_heads \(3\) must divide width \(64\)"),
        ("num_kv_heads=3", r"num_kv_heads \(3\) must divide num_heads \(2\)"),
        ("num_heads=4", r"width / num_heads is 16, which engines do not serve; use one of 32, 64"),
        ("width=0", "width: Input should be greater than or equal to 1"),
        ("depth=3", "depth: unknown key"),
        ("width=64.0", "width: Input should be a valid integer"),
    ],
)
def test_a_model_that_cannot_be_built_or_served_is_refused(tmp_path: Path, change: str, complaint: str) -> None:
    with pytest.raises(BadConfig, match=complaint):
        read(tmp_path, ModelSettings, MODEL, *(["num_kv_heads=1"] if change == "num_heads=3" else []), change)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("trainers.count=3", r"batch.rows \(8\) must be a multiple of trainers.count \(3\)"),
        ("batch.micro_rows=3", r"batch.micro_rows \(3\) must divide each rank's 4 rows"),
        ("optimiser.warmup_steps=100", r"optimiser.warmup_steps \(100\) must be below steps \(100\)"),
        ("optimiser.kind=sgd", "optimiser.kind: Input should be 'adamw' or 'muon'"),
        ("optimiser.learning_rate=1", "optimiser.learning_rate: unknown key"),
        ("optimiser.lr=-1", "optimiser.lr: Input should be greater than 0"),
        ("checkpoints.keep_last=0", "checkpoints.keep_last"),
        ("steps='100'", "steps: Input should be a valid integer"),
        ("trainers.group=gpus", r"trainers.group 'gpus' is none of the workload's groups \['data', 'trainers'\]"),
        ("feeders.count=2", "feeders.count is 2, but the workload's group data has 1 workers"),
    ],
)
def test_an_impossible_run_is_refused_at_load(tmp_path: Path, change: str, complaint: str) -> None:
    with pytest.raises(BadConfig, match=complaint):
        read(tmp_path, PretrainSettings, TRAIN + WORKLOAD, change)


def test_an_unknown_model_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "llama-tiny.yaml").write_text(MODEL)
    with pytest.raises(BadConfig, match=r"llama-tni\.yaml: no such file\. Did you mean .*llama-tiny\.yaml"):
        load(ModelSettings, tmp_path / "llama-tni.yaml")


def test_what_decides_a_run_leaves_out_where_and_how_fast_it_is_computed(tmp_path: Path) -> None:
    def decisive(*sets: str) -> Any:
        return read(tmp_path, PretrainSettings, TRAIN, *sets).decisive

    same = decisive()
    assert decisive("trainers.count=1", "batch.micro_rows=8", "checkpoints.every_steps=7", "output=other") == same
    assert all(decisive(change) != same for change in ("seed=1", "steps=101", "batch.rows=16", "optimiser.lr=1e-3"))
