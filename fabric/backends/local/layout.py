"""What is started for a wanted cluster: ports, folders, labels and settings of each Ray node.

Knows nothing of processes: values in, values out, written to and read from the cluster's folder.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from fabric.backends.keeping.layout import START_LABEL
from fabric.backends.keeping.layout import Layout as CommonLayout
from fabric.backends.local.ray_node import DASHBOARD_MODULES
from fabric.config import env
from fabric.core.errors import Unavailable
from fabric.scheduler.ports import WantedCluster
from fabric.workloads.record import Slice

HOST = "127.0.0.2"
"""Address of every Ray node here. Ray replaces 127.0.0.1 by the machine's outer address; this one stays on loopback."""

OBJECT_STORE_SHARE = 0.3
"""Part of a slice's memory that its object store may take, Ray's own default proportion."""

MIN_OBJECT_STORE_BYTES = 80 * 2**20
"""Ray refuses less than 75 MiB."""

_HEAD_PORTS = ("gcs", "dashboard", "serve")
_NODE_PORTS = ("dashboard_agent_listen_port", "metrics_agent_port", "runtime_env_agent_port", "metrics_export_port")


class Layout(CommonLayout):
    """Everything about a local cluster that must survive the process that started it."""

    token: str = Field(repr=False)
    """The cluster's own Ray token."""

    temp_dir: str
    """Ray's session folders; short, as Unix socket paths end at 107 characters."""

    ports: dict[str, int]
    """`gcs`, `dashboard`, `serve`, and `SLICE.PORT` for each slice."""

    gpu_ids: dict[str, tuple[int, ...]]
    """Devices of its node that each slice holds."""

    def start_of(self, name: str) -> str:
        """A port of the slice's present Ray node, which an earlier one did not have."""
        return str(self.ports.get(f"{name}.{_NODE_PORTS[-1]}", ""))

    def with_slices(
        self, added: Sequence[Slice], *, ports: Mapping[str, int], gpu_ids: Mapping[str, tuple[int, ...]]
    ) -> "Layout":
        """The same cluster and more slices, which have yet to join."""
        changes = {"ports": {**self.ports, **ports}, "gpu_ids": {**self.gpu_ids, **gpu_ids}}
        return self.joined_by(added).model_copy(update=changes)

    def without(self, names: Collection[str]) -> "Layout":
        """The same cluster after some of its slices have gone."""
        fewer = super().without(names)
        changes = {
            "ports": {name: port for name, port in self.ports.items() if name.rpartition(".")[0] not in names},
            "gpu_ids": {name: self.gpu_ids[name] for name in fewer.slices},
        }
        return fewer.model_copy(update=changes)

    @property
    def dashboard_url(self) -> str:
        """Base URL of the head's REST API."""
        return f"http://127.0.0.1:{self.ports['dashboard']}"

    @property
    def serve_url(self) -> str:
        """Base URL of its Serve proxy."""
        return f"http://127.0.0.1:{self.ports['serve']}"


def port_names(slices: Sequence[Slice]) -> list[str]:
    """Names of the ports that a cluster of these slices needs."""
    return [*_HEAD_PORTS, *node_port_names(slices)]


def node_port_names(slices: Sequence[Slice]) -> list[str]:
    """Names of the ports that these slices need for themselves."""
    return [f"{part.name}.{port}" for part in slices for port in _NODE_PORTS]


@dataclass(frozen=True, slots=True)
class NodeLaunch:
    """How one Ray node is started."""

    config: dict[str, Any]
    """For `ray_node`."""
    env: dict[str, str]
    """Added to the environment of all its processes."""


