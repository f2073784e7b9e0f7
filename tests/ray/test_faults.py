"""Processes are killed; what was accepted goes on. Seen from outside: OS processes, log bytes, files."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.ray import counting
from tests.ray.live import Live, until

pytestmark = pytest.mark.timeout(600)


def test_killing_up_and_control_together_then_up_again_adopts_the_job(own: Live, tmp_path: Path, seed: int) -> None:
    count = counting.submit(own, tmp_path)
    count.goes_on()
    time.sleep(random.Random(seed).uniform(0.0, 2.0))
    assert own.process is not None
    control = own.program("control")
    os.kill(own.process.pid, signal.SIGKILL)
    os.kill(control.pid, signal.SIGKILL)
    own.process.wait(30)
    count.goes_on()
    own.up()
    assert own.wait("count", "running", "succeeded", "failed")["state"] == "running"
    count.goes_on()
    count.tell("enough")
    ended = own.wait("count", "succeeded", "failed")
    assert (ended["state"], ended["attempt"], ended["failures"]) == ("succeeded", 1, 0), own.explained("count")
    assert count.lines() == (["attempt 1 starts at 0"], count.steps())


def test_killing_control_while_a_job_starts_costs_no_attempt_and_starts_it_once(
    own: Live, tmp_path: Path, seed: int
) -> None:
    count = counting.submit(own, tmp_path)
    own.wait("count", "starting", within_s=30)
    time.sleep(random.Random(seed).uniform(0.0, 1.5))
    control = own.program("control")
    os.kill(control.pid, signal.SIGKILL)
    assert count.steps() == [], "the kill came before the job ran"
    until(lambda: own.program_is_new("control", control), 90, lambda: "no new control")
    count.goes_on()
    count.tell("enough")
    ended = own.wait("count", "succeeded", "failed")
    assert (ended["state"], ended["attempt"], ended["failures"]) == ("succeeded", 1, 0), own.explained("count")
    assert count.lines() == (["attempt 1 starts at 0"], count.steps())


@pytest.mark.parametrize("own", [120.0], ids=["two minutes of grace"], indirect=True)
def test_killing_control_while_a_job_stops_leaves_it_the_rest_of_its_grace(own: Live, tmp_path: Path) -> None:
    count = counting.submit(own, tmp_path)
    count.goes_on()
    own.fabric("stop", "count")
    until(lambda: count.has("asked"), 60, lambda: own.explained("count"))
    control = own.program("control")
    os.kill(control.pid, signal.SIGKILL)
    until(lambda: own.program_is_new("control", control), 90, lambda: "no new control")
    time.sleep(5)  # many steps of the new loop
    assert own.workload("count")["state"] == "stopping", own.explained("count")
    count.tell("may-leave")
    until(lambda: count.has("saved"), 20, lambda: f"it was ended inside its grace: {own.explained('count')}")
    assert own.wait("count", "cancelled", "failed")["state"] == "cancelled", own.explained("count")
    until(lambda: own.cluster_processes() == [], 60, lambda: str(own.cluster_processes()))


def test_a_job_that_loses_too_many_attempts_fails_and_says_how_many(own: Live, tmp_path: Path) -> None:
    own.ray(
        "submit", "--no-wait", "--submission-id", "fated", "--metadata-json", '{"fabric.max_failures": "0"}',
        "--", "sleep", "600",
    )  # fmt: skip
    own.wait("fated", "running")
    os.kill(own.raylet("fated-1", "workers-0").pid, signal.SIGKILL)
    ended = own.wait("fated", "failed")
    assert "failed after 1 lost attempts (max_failures 0)" in ended["message"]
    until(lambda: own.cluster_processes() == [], 90, lambda: str(own.cluster_processes()))


def test_ctrl_c_leaves_work_running_up_adopts_it_and_down_drains_it(own: Live, tmp_path: Path) -> None:
    count = counting.submit(own, tmp_path)
    count.tell("may-leave")
    count.goes_on()
    own.interrupt()
    count.goes_on()
    own.up()
    assert own.workload("count")["attempt"] == 1
    assert own.wait("count", "running", within_s=60)["failures"] == 0
    assert not count.has("asked")
    own.fabric("down")
    assert own.process is not None
    own.process.wait(60)
    assert count.has("saved"), "down lets work save"
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
