"""Pre-training as people start it, on a Ray cluster of two labelled nodes: a kill, two kinds of notice, fewer ranks."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fabric.data.shards import open_dataset
from fabric.train.samples import fingerprints
from fabric.workloads.states import RUN_AGAIN
from tests.ray.clusters import Stranger, own_cluster
from tests.ray.small_data import write_data_set

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
STEPS, ROWS, EVERY = 240, 4, 20
PATIENCE_S = 300
"""For a start or an end: a busy machine takes minutes to import torch in every rank."""
CONFIG = f"""
output: run
data: data
model: configs/models/llama-tiny.yaml
seed: 5
steps: {STEPS}
batch: {{rows: {ROWS}, micro_rows: 2}}
checkpoints: {{every_steps: {EVERY}}}
validation: {{every_steps: 100, subset_tokens: 500}}
trainers: {{count: 2, gpus: 1.0, notice_every_steps: 5}}
feeders: {{count: 1}}
record_samples: true
"""


@pytest.fixture(scope="module")
def stranger() -> Iterator[Stranger]:
    """Another cluster's state API."""
    stranger = Stranger()
    yield stranger
    stranger.stop()


@pytest.fixture(scope="module")
def address(stranger: Stranger) -> Iterator[str]:
    """A cluster with a node for each of two groups, as the fabric starts one; the machine's latest is another one."""
    nodes: list[dict[str, Any]] = [
        {"num_cpus": 1, "labels": {"fabric/group": "data"}, "include_dashboard": False},
        {"num_cpus": 2, "num_gpus": 2, "labels": {"fabric/group": "trainers"}},
    ]
    with own_cluster(*nodes, RAY_API_SERVER_ADDRESS=stranger.url) as cluster:
        yield cluster.address


class App:
    """The app, its artifacts and what it left there."""

    def __init__(self, address: str, folder: Path) -> None:
        self.root, self.run = folder, folder / "run"
        write_data_set(folder / "data")
        (folder / "config.yaml").write_text(CONFIG)
        self._env = {
            **os.environ,
            "RAY_ADDRESS": address,
            "FABRIC_WORKLOAD": "test",
            "FABRIC_GRACE_S": "20",
            "FABRIC_ARTIFACTS": folder.as_uri(),
            "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
        }
        self._log = folder / "app.log"
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *sets: str) -> "subprocess.Popen[bytes]":
        """Start it as a job would."""
        words = [word for change in sets for word in ("--set", change)]
        command = [sys.executable, "apps/pretrain.py", "--config", str(self.root / "config.yaml"), *words]
        with self._log.open("wb") as log:
            self.started.append(
                subprocess.Popen(command, cwd=ROOT, env=self._env, stdout=log, stderr=subprocess.STDOUT)
            )
        return self.started[-1]

    def ends(self, app: "subprocess.Popen[bytes]") -> tuple[int, str]:
        """Wait for its end: exit code and what it printed."""
        try:
            code = app.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            app.kill()
            pytest.fail(f"the app does not end:\n{self._log.read_text()}")
        return code, self._log.read_text()

    def records(self, name: str) -> list[dict[str, Any]]:
        """Whole lines of one of its files."""
        file = self.run / name
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def reaches(self, app: "subprocess.Popen[bytes]", step: int) -> None:
        """Wait until it has taken `step` steps."""
        deadline = time.monotonic() + PATIENCE_S
        while not (losses := self.records("losses.jsonl")) or losses[-1]["step"] < step:
            if app.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the app never reached step {step}:\n{self._log.read_text()}")
            time.sleep(0.02)

    def rank(self, number: int) -> dict[str, Any]:
        """Where a rank ran last."""
        found: dict[str, Any] = json.loads((self.run / "ranks" / f"rank-{number}.json").read_text())
        return found

    def checkpoint_steps(self) -> list[int]:
        """Steps of the checkpoints on disk."""
        return sorted(int(path.name.removeprefix("step-")) for path in (self.run / "checkpoints").glob("step-????????"))

    def samples(self) -> list[str]:
        """Fingerprints of all samples that made the model, in the global order."""
        records = [record for rank in range(2) for record in self.records(f"samples-{rank}.jsonl")]
        return [mark for record in sorted(records, key=lambda each: each["first"]) for mark in record["samples"]]

    def every_sample(self) -> list[str]:
        """Fingerprints of the samples that the whole run should meet, read from the data set without the trainer."""
        samples = open_dataset(self.root / "data").samples(context_tokens=32, seed=5)
        return fingerprints(samples.rows(range(STEPS * ROWS)))


