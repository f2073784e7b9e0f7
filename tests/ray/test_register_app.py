"""The register app as plain Ray runs it: a process, a folder of outputs, MLflow on a database file beside them."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fabric.registry.reference import parse_reference
from fabric.store.mlflow_registry import mlflow_at
from tests.architecture.tree import ROOT

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


def output(folder: Path, kind: str, files: dict[str, bytes], **more: Any) -> str:
    """Write a finished output, and return its version."""
    found = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    version = hashlib.sha256(json.dumps(found).encode()).hexdigest()[:12]
    (folder / "manifest.json").write_text(json.dumps({"kind": kind, "version": version, "files": found, **more}))
    return version


def outputs(root: Path, weights: bytes, bits: float) -> None:
    """A model and its evaluation, as the stages before leave them."""
    files = {"model/config.json": b"{}", "model/model.safetensors": weights}
    version = output(root / "demo/pretrain", "model", files, config={}, parents=[], metrics={})
    judged = {"judgements": {"demo/pretrain": {"suite": "s", "metrics": {"bits_per_byte": bits}, "correct": ""}}}
    parents = [{"name": "demo/pretrain", "version": version}]
    output(
        root / "demo/evaluate-pretrained",
        "evaluation",
        {"evaluation.json": json.dumps(judged).encode()},
        parents=parents,
    )


def run(folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    """Run the app in `folder`, outside any fabric."""
    config = ROOT / "configs" / "registry" / "pretrained.yaml"
    command = [sys.executable, str(ROOT / "apps" / "register.py"), "--config", str(config), *more]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)


def test_a_second_run_finds_the_first_and_a_worse_model_does_not_take_the_alias(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FABRIC_ARTIFACTS", "FABRIC_ADDRESS", "FABRIC_TOKEN", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    outputs(tmp_path / "runs", b"good", 2.5)
    first = run(tmp_path)
    assert first.returncode == 0, first.stderr
    assert "registered shakespeare:1 " in first.stdout
    assert "alias champion moved to :1: nobody has it yet" in first.stdout
    assert "registered shakespeare:1 " in run(tmp_path).stdout
    outputs(tmp_path / "runs", b"worse", 2.6)
    assert "alias champion stays at :1: worse: bits_per_byte 2.5 -> 2.6" in run(tmp_path).stdout
    models = mlflow_at(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    assert [version.version for version in models.versions("shakespeare")] == [2, 1]
    assert Path(models.resolve(parse_reference("shakespeare")).uri.removeprefix("file://")).is_dir()
    refused = run(tmp_path, "--set", "rule.better=less")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("register: ")
    assert "rule.better" in refused.stderr
    assert "Traceback" not in refused.stderr
