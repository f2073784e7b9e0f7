"""The whole fabric over the rig: stock clients in front, real Ray in real pods behind, and parts that die."""

import os
import random
import re
import shutil
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from fabric.backends.kuberay import names
from fabric.backends.local import processes
from fabric.config import env
from scripts.rigging.api import Api
from scripts.rigging.rig import Rig
from tests.cluster.on_rig import START_S, OnRig, beside_the_rig, installed_as
from tests.cluster.pods import Namespace
from tests.ray.live import ROOT, Live, spec_file, until
from tests.ray.serve_apps import packed

pytestmark = pytest.mark.timeout(900)
WAITS = """
import os, socket, sys, time
print("HOST", socket.gethostname(), flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.2)
"""
"""A script that tells its pod, and ends when a file is there."""


@pytest.fixture(scope="module")
def installed(api: Api) -> Iterator[Namespace]:
    with installed_as(api, "fabric") as namespace:
        yield namespace


@pytest.fixture(scope="module")
def fabric(installed: Namespace) -> Iterator[OnRig]:
    """One fabric for the module; nothing of it is left."""
    with beside_the_rig(installed) as fabric:
        yield fabric
    left = installed.pods(), installed.api.items(installed.ray())
    installed.empty()
    assert left == ([], [])


@pytest.fixture
def live(fabric: OnRig) -> Iterator[OnRig]:
    """What the test submitted has ended afterwards."""
    before = fabric.active()
    yield fabric
    fabric.stop_all(fabric.active() - before)


@pytest.fixture
def end(fabric: OnRig) -> Path:
    """A file that pods see once it is made."""
    return fabric.folder / f"end-{uuid.uuid4().hex[:6]}"


def placed(namespace: Namespace, workload: str) -> dict[str, str]:
    """Node of each slice of a workload, as Kubernetes tells it."""
    pods = [pod for pod in namespace.pods() if pod["metadata"]["labels"].get(names.WORKLOAD) == workload]
    return {pod["metadata"]["annotations"][names.SLICE]: pod["spec"]["nodeName"] for pod in pods}


def granted(live: Live, workload: str) -> dict[str, str]:
    """Node of each slice, as the fabric tells it."""
    return {part["name"]: part["node"] for part in live.workload(workload)["slices"]}


def printed(live: Live, workload: str) -> str:
    """Its output so far."""
    return live.fabric("logs", workload).stdout


def says(live: Live, workload: str, words: str) -> None:
    """Wait until its output has these words."""
    until(
        lambda: words in printed(live, workload),
        START_S,
        lambda: f"{live.explained(workload)}\n{printed(live, workload)}",
    )


def test_the_stock_command_runs_in_a_pod_on_the_node_that_was_granted(
    live: OnRig, installed: Namespace, tmp_path: Path, end: Path
) -> None:
    (tmp_path / "plain.py").write_text(WAITS)
    live.ray(
        "submit", "--no-wait", "--submission-id", "plain", "--working-dir", str(tmp_path), "--entrypoint-num-cpus", "1",
        "--entrypoint-num-gpus", "1", "--", "python", "plain.py", str(end),
    )  # fmt: skip
    says(live, "plain", "HOST")
    slices = granted(live, "plain")
    assert sorted(slices.values()) == ["commodity-0", "gpu-0"]
    assert placed(installed, "plain") == slices
    (host,) = re.findall("HOST (.+)", printed(live, "plain"))
    assert installed.pod(host)["spec"]["nodeName"] == "gpu-0"
    assert "RUNNING" in live.ray("status", "plain").stdout
    end.touch()
    live.wait("plain", "succeeded")
    assert "succeeded" in live.ray("status", "plain").stdout


def two_nodes(live: OnRig, folder: Path, name: str, end: Path) -> None:
    """Submit training with a rank on each node."""
    shutil.copy(ROOT / "tests" / "cluster" / "two_nodes.py", folder)
    groups = [
        {"name": "trainers", "count": 1, "tier": "gpu", "cpus": 1, "gpus": 1, "memory": "2 GiB"},
        {"name": "loaders", "count": 1, "tier": "commodity", "cpus": 1, "memory": "2 GiB"},
    ]
    # Ray's driver takes what two ranks say for one thing said twice, and holds it back until something else is said.
    environment = {"working_dir": str(folder), "env_vars": {"RAY_DEDUP_LOGS": "0"}}
    work = {"entrypoint": f"python two_nodes.py {end}", "runtime_env": environment}
    live.fabric("submit", str(spec_file(folder, name=name, groups=groups, **work)))