@pytest.fixture
def app(address: str, tmp_path: Path) -> Iterator[App]:
    """The app with an empty output; what a failed test leaves running is killed."""
    app = App(address, tmp_path)
    yield app
    for process in app.started:
        process.kill()
        process.wait()


def test_a_run_whose_rank_is_killed_goes_on_from_its_last_checkpoint_with_no_sample_missed_or_doubled(
    app: App, seed: int
) -> None:
    step = Random(seed).randrange(2 * EVERY, STEPS - 3 * EVERY)
    print(f"rank 1 is killed after step {step}")
    process = app.start()
    app.reaches(process, step)
    os.kill(app.rank(1)["pid"], signal.SIGKILL)
    code, said = app.ends(process)
    assert code == RUN_AGAIN
    assert "pretrain: training stopped" in said
    last = app.checkpoint_steps()[-1]
    assert step - EVERY <= last
    assert last % EVERY == 0

    code, said = app.ends(app.start())
    assert code == 0, said
    assert f"going on from step-{last:08d}: {last} of {STEPS} steps done" in said
    assert [record["step"] for record in app.records("losses.jsonl")] == list(range(1, STEPS + 1))
    assert app.samples() == app.every_sample()
    assert app.checkpoint_steps()[-1] == STEPS

    ranks = [app.rank(number) for number in range(2)]
    assert [rank["labels"]["fabric/group"] for rank in ranks] == ["trainers", "trainers"]
    assert sorted(gpu for rank in ranks for gpu in rank["accelerators"]["GPU"]) == ["0", "1"]
    assert {rank["device"] for rank in ranks} == {"cpu"}
    manifest = json.loads((app.run / "manifest.json").read_text())
    assert manifest["parents"] == [{"name": "data", "version": open_dataset(app.root / "data").version}]
    assert {"model/model.safetensors", "model/tokenizer.json", "losses.png"} <= set(manifest["files"])

    code, again = app.ends(app.start())
    assert (code, again.splitlines()) == (0, said.splitlines()[-2:])


def test_a_run_that_is_asked_to_stop_saves_at_once_and_goes_on_with_another_number_of_ranks(
    app: App, stranger: Stranger
) -> None:
    process = app.start()
    app.reaches(process, EVERY + 7)
    process.send_signal(signal.SIGTERM)
    code, said = app.ends(process)
    assert code == RUN_AGAIN, said
    assert "asked to stop: the ranks save their state within 20s and leave" in said
    last = app.checkpoint_steps()[-1]
    assert app.records("losses.jsonl")[-1]["step"] == last
    code, said = app.ends(app.start("trainers.count=1"))
    assert code == 0, said
    assert app.samples() == app.every_sample()
    assert stranger.asked == [], "nothing asks another cluster whether the run lives"


def test_a_run_whose_node_is_about_to_leave_saves_and_leaves_before_it(address: str, app: App) -> None:
    process = app.start("steps=100000")
    app.reaches(process, 10)
    node = app.rank(0)["ray_node"]
    command = ["drain-node", "--address", address, "--node-id", node, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    words = ["--reason-message", "maintenance", "--deadline-remaining-seconds", "60"]
    executable = str(Path(sys.executable).with_name("ray"))
    drain = subprocess.run([executable, *command, *words], capture_output=True, text=True, check=False)
    assert drain.returncode == 0, drain.stderr
    code, said = app.ends(process)
    assert code == RUN_AGAIN, said
    assert "because the nodes of rank 0, 1 are about to leave the cluster" in said
    assert app.checkpoint_steps()[-1] == app.records("losses.jsonl")[-1]["step"]
