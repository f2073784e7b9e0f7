"""A training job grows, shrinks for a service, leaves for others and comes back, and learns from all of it once."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI, OpenAIError

from fabric.data.shards import open_dataset
from fabric.train.samples import fingerprints
from tests.ray.live import ROOT, Live, spec_file, until
from tests.ray.small_data import write_data_set

pytestmark = pytest.mark.timeout(900)
STEPS, ROWS, EVERY = 500, 12, 20
PATIENCE_S = 240
"""For a start, and for a change of size: a busy machine takes minutes to import torch in every rank."""
CONFIG = f"""
output: sized/run
data: sized/data
model: configs/models/llama-tiny.yaml
seed: 5
steps: {STEPS}
batch: {{rows: {ROWS}, micro_rows: 2}}
checkpoints: {{every_steps: {EVERY}}}
validation: {{every_steps: 1000, subset_tokens: 500}}
trainers: {{count: 1, gpus: 1.0, notice_every_steps: 2}}
feeders: {{count: 0}}
record_samples: true
"""
TRAINERS = {"name": "trainers", "count": 1, "min": 1, "max": 3, "tier": "gpu", "cpus": 1.0, "gpus": 1.0,
            "memory": "1.5 GiB"}  # fmt: skip
HOLDERS = {"name": "workers", "tier": "gpu", "cpus": 1.0, "gpus": 1.0, "memory": "0.5 GiB"}


class Training:
    """The job, and what it leaves on the disk."""

    def __init__(self, live: Live, folder: Path, name: str) -> None:
        self.live, self.name = live, name
        self.run = live.state / "artifacts" / "default" / "sized" / "run"
        write_data_set(self.run.with_name("data"))
        self.hurry = folder / "hurry"
        """Until it is there the training walks, so that it lasts for as long as others come and go."""
        (folder / "config.yaml").write_text(CONFIG)
        spec = spec_file(
            folder, name=name, kind="job", groups=[TRAINERS], max_failures=0, walltime_s=3000,
            entrypoint=f"python tests/ray/walking_pretrain.py --config {folder / 'config.yaml'}",
            runtime_env={"working_dir": str(ROOT), "env_vars": {"HURRY": str(self.hurry)}},
        )  # fmt: skip
        live.fabric("submit", str(spec))

    def records(self, name: str) -> list[dict[str, Any]]:
        """Whole lines of one of its files."""
        file = self.run / name
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    @property
    def step(self) -> int:
        """The last one it took."""
        losses = self.records("losses.jsonl")
        return losses[-1]["step"] if losses else 0

    def ranks(self) -> list[dict[str, Any]]:
        """Where its ranks run, as they wrote it down."""
        return [json.loads(file.read_text()) for file in sorted((self.run / "ranks").glob("rank-*.json"))]

    def saved(self) -> int:
        """Step of its newest checkpoint."""
        steps = [int(path.name.removeprefix("step-")) for path in (self.run / "checkpoints").glob("step-????????")]
        return max(steps, default=0)

    def works_with(self, ranks: int) -> None:
        """Wait until so many ranks have taken a few steps."""
        self.until(lambda: len(self.ranks()) == ranks)
        before = self.step
        self.until(lambda: self.step >= before + 5)
        assert {rank["world_size"] for rank in self.ranks()} == {ranks}
        for rank in self.ranks():
            folder = Path(f"/proc/{rank['pid']}/cwd").readlink()
            assert folder.is_dir(), f"a node that joined took the working directory from under rank {rank}: {folder}"

    def until(self, wish: Callable[[], bool]) -> None:
        """Wait, and say on failure how it stands."""
        until(wish, PATIENCE_S, lambda: self.live.explained(self.name) + self.live.ray("logs", self.name).stdout)

    def samples(self) -> list[str]:
        """Fingerprints of all samples that made the model, in the global order."""
        records = [record for file in self.run.glob("samples-*.jsonl") for record in self.records(file.name)]
        return [mark for record in sorted(records, key=lambda each: each["first"]) for mark in record["samples"]]

    def every_sample(self) -> list[str]:
        """Fingerprints of what a run of one size meets, read from the data set without the trainer."""
        samples = open_dataset(self.run.with_name("data")).samples(context_tokens=32, seed=5)
        return fingerprints(samples.rows(range(STEPS * ROWS)))


def hold(live: Live, folder: Path, name: str, gpus: int, **more: Any) -> None:
    """Submit a job that holds so many accelerators until it is stopped."""
    spec = spec_file(
        folder, name=name, kind="job", groups=[{**HOLDERS, "count": gpus}], entrypoint="sleep 600",
        runtime_env={"working_dir": str(folder)}, walltime_s=3000, **more,
    )  # fmt: skip
    live.fabric("submit", str(spec))


@contextmanager
def asked_all_the_time(live: Live) -> Iterator[list[str]]:
    """A block in which somebody asks the service, one question after the other; what went wrong."""
    wrong: list[str] = []
    answered, over = [0], threading.Event()
    client = OpenAI(base_url=live.gateway, api_key=live.key, max_retries=0, timeout=60)
    (model, *_) = [model.id for model in client.models.list()]

    def ask() -> None:
        while not over.is_set():
            try:
                client.completions.create(model=model, prompt="What is", max_tokens=8)
                answered[0] += 1
            except OpenAIError as error:
                wrong.append(f"{type(error).__name__}: {error}")
            time.sleep(0.05)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield wrong
    finally:
        over.set()
        asking.join(60)
    assert answered[0] > 0


def told(live: Live, name: str) -> str:
    """What `fabric explain` says, without what another run of the same says otherwise."""
    differs = ("reports", "saved", "uses ", "unmeasured ")
    lines = [line for line in live.explained(name).splitlines() if not line.startswith(differs)]
    text = re.sub(r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d", "TIME", "\n".join(lines))
    text = re.sub(r"\b(\d+[dhm])+(\d+[hms])?\b", "N", text)
    return re.sub(r"\b\d+(\.\d+)?( ?)(s|min|h|slot-seconds)\b", r"N\2\3", text)


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A fabric of this file's own."""
    with Live(
        tmp_path_factory.mktemp("fab"), grace_s=30.0, sets=("policy.min_run_s=30.0", "policy.restart_s=5.0")
    ) as live:
        yield live


