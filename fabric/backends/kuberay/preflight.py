"""What a node shows of itself, looked at in a pod on it and told as one line of JSON.

Knows nothing of what is good enough. Its text is shipped to images that need not have this package, so it uses the
standard library alone, and nothing newer than Python 3.8: the wrong Python must be able to say that it is wrong.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

MOST_BYTES = 4096
"""Longest message that a kubelet takes from a container that ends."""
TOLD_IN = "/dev/termination-log"
"""Where a container leaves that message."""
_NODES = "sys/devices/system/node"
_KIB = 1024
_MOST_LINES, _MOST_LINE = 8, 120
"""Lines of each library that are told, and letters of a line."""
_MOST_S = 60.0
"""How long `fi_info` may take, in seconds."""


def report(ask: dict[str, Any], root: str = "/") -> dict[str, Any]:
    """Everything that is asked, and what the node has.

    Args:
        ask: `devices` that must open, `folders` that must take files, and the file where `nccl` logs, if it is asked.
        root: Where the machine's files are.
    """
    memory = meminfo(os.path.join(root, "proc/meminfo"))
    return {
        "at": time.time(),
        "python": platform.python_version(),
        "ray": version_of("ray"),
        "machine": platform.machine(),
        "cpus": os.cpu_count() or 0,
        "memory": memory.get("MemTotal", 0),
        "memory_free": memory.get("MemAvailable", 0),
        "shm": size_of(os.path.join(root, "dev/shm")),
        "gpus": nvidia_devices(os.path.join(root, "dev")),
        "bad": [*bad_devices(ask.get("devices", [])), *bad_folders(ask.get("folders", []))],
        "numa": numa_nodes(os.path.join(root, _NODES)),
        "network": [*nccl_says(ask["nccl"]), *fabric_says()] if ask.get("nccl") else [],
    }


def meminfo(path: str) -> dict[str, int]:
    """Bytes by name, from a file such as /proc/meminfo."""
    with open(path, encoding="utf-8") as file:
        found = re.findall(r"(\w+):\s+(\d+) kB", file.read())
    return {name: int(kilobytes) * _KIB for name, kilobytes in found}


def version_of(distribution: str) -> str:
    """Version of an installed package; empty where there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def size_of(folder: str) -> int:
    """Bytes that the file system of a folder can hold; 0 where there is none."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_frsize * found.f_blocks


def nvidia_devices(folder: str) -> int:
    """How many accelerators of NVIDIA this container sees."""
    return sum(bool(re.fullmatch(r"nvidia\d+", name)) for name in os.listdir(folder))


def bad_devices(paths: list[str]) -> list[str]:
    """What is wrong with character devices."""
    found = []
    for path in paths:
        try:
            if not stat.S_ISCHR(os.stat(path).st_mode):
                found.append(path + " is no character device")
                continue
            os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
        except FileNotFoundError:
            found.append(path + " is missing")
        except OSError as error:
            found.append(path + " cannot be opened: " + str(error.strerror))
    return found


def bad_folders(paths: list[str]) -> list[str]:
    """What is wrong with folders that should take files."""
    found = []
    for path in paths:
        try:
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(b"preflight")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            found.append(path + " takes no files: " + str(error.strerror))
    return found


def nccl_says(log: str, start: Callable[[], None] | None = None) -> list[str]:
    """What NCCL says of its network when it starts.

    Args:
        log: File in which it writes, as NCCL_DEBUG_FILE says.
        start: Lets it start; where it cannot, the reason is what it says.
    """
    try:
        (start or _start_nccl)()
    except Exception as error:  # whatever a foreign library raises is the answer to the question
        return ["NCCL did not start: " + str(error).strip()[:_MOST_LINE]]
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            return _few(line for line in file if "NET" in line or "network" in line)
    except OSError:
        return []


def _start_nccl() -> None:
    import torch
    import torch.distributed as dist

    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    dist.all_reduce(torch.ones(1, device="cuda"))
    torch.cuda.synchronize()
    dist.destroy_process_group()


def fabric_says() -> list[str]:
    """Which providers libfabric knows; nothing where its program is not there."""
    program = shutil.which("fi_info")
    if program is None:
        return []
    told = subprocess.run([program], capture_output=True, text=True, check=False, timeout=_MOST_S)
    return _few(line for line in told.stdout.splitlines() if "provider:" in line)


def _few(lines: Iterable[str]) -> list[str]:
    """Different lines, shortened so that the report is taken whole."""
    different = dict.fromkeys(line.strip()[-_MOST_LINE:] for line in lines)
    return list(different)[:_MOST_LINES]


def numa_nodes(folder: str) -> list[list[int]]:
    """Number, cores and memory (in bytes) of every NUMA node, by number; none where the kernel shows none."""
    try:
        numbers = sorted(int(name[4:]) for name in os.listdir(folder) if re.fullmatch(r"node\d+", name))
    except OSError:
        return []
    return [_numa_node(os.path.join(folder, "node" + str(number)), number) for number in numbers]


def _numa_node(folder: str, number: int) -> list[int]:
    with open(os.path.join(folder, "cpulist"), encoding="ascii") as file:
        cores = len(cpus_of(file.read()))
    return [number, cores, meminfo(os.path.join(folder, "meminfo")).get("MemTotal", 0)]


def cpus_of(text: str) -> list[int]:
    """Numbers of CPUs from a list such as `0-3,8`."""
    found: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def line_of(found: dict[str, Any]) -> str:
    """A report as one line that a kubelet takes whole."""
    return json.dumps(found, separators=(",", ":"))


def main(arguments: list[str], told_in: str = TOLD_IN) -> None:
    """Look, and leave the report where the kubelet reads it.

    Args:
        arguments: What is asked, as JSON.
        told_in: The file that the kubelet reads.
    """
    line = line_of(report(json.loads(arguments[0])))
    print(line)  # noqa: T201 - also in the log of the pod, for people
    with open(told_in, "w", encoding="utf-8") as file:
        file.write(line)


if __name__ == "__main__":
    main(sys.argv[1:])
