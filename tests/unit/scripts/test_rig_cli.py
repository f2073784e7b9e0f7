"""The rig's command line says what is, and why it does not do what cannot be done."""

import json
import os
import shutil
from pathlib import Path

import pytest

from scripts import tiers
from scripts.rigging import __main__ as command_line
from scripts.rigging import refusing
from scripts.rigging.api import wait_until
from scripts.rigging.errors import RigError
from scripts.rigging.layout import Layout
from scripts.rigging.refusing import CONTROLLERS, hierarchies, refusal

MOUNTS = """\
proc /proc proc rw,relatime 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""


@pytest.fixture(autouse=True)
def absent_rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No rig, whatever this machine has."""
    nowhere = Layout(tmp_path / "cache", tmp_path / "state", tmp_path / "run", tmp_path / "shared")
    monkeypatch.setattr(command_line, "layout", lambda: nowhere)


def test_a_rig_that_is_down_says_so_and_how_to_bring_it_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["status"]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "the rig is not up: scripts/rig up"
    assert [line.split() for line in printed if line.startswith("etcd")] == [["etcd", "-"]]


def test_the_status_is_had_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["status", "--json"]) == 1
    status = json.loads(capsys.readouterr().out)
    assert status["up"] is False
    assert status["components"]["kubelet-gpu-0"] is None
    assert status["nodes"] == {"gpu-0": "unknown", "commodity-0": "unknown"}


def test_an_unknown_component_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["kill", "kubelet"]) == 1
    said = capsys.readouterr().err
    assert "no component or node is called 'kubelet'; there are etcd, kube-apiserver" in said
    assert said.rstrip().endswith("kubelet-commodity-0, gpu-0, commodity-0")


def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert refusal() == "the rig needs root, for containers and their network"
    assert tiers.missing_machine("cluster") == refusal()
    assert command_line.main(["up"]) == 1
    assert "run it as root" in capsys.readouterr().err


def test_a_machine_without_control_groups_or_programs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(refusing, "hierarchies", lambda: {Path("/sys/fs/cgroup/memory"): frozenset({"rw", "memory"})})
    assert "this machine has no cpu, cpuacct, cpuset, devices, freezer, pids" in refusal()
    monkeypatch.setattr(refusing, "hierarchies", lambda: {Path("/sys/fs/cgroup"): CONTROLLERS})
    monkeypatch.setattr(shutil, "which", lambda program: None if program == "go" else f"/usr/bin/{program}")
    assert refusal() == "the rig needs go in the PATH"


def test_control_groups_are_read_from_the_mounts() -> None:
    assert hierarchies(MOUNTS) == {Path("/sys/fs/cgroup/cpu,cpuacct"): {"rw", "relatime", "cpu", "cpuacct"}}


def test_a_cluster_of_ones_own_is_used_instead_of_the_rig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("FABRIC_KUBECONFIG", "/mine")
    assert tiers.missing_machine("cluster") == ""
    assert tiers.prepared(tiers.TIERS["cluster"]) == ""
    assert tiers.environment("abc")["FABRIC_KUBECONFIG"] == "/mine"


def test_a_tier_whose_preparation_fails_says_which() -> None:
    tier = tiers.Tier((), 1, 1, ("scripts.rigging", "bild"))
    assert tiers.prepared(tier) == "scripts.rigging bild ended with 2"


def test_what_does_not_come_is_named_with_the_last_trouble_and_a_hint() -> None:
    def holds() -> bool:
        raise FileNotFoundError("no access file")

    with pytest.raises(RigError, match=r"the node is ready: not after 0 s \(no access file\)\nlook at the log"):
        wait_until("the node is ready", holds, 0.0, hint=lambda: "look at the log")