def test_a_job_is_resized_and_preempted_for_others_and_learns_from_every_sample_once(
    fabric: Live, tmp_path: Path, golden: Callable[[str, str], None]
) -> None:
    explained = []

    def note(what: str) -> None:
        explained.append(f"# {what}\n{told(fabric, 'train')}")

    fabric.fabric(
        "deploy", "parrot", "--engine", "echo", "--name", "chat", "--replicas", "1-2", "--cpus", "1",
        "--memory", "1 GiB", "--wait",
    )  # fmt: skip
    hold(fabric, tmp_path, "neighbour", 2)
    fabric.wait("neighbour", "running")
    training = Training(fabric, tmp_path, "train")
    training.works_with(1)
    cluster, head = fabric.layout("train-1"), fabric.raylet("train-1", "head")
    note("on the one accelerator that is free")

    fabric.fabric("stop", "neighbour")
    training.works_with(3)
    fabric.wait("train", "running")
    note("after the others have left")

    with asked_all_the_time(fabric) as wrong:
        fabric.fabric("scale", "chat", "2", "--wait")
        training.works_with(2)
        fabric.wait("train", "running")
        note("after the service has scaled up")
        fabric.fabric("scale", "chat", "1", "--wait")
        training.works_with(3)
        note("after the service has scaled down")
    assert wrong == []
    same = fabric.layout("train-1")
    assert (same.token, same.ports["gcs"], same.born) == (cluster.token, cluster.ports["gcs"], cluster.born)
    assert fabric.raylet("train-1", "head") == head, "it was one cluster all the time"
    assert fabric.workload("train")["attempt"] == 1

    hold(fabric, tmp_path, "urgent", 3, priority="interactive")
    fabric.wait("urgent", "running", within_s=PATIENCE_S)
    left = training.saved()
    assert training.records("losses.jsonl")[-1]["step"] == left, "it saved all it had done before it left"
    assert fabric.wait("train", "queued")["preemptions"] == 1
    note("while a job of a higher class runs")

    training.hurry.touch()
    fabric.fabric("stop", "urgent")
    fabric.wait("train", "running", within_s=PATIENCE_S)
    training.until(lambda: training.step > left)
    ended = fabric.wait("train", "succeeded", "failed", within_s=PATIENCE_S)
    assert (ended["state"], ended["attempt"], ended["failures"]) == ("succeeded", 2, 0), fabric.explained("train")
    assert f"going on from step-{left:08d}" in fabric.ray("logs", "train").stdout
    assert [record["step"] for record in training.records("losses.jsonl")] == list(range(1, STEPS + 1))
    assert training.samples() == training.every_sample()
    golden("resizing.txt", "\n\n".join(explained) + "\n")
