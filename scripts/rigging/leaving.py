"""End what a node's pods are made of, and take away what the kernel keeps for the rig; all of it by name, nothing else.

Knows nothing of the API: it works where nothing answers any more.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.rigging.layout import BRIDGE, NODES, Layout, Node
from scripts.rigging.network import remove_bridge
from scripts.rigging.nodes import cgroup, folder, socket
from scripts.rigging.processes import POLL_S, Process, Processes, end_all, process
from scripts.rigging.refusing import hierarchies

SHIM = "containerd-shim-runc-v2"
CNI_RESULTS = Path("/var/lib/cni/results")
CONTAINER_LINKS = Path("/var/log/containers")
GIVE_UP_S = 10.0


def standing(layout: Layout) -> set[int]:
    """Process ids of what a rig that is up consists of: its components, and the helpers that hold containers."""
    components = Processes(layout.records, layout.logs)
    found = {running.pid for name in components.names() if (running := components.find(name))}
    return found | {shim.pid for node in NODES for shim in _shims(layout, node)} if found else found


def end_pods(layout: Layout, node: Node) -> None:
    """Kill every process of the node's containers, and the helpers that hold them."""
    addresses = list(_shim_addresses(layout, node))
    shims = list(_shims(layout, node))
    end_all([*shims, *_contained(node)], patience_s=0.2)
    for address in addresses:
        address.unlink(missing_ok=True)


def _contained(node: Node) -> Iterator[Process]:
    for hierarchy in hierarchies():
        for file in (hierarchy / cgroup(node)).rglob("cgroup.procs"):
            yield from filter(None, (process(int(pid)) for pid in file.read_text().split()))


def _shims(layout: Layout, node: Node) -> Iterator[Process]:
    address = str(socket(layout, node)).encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words[0].endswith(SHIM.encode()) and address in words and (found := process(int(entry.name))):
            yield found


def _shim_addresses(layout: Layout, node: Node) -> Iterator[Path]:
    """Sockets of the helpers, which lie in a folder that all runtimes of the machine share."""
    tasks = layout.sockets / node.name / "containerd" / "io.containerd.runtime.v2.task"
    for file in tasks.glob("*/*/address"):
        yield Path(file.read_text().strip().removeprefix("unix://"))


def clean_up(layout: Layout) -> None:
    """Take away mounts, control groups, addresses, links and the network of the rig."""
    for node in NODES:
        for link in CONTAINER_LINKS.glob("*.log"):
            if link.is_symlink() and Path(os.readlink(link)).is_relative_to(folder(layout, node)):
                link.unlink()
    unmount(layout)
    for node in NODES:
        _remove_cgroups(node)
    for hierarchy in hierarchies():
        _remove_folder(hierarchy / BRIDGE)
    for file in CNI_RESULTS.glob(f"{BRIDGE}-*"):
        file.unlink()
    remove_bridge()


def unmount(layout: Layout) -> None:
    """Unmount everything below the rig's own folders."""
    ours = (layout.state, layout.sockets)
    places = (Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines())
    mounted = [place for place in places if any(place.is_relative_to(folder) for folder in ours)]
    for place in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)


def _remove_cgroups(node: Node) -> None:
    for hierarchy in hierarchies():
        top = hierarchy / cgroup(node)
        for below in sorted(top.rglob("*/"), reverse=True):
            _remove_folder(below)
        _remove_folder(top)


def _remove_folder(group: Path) -> None:
    """Remove a control group; one whose last process has just ended is busy for a moment."""
    deadline = time.monotonic() + GIVE_UP_S
    while group.is_dir():
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                return
            time.sleep(POLL_S)


def remains(layout: Layout) -> list[str]:
    """What is still there of a rig that was taken down; empty if nothing is."""
    groups = [hierarchy / BRIDGE for hierarchy in hierarchies()]
    places = [layout.state, layout.sockets, layout.shared, Path("/sys/class/net", BRIDGE), *groups]
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = [str(place) for place in places if place.exists()]
    found += [mount for mount in mounts if Path(mount).is_relative_to(layout.state)]
    return found + [f"process {one.pid}" for node in NODES for one in _shims(layout, node)]
