"""The apps on an ordinary Ray cluster, handed in one by one with the stock command line; no fabric anywhere."""

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from fabric.registry.reference import parse_reference
from fabric.store.mlflow_registry import mlflow_at
from scripts.benches.submit import BIN, ROOT, new_cluster
from tests.unit.data.world import corpus, prose

pytestmark = pytest.mark.timeout(900)
CONFIGS: dict[str, dict[str, Any]] = {
    "prepare": {
        "output": "data",
        "held_out": ["text4"],
        "min_bytes": 20,
        "tokenizer": {"vocab_size": 512},
    },
    "pretrain": {
        "output": "run",
        "data": "data",
        "model": "configs/models/llama-tiny.yaml",
        "seed": 5,
        "steps": 30,
        "batch": {"rows": 4, "micro_rows": 2},
        "checkpoints": {"every_steps": 10},
        "validation": {"every_steps": 15, "subset_tokens": 500},
        "trainers": {"count": 2, "gpus": 1.0},
        "feeders": {"count": 1},
    },
    "evaluate": {
        "output": "judged",
        "pretrained": "run",
        "data": "data",
        "engine": "transformers",
        "max_context": 32,
        "samples": 2,
        "sample_tokens": 4,
    },
    "register": {
        "output": "registered",
        "name": "tiny",
        "model": "run",
        "evaluation": "judged",
        "alias": "champion",
        "rule": {"metric": "bits_per_byte", "better": "lower"},
    },
}
"""Smaller than those under configs/, and otherwise alike."""


@dataclass
class PlainRay:
    """An ordinary cluster, and a folder of artifacts that every job on it is told of."""

    address: str
    environment: dict[str, str]
    artifacts: Path

    def submit(self, app: str, **more: Any) -> str:
        """Hand an app in as the README says, and return what its job printed."""
        told = json.dumps({"env_vars": {"FABRIC_ARTIFACTS": self.artifacts.as_uri(), "OMP_NUM_THREADS": "1"}})
        (self.artifacts / f"{app}.yaml").write_text(json.dumps(CONFIGS[app] | more))  # JSON is YAML
        command = [str(BIN / "ray"), "job", "submit", "--address", self.address, "--working-dir", "."]
        words = ["--runtime-env-json", told, "--", "python", f"apps/{app}.py", "--config"]
        done = subprocess.run(
            [*command, *words, str(self.artifacts / f"{app}.yaml")],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def takes_jobs(address: str, within_s: float = 120.0) -> None:
    """Return once the cluster takes jobs; its agent starts last, and `ray job submit` gives it ten seconds."""
    until, said = time.monotonic() + within_s, "nothing"
    while time.monotonic() < until:
        try:
            answer = httpx.post(f"{address}/api/jobs/", json={"entrypoint": "true"}, timeout=30)
        except httpx.HTTPError as error:
            said = str(error)
        else:
            if answer.is_success:
                return
            said = answer.text
        time.sleep(0.5)
    raise AssertionError(f"{address} takes no jobs after {within_s:g} s: {said[-500:]}")


@pytest.fixture
def plain_ray(tmp_path: Path) -> Iterator[PlainRay]:
    """One node with four CPUs and no GPUs."""
    with new_cluster(num_cpus=4) as (address, environment):
        takes_jobs(address)
        yield PlainRay(address, environment, tmp_path)


def test_each_stage_finds_what_the_one_before_left_and_runs_on_whatever_the_cluster_has(plain_ray: PlainRay) -> None:
    artifacts = plain_ray.artifacts
    texts = corpus(artifacts / "texts", **{f"text{number}": prose(number, 2000) for number in range(12)})
    assert "written" in plain_ray.submit("prepare", source={"folder": str(texts)})
    said = plain_ray.submit("pretrain")
    assert "this Ray cluster has no GPUs: the ranks ask for CPUs only" in said
    steps = [json.loads(line)["step"] for line in (artifacts / "run" / "losses.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 31))
    assert (artifacts / "run" / "model" / "model.safetensors").is_file()
    assert "bits per byte on held-out works" in plain_ray.submit("evaluate")
    said = plain_ray.submit("register")
    assert "registered tiny:1 " in said
    assert "alias champion moved to :1: nobody has it yet" in said
    models = mlflow_at(f"sqlite:///{artifacts / 'mlflow.db'}")
    kept = Path(models.resolve(parse_reference("tiny@champion")).uri.removeprefix("file://"))
    assert kept.is_relative_to(artifacts / "models" / "tiny"), "a registered version owns its files"
    weights = "model.safetensors"
    assert (kept / weights).read_bytes() == (artifacts / "run" / "model" / weights).read_bytes()
