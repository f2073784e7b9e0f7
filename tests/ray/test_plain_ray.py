"""The apps on an ordinary Ray cluster, handed in with the stock command line; no fabric anywhere."""

import json
import subprocess
from pathlib import Path

import pytest

from scripts.benches.submit import BIN, ROOT, new_cluster
from tests.ray.small_data import write_data_set

CONFIG = """
output: run
data: data
model: configs/models/llama-tiny.yaml
seed: 5
steps: 30
batch: {rows: 4, micro_rows: 2}
checkpoints: {every_steps: 10}
validation: {every_steps: 15, subset_tokens: 500}
trainers: {count: 2, gpus: 1.0}
feeders: {count: 1}
"""


@pytest.mark.timeout(300)
def test_pretraining_is_handed_in_with_its_working_dir_and_runs_on_whatever_the_cluster_has(tmp_path: Path) -> None:
    write_data_set(tmp_path / "data")
    (tmp_path / "config.yaml").write_text(CONFIG)
    told = json.dumps({"env_vars": {"FABRIC_ARTIFACTS": tmp_path.as_uri(), "OMP_NUM_THREADS": "1"}})
    app = ["python", "apps/pretrain.py", "--config", str(tmp_path / "config.yaml")]
    with new_cluster(num_cpus=4) as (address, environment):
        command = [str(BIN / "ray"), "job", "submit", "--address", address, "--working-dir", ".", "--runtime-env-json"]
        done = subprocess.run(
            [*command, told, "--", *app], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "this Ray cluster has no GPUs: the ranks ask for CPUs only" in done.stdout
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "losses.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 31))
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
