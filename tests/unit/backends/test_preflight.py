"""What a pod tells of its node, from files that are like a machine's; and any Python can run it."""

import ast
import json
import os
from pathlib import Path

import pytest

from fabric.backends.kuberay import preflight
from fabric.backends.kuberay.vetting import Report


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The files of a machine with two NUMA nodes, one of which has no cores, and two accelerators."""
    for folder in ("proc", "dev/shm", "sys/devices/system/node/node0", "sys/devices/system/node/node4"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    (tmp_path / "proc/meminfo").write_text("MemTotal:  1000 kB\nMemFree:  1 kB\nMemAvailable:  900 kB\nHugePages: 0\n")
    nodes = tmp_path / "sys/devices/system/node"
    (nodes / "online").write_text("0,4")
    (nodes / "node0/cpulist").write_text("0-2,8\n")
    (nodes / "node0/meminfo").write_text("Node 0 MemTotal:   600 kB\nNode 0 MemFree: 1 kB\n")
    (nodes / "node4/cpulist").write_text("\n")
    (nodes / "node4/meminfo").write_text("Node 4 MemTotal:   400 kB\n")
    return tmp_path


def test_a_report_has_all_that_control_reads(machine: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    found = preflight.report({"devices": ["/dev/null"], "folders": [str(tmp_path)]}, str(machine))
    shown = Report.model_validate_json(preflight.line_of(found))
    assert (shown.memory, shown.memory_free, shown.gpus, shown.bad) == (1_024_000, 921_600, 2, ())
    assert shown.numa == ((0, 4, 614_400), (4, 0, 409_600))
    assert shown.shm > 0
    assert shown.ray
    preflight.main([json.dumps({})], str(told))
    Report.model_validate_json(told.read_text())


def test_what_is_wrong_with_devices_and_folders_is_said_by_name(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    asked = ["/dev/null", str(plain), str(tmp_path / "gone")]
    assert preflight.bad_devices(asked) == [f"{plain} is no character device", f"{tmp_path / 'gone'} is missing"]
    folders = [str(tmp_path), str(tmp_path / "gone")]
    assert preflight.bad_folders(folders) == [f"{tmp_path / 'gone'} takes no files: No such file or directory"]
    assert preflight.bad_folders(["/proc"])[0].startswith("/proc takes no files: ")


def test_a_device_that_may_not_be_opened_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "open", refuses)
    assert preflight.bad_devices(["/dev/null"]) == ["/dev/null cannot be opened: Operation not permitted"]


def test_a_machine_that_shows_no_numa_nodes_or_shared_memory_has_none(tmp_path: Path) -> None:
    assert preflight.numa_nodes(str(tmp_path / "gone")) == []
    assert preflight.size_of(str(tmp_path / "gone")) == 0
    assert preflight.version_of("no-such-package") == ""


def test_lists_of_cpus_are_read_as_the_kernel_writes_them() -> None:
    assert preflight.cpus_of("0-3,8,10-11\n") == [0, 1, 2, 3, 8, 10, 11]
    assert preflight.cpus_of("\n") == []


def test_a_report_of_a_node_with_36_numa_nodes_is_taken_whole(machine: Path) -> None:
    found = preflight.report({}, str(machine))
    found["numa"] = [[number, 72, 120 * 2**30] for number in range(36)]
    assert len(preflight.line_of(found)) < preflight.MOST_BYTES // 2


def test_its_text_is_whole_and_runs_on_old_pythons() -> None:
    text = Path(preflight.__file__).read_text()
    tree = ast.parse(text, feature_version=(3, 8))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(name.startswith("fabric") for name in imported)
    assert "$(" not in text, "Kubernetes would put a variable there"
