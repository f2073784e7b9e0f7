"""Read the node and pod lists of the openb trace (Alibaba cluster-trace-gpu-v2023).

Knows nothing of policies or simulation.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fabric.core.errors import BadInput
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.scheduler.policies.columns import Ask, NodeColumns, idle_nodes

_MIB = 2**20
_NODE_COLUMNS = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
_POD_COLUMNS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec")


def read_nodes(file: Path) -> NodeColumns:
    """The nodes of `file`, all idle, in its order.

    Raises:
        BadInput: If the file cannot be read, lacks a column, has a line that is wrong, or no node or accelerator.
    """
    rows = _rows(file, _NODE_COLUMNS)
    cpus, memory, gpus = (
        np.array([_whole(row, column, f"{file}:{line}") for line, row in rows], dtype=np.int64)
        for column in ("cpu_milli", "memory_mib", "gpu")
    )
    if not gpus.any():
        raise BadInput(f"{file} has no node with an accelerator; give the list of GPU nodes.")
    return idle_nodes(cpus, memory * _MIB, gpus, models=[row["model"] for _, row in rows])


def read_pods(file: Path) -> tuple[Ask, ...]:
    """What each pod of `file` asks for, in the order of their names.

    Raises:
        BadInput: If the file cannot be read, lacks a column or has a line that is wrong.
    """
    rows = sorted(_rows(file, _POD_COLUMNS), key=lambda numbered: numbered[1]["name"])
    return tuple(_ask(row, f"{file}:{line}") for line, row in rows)


def _ask(row: Mapping[str, str], place: str) -> Ask:
    cpus, memory, num_gpus, gpu = (
        _whole(row, column, place) for column in ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
    )
    models = frozenset(name for name in row["gpu_spec"].split("|") if name)
    try:
        return Ask(MilliCpus(cpus), Bytes(memory * _MIB), num_gpus, MilliGpus(gpu), models)
    except BadInput as error:
        raise BadInput(f"{place}: {error.message}") from None


def _rows(file: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of each line below the head.

    Raises:
        BadInput: If the file cannot be read or lacks a column, or a line has another number of cells.
    """
    try:
        with file.open(encoding="utf-8", newline="") as text:
            reader = csv.DictReader(text, strict=True)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise BadInput(f"{file}:1: lacks the columns {', '.join(missing)}; it must have {', '.join(columns)}.")
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{file}: cannot be read as a list of comma-separated values: {error}") from error
    for line, row in rows:
        if None in row or None in row.values():
            raise BadInput(f"{file}:{line}: has more or fewer cells than the head.")
    if not rows:
        raise BadInput(f"{file}: has no lines below the head.")
    return rows


def _whole(row: Mapping[str, str], column: str, place: str) -> int:
    text = row[column]
    if not text.isascii() or not text.isdigit():
        raise BadInput(f"{place}: {column} is {text!r}; it must be a whole number that is not negative.")
    return int(text)