def node_launch(part: Slice, wanted: WantedCluster, layout: Layout, *, num_cores: int) -> NodeLaunch:
    """Settings and environment of the Ray node for one slice.

    Args:
        part: The slice.
        wanted: The cluster it belongs to.
        layout: Its ports and folders.
        num_cores: Cores that this machine really has; thread pools are not made larger.
    """
    cpus = 0 if part.only_head else part.resources.cpus.devices()
    gpus = 0 if part.only_head else part.resources.gpus.devices()
    memory = part.resources.memory.count
    store = max(MIN_OBJECT_STORE_BYTES, int(memory * OBJECT_STORE_SHARE))
    params: dict[str, Any] = {
        "node_ip_address": HOST,
        "node_name": f"{wanted.name}.{part.name}",
        "num_cpus": cpus,
        "num_gpus": gpus,
        "memory": memory,
        "object_store_memory": store,
        "labels": {**labels(part), START_LABEL: layout.start_of(part.name)},
        "temp_dir": layout.temp_dir,
        # Ray would number them by looking which exist, and nodes that start together would choose the same.
        "plasma_store_socket_name": f"{layout.temp_dir}/{part.name}.{layout.start_of(part.name)}.store",
        "raylet_socket_name": f"{layout.temp_dir}/{part.name}.{layout.start_of(part.name)}.raylet",
        "include_log_monitor": True,
        **{port: layout.ports[f"{part.name}.{port}"] for port in _NODE_PORTS},
    }
    address = f"{HOST}:{layout.ports['gcs']}"
    if part.head:
        params |= {
            "gcs_server_port": layout.ports["gcs"],
            "include_dashboard": True,
            "dashboard_host": "127.0.0.1",
            "dashboard_port": layout.ports["dashboard"],
            "no_monitor": True,
        }
    else:
        params["gcs_address"] = address
        # Each node unpacks working directories anew, and deletes what lies there: in one folder for all, a node that
        # joins would take the files from under who runs. The head has Ray's own folder, where drivers put packages.
        params["runtime_env_dir_name"] = f"runtime_resources_{part.name}.{layout.start_of(part.name)}"
    config = {"head": part.head, "address": address, "modules": DASHBOARD_MODULES, "params": params}
    return NodeLaunch(config, _environment(part, wanted, layout, num_cores=num_cores))


def labels(part: Slice) -> dict[str, str]:
    """Ray labels of a slice's node."""
    return {"fabric/tier": part.tier, "fabric/group": part.group, "fabric/node": part.node, "fabric/slice": part.name}


def _environment(part: Slice, wanted: WantedCluster, layout: Layout, *, num_cores: int) -> dict[str, str]:
    threads = max(1, min(num_cores, int(part.resources.cpus.whole() / max(1, part.workers))))
    own = {
        env.CLUSTER: layout.mark,
        env.SLICE: part.name,
        "RAY_ADDRESS": f"{HOST}:{layout.ports['gcs']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": layout.token,
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's processes rename themselves; without this their new names overwrite the marks in their environment.
        "SPT_NOENV": "1",
        # A busy machine starts Ray's agents slowly; the defaults of 15 to 30 s end the node for it.
        "RAY_agent_register_timeout_ms": "120000",
        "RAY_raylet_start_wait_time_s": "120",
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "120",
        "OMP_NUM_THREADS": str(threads),
        # Threads that spin while they wait take the cores from the other slices of a machine that pretends to be many.
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, layout.gpu_ids[part.name])),
    }
    return {**wanted.env, **own}


def gpu_ids_by_slice(
    slices: Sequence[Slice], taken: Sequence[Layout], devices: Mapping[str, int]
) -> dict[str, tuple[int, ...]]:
    """Devices for each slice: idle ones for whole accelerators, the fullest that still fits for a fraction.

    Args:
        slices: Of one cluster.
        taken: Other clusters that exist.
        devices: Number of accelerators by node.

    Raises:
        Unavailable: If a node has the amount, but not on devices as they are shared now.
    """
    free = {node: [1000] * number for node, number in devices.items()}
    for layout in taken:
        for name, held in layout.gpu_ids.items():
            left = free.get(layout.nodes[name], [])
            for number, share in zip(held, _shares(layout.amounts[name][1]), strict=True):
                if number < len(left):  # the site may have become smaller since
                    left[number] -= share
    chosen: dict[str, tuple[int, ...]] = {}
    for part in slices:
        left = free.get(part.node, [])
        numbers: list[int] = []
        for share in _shares(part.resources.gpus.count):
            fitting = [number for number, idle in enumerate(left) if idle >= share]
            if not fitting:
                raise Unavailable(f"no accelerator of {part.node} has {share / 1000:g} of itself free for {part.name}")
            number = min(fitting, key=lambda n: (left[n], n))
            left[number] -= share
            numbers.append(number)
        chosen[part.name] = tuple(sorted(numbers))
    return chosen


def _shares(milli_gpus: int) -> list[int]:
    """Whole devices, then a part of one."""
    whole, part = divmod(milli_gpus, 1000)
    return [1000] * whole + ([part] if part else [])


def folder_of(clusters: Path, name: str) -> Path:
    """Where a cluster keeps its settings and the output of its Ray processes."""
    return clusters / name
