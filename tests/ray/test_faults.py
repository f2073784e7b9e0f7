"""Processes are killed; what was accepted goes on. Seen from outside: OS processes, log bytes, files."""

import os
import random
import re
import signal
import time
from pathlib import Path

import pytest

from tests.ray.live import Live, until

COUNTER = """
import os, pathlib, sys, time
folder = pathlib.Path(os.environ["FABRIC_ARTIFACTS"].removeprefix("file://")) / "count"
folder.mkdir(parents=True, exist_ok=True)
done = sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())
start = (done[-1] + 1) if done else 0
print(f"attempt {os.environ['FABRIC_ATTEMPT']} starts at {start}", flush=True)
for step in range(start, int(sys.argv[1])):
    time.sleep(0.1)
    partial = folder / f"{step}.partial"
    partial.write_text(os.environ["FABRIC_ATTEMPT"])
    partial.replace(folder / str(step))
    print(f"line {step}", flush=True)
print("all done", flush=True)
"""


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Where in time to kill; printed, so that a failure can be repeated."""
    chosen = random.SystemRandom().randrange(10_000)
    print(f"seed {chosen}")
    return chosen


def steps(live: Live) -> list[int]:
    """Steps on the disk."""
    folder = live.state / "artifacts" / "default" / "count"
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.exists() else []


def submit_counter(live: Live, folder: Path, num_steps: int) -> None:
    """A job that checkpoints every step, with one trainer slice on each tier."""
    (folder / "count.py").write_text(COUNTER)
    live.ray(
        "submit", "--no-wait", "--submission-id", "count", "--working-dir", str(folder),
        "--metadata-json", '{"fabric.max_failures": "2"}', "--entrypoint-num-gpus", "1",
        "--", "python", "count.py", str(num_steps),
    )  # fmt: skip
    until(lambda: len(steps(live)) > 5, 120, lambda: live.explained("count"))


def test_killing_up_and_control_together_then_up_again_adopts_the_job(own: Live, tmp_path: Path, seed: int) -> None:
    submit_counter(own, tmp_path, 150)
    time.sleep(random.Random(seed).uniform(0.0, 2.0))
    assert own.process is not None
    control = own.program("control")
    os.kill(own.process.pid, signal.SIGKILL)
    os.kill(control.pid, signal.SIGKILL)
    own.process.wait(30)
    before = len(steps(own))
    until(lambda: len(steps(own)) > before, 20, lambda: "the job did not go on without its fabric")
    own.up()
    ended = own.wait("count", "succeeded", "failed")
    assert (ended["state"], ended["attempt"]) == ("succeeded", 1), own.explained("count")
    log = own.ray("logs", "count").stdout
    assert [int(n) for n in re.findall(r"line (\d+)", log)] == list(range(150))


def test_a_job_that_loses_too_many_attempts_fails_and_says_how_many(own: Live, tmp_path: Path) -> None:
    own.ray(
        "submit", "--no-wait", "--submission-id", "fated", "--metadata-json", '{"fabric.max_failures": "0"}',
        "--", "sleep", "600",
    )  # fmt: skip
    own.wait("fated", "running")
    os.kill(own.raylet("fated-1", "workers-0").pid, signal.SIGKILL)
    ended = own.wait("fated", "failed")
    assert "failed after 1 lost attempts (max_failures 0)" in ended["message"]
    until(lambda: own.cluster_processes() == [], 30, lambda: str(own.cluster_processes()))


def test_ctrl_c_leaves_work_running_up_adopts_it_and_down_drains_it(own: Live, tmp_path: Path) -> None:
    submit_counter(own, tmp_path, 100_000)
    own.interrupt()
    before = len(steps(own))
    until(lambda: len(steps(own)) > before, 20, lambda: "the job did not go on")
    own.up()
    assert own.workload("count")["attempt"] == 1
    assert own.wait("count", "running", within_s=30)["failures"] == 0
    own.fabric("down")
    assert own.process is not None
    own.process.wait(60)
    assert own.cluster_processes() == []
    own.up()
    assert own.workload("count")["state"] == "cancelled"


def test_a_second_up_on_the_same_folder_and_a_port_in_use_are_clear_errors(own: Live, tmp_path: Path) -> None:
    again = own.fabric("up", "--state", str(own.state), check=False)
    assert again.returncode == 2
    assert "a fabric is up already" in again.stderr
    elsewhere = own.fabric("up", "--state", str(tmp_path / "s"), "--set", f"ports.control={own.ports[0]}", check=False)
    assert elsewhere.returncode == 2
    assert str(own.ports[0]) in elsewhere.stderr
    assert "Traceback" not in again.stderr + elsewhere.stderr
