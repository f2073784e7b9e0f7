"""A rank uses the cores of its share of the NUMA nodes, and no others."""

import os
from pathlib import Path

import pytest

from fabric.train.pinning import pin


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """What the kernel was asked; the process may use CPUs 0 to 7."""
    asked: list[set[int]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: asked.append(set(cores)))
    return asked


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Three NUMA nodes with cores, two without; an accelerator beside the second, and one that does not say."""
    for number, cpus in ((0, "0-1"), (2, "2-3"), (10, "4-5,6-7"), (4, ""), (12, "")):
        folder = tmp_path / "devices/system/node" / f"node{number}"
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(f"{cpus}\n")
    for pci, node in (("0009:01:00.0", 2), ("000a:01:00.0", -1)):
        device = tmp_path / "bus/pci/devices" / pci
        device.mkdir(parents=True)
        (device / "numa_node").write_text(f"{node}\n")
    return tmp_path


def test_a_rank_keeps_to_the_numa_node_of_its_accelerator(machine: Path, asked: list[set[int]]) -> None:
    assert pin(0, 3, "0009:01:00.0", machine) == {2, 3}
    assert asked == [{2, 3}]


def test_ranks_whose_accelerators_say_nothing_take_a_numa_node_each(machine: Path, asked: list[set[int]]) -> None:
    for rank in range(3):
        pin(rank, 3, "000A:01:00.0", machine)
    pin(0, 3, "none:such", machine)
    pin(0, 2, None, machine)
    assert asked == [{0, 1}, {2, 3}, {4, 5, 6, 7}, {0, 1}, set(range(8))]


def test_a_machine_that_shows_no_numa_nodes_keeps_all_cores(tmp_path: Path, asked: list[set[int]]) -> None:
    pin(0, 2, None, tmp_path / "gone")
    assert asked == [set(range(8))]