def test_training_takes_steps_over_both_nodes_and_a_killed_control_finds_it_again(
    live: OnRig, installed: Namespace, tmp_path: Path, end: Path, seed: int
) -> None:
    two_nodes(live, tmp_path, "both", end)
    says(live, "both", "RANK 1")
    says(live, "both", "RANK 0")
    ranks = dict(re.findall(r"RANK \d (\S+) (\S+)", printed(live, "both")))
    assert {installed.pod(pod)["spec"]["nodeName"] for pod in ranks} == {"gpu-0", "commodity-0"}
    assert len(set(ranks.values())) == 1, "ranks that saw other data have equal weights"
    pods = {pod["metadata"]["uid"] for pod in installed.pods()}
    control, since = live.program("control"), in_a_while(seed)
    os.kill(control.pid, signal.SIGKILL)
    until(lambda: live.program_is_new("control", control), 60, lambda: "control has not come back")
    recovered(since)
    end.touch()
    live.wait("both", "succeeded")
    assert live.workload("both")["attempt"] == 1
    assert "TRAINED" in printed(live, "both")
    assert {pod["metadata"]["uid"] for pod in installed.pods()} <= pods, "nothing was started again"


def in_a_while(seed: int) -> float:
    """Wait until a drawn instant; when that is, to say how long what follows took."""
    time.sleep(random.Random(seed).uniform(0.0, 5.0))
    return time.monotonic()


def recovered(since: float) -> None:
    """Say how long it took, for the table of faults."""
    print(f"recovery {time.monotonic() - since:.1f} s")


def goes_on(live: OnRig, workload: str, end: Path, since: float) -> None:
    """Wait until the second attempt trains from a checkpoint of the first, and then until it has ended well."""
    until(lambda: live.workload(workload)["attempt"] == 2, START_S, lambda: live.explained(workload))
    again = re.compile(r"RANK 1 \S+ \S+ AFTER [1-9]")
    until(lambda: bool(again.search(printed(live, workload))), START_S, lambda: printed(live, workload))
    recovered(since)
    end.touch()
    live.wait(workload, "succeeded", within_s=START_S)
    assert live.workload(workload)["failures"] == 1


def test_a_lost_pod_costs_an_attempt_and_training_goes_on_from_its_checkpoint(
    live: OnRig, tmp_path: Path, end: Path, seed: int
) -> None:
    two_nodes(live, tmp_path, "robbed", end)
    says(live, "robbed", "RANK 1")
    since = in_a_while(seed)
    marks = (f"{env.WORKLOAD}=robbed", f"{env.SLICE}=trainers-0")
    (raylet,) = [p for p in processes.marked(marks) if "/raylet/raylet " in processes.command(p)]
    os.kill(raylet.pid, signal.SIGKILL)
    goes_on(live, "robbed", end, since)


def test_a_lost_node_is_told_and_its_training_goes_on_from_its_checkpoint_when_the_node_is_back(
    rig: Rig, live: OnRig, tmp_path: Path, end: Path, seed: int
) -> None:
    two_nodes(live, tmp_path, "stranded", end)
    says(live, "stranded", "RANK 1")
    since = in_a_while(seed)
    rig.kill("gpu-0")
    until(lambda: live.workload("stranded")["attempt"] == 2, START_S, lambda: live.explained("stranded"))
    rig.start("gpu-0")
    goes_on(live, "stranded", end, since)


@pytest.mark.parametrize("part", ["kuberay-operator", "kube-apiserver", "etcd"])
def test_work_runs_on_while_a_part_of_kubernetes_is_dead(
    rig: Rig, live: OnRig, tmp_path: Path, end: Path, seed: int, part: str, request: pytest.FixtureRequest
) -> None:
    name = f"without-{part}"
    wait = f"while [ ! -e {end} ]; do sleep 0.2; done; echo DONE"
    live.fabric("submit", str(spec_file(tmp_path, name=name, entrypoint=wait, runtime_env={})))
    live.wait(name, "running", within_s=START_S)
    dead = in_a_while(seed)
    rig.kill(part)
    end.touch()
    says(live, name, "DONE")
    time.sleep(max(0.0, dead + request.config.getoption("--outage") - time.monotonic()))
    since = time.monotonic()
    rig.start(part)
    live.wait(name, "succeeded", within_s=START_S)
    recovered(since)
    assert live.workload(name)["attempt"] == 1


def test_a_serve_application_answers_through_the_gateway(live: OnRig, tmp_path: Path) -> None:
    shop = {"name": "shop", "import_path": "shop:build", "runtime_env": {"working_dir": packed(live.folder)}}
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump({"applications": [{**shop, "args": {"word": "tea"}}]}))
    live.serve("deploy", str(file), RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=live.key)
    (name,) = {name for name in live.active() if live.workload(name)["kind"] == "service"}
    until(lambda: live.workload(name)["condition"] == "ready", START_S, lambda: live.explained(name))
    url = f"{live.gateway.removesuffix('/v1')}/serve/default/default/pot"
    headers = {"Authorization": f"Bearer {live.key}"}

    def answer() -> httpx.Response:
        return httpx.get(url, headers=headers, timeout=60, trust_env=False)

    until(lambda: answer().status_code == 200, 60, lambda: answer().text)
    assert answer().json()["word"] == "tea"
