"""The demo's training job, smaller: Ray sees it where the fabric says it is, and kills cost nothing that was saved."""

import json
import os
import random
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fabric.backends.local import processes
from tests.ray.live import BIN, ROOT, Live, run, spec_file, until
from tests.ray.small_data import write_data_set

pytestmark = pytest.mark.timeout(900)
STEPS, EVERY = 700, 20
PATIENCE_S = 300
"""For a start, and for an attempt to its end: a busy machine takes minutes to import torch in every rank."""
CONFIG = f"""
output: small/run
data: small/data
model: configs/models/llama-tiny.yaml
seed: 5
steps: {STEPS}
batch: {{rows: 4, micro_rows: 2}}
checkpoints: {{every_steps: {EVERY}}}
validation: {{every_steps: 200, subset_tokens: 500}}
trainers: {{count: 2, gpus: 1.0, notice_every_steps: 5}}
feeders: {{count: 1}}
"""
GROUPS = [
    {"name": "trainers", "count": 2, "tier": "gpu", "cpus": 1.0, "gpus": 1.0, "memory": "2 GiB"},
    {"name": "data", "count": 1, "tier": "commodity", "cpus": 1.0, "memory": "1 GiB"},
]
"""As in configs/train/pretrain-demo.yaml."""


@dataclass
class Training:
    """The job, and what it leaves on the disk."""

    live: Live
    name: str

    @property
    def run(self) -> Path:
        """Its output."""
        return self.live.state / "artifacts" / "default" / "small" / "run"

    def steps(self) -> list[int]:
        """Steps taken, as its ranks wrote them down."""
        file = self.run / "losses.jsonl"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return [json.loads(line)["step"] for line in lines if line.endswith("\n")]

    def ranks(self) -> list[dict[str, Any]]:
        """Where its ranks run, as they wrote it down."""
        return [json.loads((self.run / "ranks" / f"rank-{number}.json").read_text()) for number in range(2)]

    def reaches(self, step: int) -> None:
        """Wait until it has taken `step` steps."""
        until(lambda: (self.steps() or [0])[-1] >= step, PATIENCE_S, lambda: self.live.explained(self.name))

    def checkpoints(self) -> list[int]:
        """Steps of the checkpoints on the disk."""
        return sorted(int(path.name.removeprefix("step-")) for path in (self.run / "checkpoints").glob("step-????????"))

    def driver_log(self, cluster: str) -> bytes:
        """What Ray itself keeps of the driver's output."""
        (file,) = Path(self.live.layout(cluster).temp_dir).glob(f"session_latest/logs/job-driver-{cluster}.log")
        return file.read_bytes()

    def log(self) -> str:
        """What the fabric keeps of it."""
        return self.live.ray("logs", self.name).stdout


def train(live: Live, folder: Path, name: str) -> Training:
    """Submit it, and wait until it trains."""
    training = Training(live, name)
    write_data_set(training.run.with_name("data"))
    (folder / "config.yaml").write_text(CONFIG)
    spec = spec_file(
        folder, name=name, kind="job", groups=GROUPS, max_failures=3, walltime_s=900,
        entrypoint=f"python apps/pretrain.py --config {folder / 'config.yaml'}", runtime_env={"working_dir": str(ROOT)},
    )  # fmt: skip
    live.fabric("submit", str(spec))
    training.reaches(EVERY)
    return training


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Training]:
    """A job that trains, on a fabric of this file's own."""
    with Live(tmp_path_factory.mktemp("fab")) as live:
        yield train(live, tmp_path_factory.mktemp("app"), "steady")


def test_placements_are_told_as_ray_itself_sees_them(running: Training) -> None:
    live = running.live
    layout = live.layout("steady-1")
    words = ["list", "nodes", "--address", layout.dashboard_url, "--format", "json", "--detail"]
    environment = live.environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=layout.token)
    nodes = json.loads(run([str(BIN / "ray"), *words], environment).stdout)
    alive = {node["labels"]["fabric/slice"]: node for node in nodes if node["state"] == "ALIVE"}
    told = {each["name"]: each for each in live.workload("steady")["slices"]}
    assert set(alive) == set(told) == {"head", "trainers-0", "data-0"}
    for name, node in alive.items():
        labels, total, mine = node["labels"], node["resources_total"], told[name]
        assert (labels["fabric/node"], labels["fabric/tier"]) == (mine["node"], mine["tier"])
        # A head slice of its own offers Ray nothing.
        offered = (0, 0) if name == "head" else (mine["cpus"], mine["gpus"])
        assert (total.get("CPU", 0), total.get("GPU", 0)) == offered
    assert {each["tier"] for each in told.values()} == {"commodity", "gpu"}


