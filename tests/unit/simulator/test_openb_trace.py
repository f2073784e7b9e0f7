"""The trace's lists are read exactly, and a wrong line is named."""

from pathlib import Path

import pytest

from fabric.core.errors import BadInput
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.scheduler.policies.columns import Ask
from fabric.simulator.openb_trace import read_nodes, read_pods

NODES = "sn,cpu_milli,memory_mib,gpu,model\n"
PODS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\n"


def _file(folder: Path, text: str) -> Path:
    file = folder / "list.csv"
    file.write_text(text)
    return file


def test_nodes_are_idle_and_in_the_order_of_the_file(tmp_path: Path) -> None:
    nodes = read_nodes(_file(tmp_path, f"{NODES}b,8000,1,2,T4\na,4000,2,0,\n"))
    assert nodes.free_milli_cpus.tolist() == nodes.capacity_milli_cpus.tolist() == [8000, 4000]
    assert nodes.free_bytes.tolist() == [2**20, 2**21]
    assert nodes.free_milli_gpus.tolist() == [[1000, 1000], [0, 0]]
    assert [nodes.models[code] for code in nodes.model] == ["T4", ""]


def test_pods_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    pods = read_pods(
        _file(tmp_path, f"{PODS}p1,6000,1,1,460,V100M16|V100M32,LS\np0,12000,2,8,1000,,BE\np2,1000,0,0,0,,\n")
    )
    assert pods == (
        Ask(MilliCpus(12000), Bytes(2**21), 8, MilliGpus(1000)),
        Ask(MilliCpus(6000), Bytes(2**20), 1, MilliGpus(460), frozenset({"V100M16", "V100M32"})),
        Ask(MilliCpus(1000)),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "lacks the columns sn, cpu_milli"),
        ("sn,cpu_milli,gpu,model\n", "lacks the columns memory_mib"),
        (NODES, "has no lines below the head"),
        (f"{NODES}n,8000,1,two,T4\n", "list.csv:2: gpu is 'two'; it must be a whole number"),
        (f"{NODES}n,8000,1,2,T4\nm,-1,1,2,T4\n", "list.csv:3: cpu_milli is '-1'"),
        (f"{NODES}n,8000,1,2\n", "list.csv:2: has more or fewer cells"),
        (f"{NODES}n,8000,1,2,T4,5\n", "list.csv:2: has more or fewer cells"),
        (f'{NODES}n,8000,1,2,"T4\n', "cannot be read"),
        (f"{NODES}n,8000,1,0,\n", "has no node with an accelerator"),
    ],
)
def test_a_wrong_node_list_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_nodes(_file(tmp_path, text))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("p,1000,1,2,500,,LS", "list.csv:2: 500 thousandths of each of 2 devices"),
        ("p,1000,1,0,500,,LS", "list.csv:2: 0 devices with 500 thousandths"),
        ("p,1000,1,1,1500,,LS", "list.csv:2: 1 devices with 1500 thousandths"),
        ("p,1e3,1,1,500,,LS", "list.csv:2: cpu_milli is '1e3'"),
        ("p,1000,,1,500,,LS", "list.csv:2: memory_mib is ''"),
    ],
)
def test_a_wrong_pod_is_refused_with_its_place(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_pods(_file(tmp_path, f"{PODS}{line}\n"))


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.csv: cannot be read"):
        read_nodes(tmp_path / "none.csv")
    (tmp_path / "list.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="cannot be read"):
        read_pods(tmp_path / "list.csv")