def test_what_training_tells_reaches_those_who_ask_about_the_workload(running: Training) -> None:
    def told() -> Any:
        return running.live.workload("steady")["progress"]

    until(lambda: told()["checkpoint_step"] is not None, 60, lambda: str(told()))
    until(lambda: told()["done"] > 0, 60, lambda: str(told()))
    progress = told()
    assert (progress["total"], progress["unit"]) == (STEPS, "steps")
    assert progress["metrics"]["loss"] > 0
    assert progress["checkpoint_step"] % EVERY == 0
    assert progress["checkpoint_uri"].endswith(f"small/run/checkpoints/step-{progress['checkpoint_step']:08d}")
    explained = running.live.explained("steady")
    assert f" of {STEPS} steps" in explained
    assert "saved      file://" in explained


def test_a_killed_control_leaves_training_running_and_its_log_whole(running: Training, seed: int) -> None:
    live, pids = running.live, [rank["pid"] for rank in running.ranks()]
    running.reaches(running.steps()[-1] + random.Random(seed).randrange(1, 5 * EVERY))
    control = live.program("control")
    os.kill(control.pid, signal.SIGKILL)
    until(lambda: live.program_is_new("control", control), 90, lambda: "no new control")
    running.reaches(STEPS - 60)
    raw = running.driver_log("steady-1")
    ended = live.wait("steady", "succeeded", "failed", within_s=PATIENCE_S)
    assert (ended["state"], ended["attempt"], ended["failures"]) == ("succeeded", 1, 0), live.explained("steady")
    assert [rank["pid"] for rank in running.ranks()] == pids
    assert running.steps() == list(range(1, STEPS + 1))
    assert raw.decode() in running.log()
    until(lambda: live.cluster_processes() == [], 90, lambda: str(live.cluster_processes()))


def test_a_damaged_shard_ends_a_job_with_its_name_and_no_trace(running: Training, tmp_path: Path) -> None:
    live, data = running.live, running.run.with_name("damaged")
    write_data_set(data)
    with (data / "train.npy").open("r+b") as shard:
        shard.seek(1000)
        shard.write(b"damaged")
    (tmp_path / "config.yaml").write_text(CONFIG)
    spec = spec_file(
        tmp_path, name="damaged", kind="job", groups=[GROUPS[1]], max_failures=0,
        runtime_env={"working_dir": str(ROOT)},
        entrypoint=f"python apps/pretrain.py --config {tmp_path / 'config.yaml'} --set data=small/damaged",
    )  # fmt: skip
    live.fabric("submit", str(spec))
    assert live.wait("damaged", "succeeded", "failed")["state"] == "failed"
    log = live.ray("logs", "damaged").stdout
    assert f"pretrain: {data / 'train.npy'}: its sha256 is not the one in manifest.json" in log, log
    assert "Traceback" not in log


def damage(checkpoint: Path) -> None:
    """Cut one of its files short."""
    largest = max((file for file in checkpoint.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)


def test_a_killed_raylet_costs_training_the_steps_since_its_last_good_checkpoint(
    own: Live, tmp_path: Path, seed: int
) -> None:
    training = train(own, tmp_path, "hurt")
    training.reaches(random.Random(seed).randrange(3 * EVERY, STEPS // 3))
    old = [processes.identify(rank["pid"]) for rank in training.ranks()]
    os.kill(own.raylet("hurt-1", "trainers-0").pid, signal.SIGKILL)
    until(lambda: own.workload("hurt")["attempt"] == 2, 90, lambda: own.explained("hurt"))
    until(lambda: not any(p and processes.alive(p) for p in old), 90, lambda: "ranks of the first attempt live on")
    *_, good, last = training.checkpoints()
    # A kill may come while the checkpoint of the very last step is being written, and before no other.
    assert last >= (training.steps()[-1] - 1) // EVERY * EVERY
    damage(training.run / "checkpoints" / f"step-{last:08d}")
    ended = own.wait("hurt", "succeeded", "failed", within_s=PATIENCE_S)
    assert (ended["state"], ended["attempt"], ended["failures"]) == ("succeeded", 2, 1), own.explained("hurt")
    assert training.steps() == list(range(1, STEPS + 1))
    log = training.log()
    attempt_2 = log.partition("[fabric] attempt 2\n")[2]
    assert re.search(rf"corrupt checkpoint set aside: .*step-{last:08d}", attempt_2), log
    assert f"going on from step-{good:08d}: {good} of {STEPS} steps done" in attempt_2, log
    assert "slice trainers-0 on node gpu-" in own.explained("hurt")
