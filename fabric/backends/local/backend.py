"""The local backend: eyes and hands over processes of this machine.

Knows nothing of records; it does what it is told and shows what exists.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fabric.backends.keeping.clusters import KeptClusters
from fabric.backends.keeping.head import RayHead
from fabric.backends.keeping.keeper import Keeper
from fabric.backends.keeping.layout import amounts_of, head_first, one_of_a_name
from fabric.backends.keeping.ports import Output
from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.keeping.warm import NoOutput
from fabric.backends.local import processes
from fabric.backends.local.driver_log import DriverLog
from fabric.backends.local.layout import (
    Layout,
    NodeLaunch,
    folder_of,
    gpu_ids_by_slice,
    node_launch,
    node_port_names,
    port_names,
)
from fabric.backends.local.metering import ProcessMeter
from fabric.backends.local.nvml import Nvml
from fabric.backends.local.ports import free_ports
from fabric.backends.local.slices import Slices
from fabric.config import env
from fabric.config.load import decode, read_yaml
from fabric.config.site import Site
from fabric.core.errors import BadConfig, Unavailable
from fabric.scheduler.machines import nodes_of
from fabric.scheduler.metering import Readings
from fabric.scheduler.ports import WantedCluster
from fabric.scheduler.snapshot import Node
from fabric.workloads.record import Slice


class LocalBackend(KeptClusters[Slices]):
    """Implements `fabric.scheduler.ports.Backend` with one Ray cluster per workload and one raylet per slice."""

    def __init__(self, site: Site, around: Surroundings) -> None:
        super().__init__(around)
        self._clusters = around.state / "clusters"
        self._nodes = nodes_of(site.tiers)
        pretending = {tier.name for tier in site.tiers if tier.pretend}
        self._pretend = {node.name: node.tier for node in self._nodes if node.tier in pretending}
        self._meter = ProcessMeter(str(around.state), Nvml())

    def start(self) -> None:
        """Adopt every cluster that an earlier fabric with the same state folder left."""
        self._clusters.mkdir(parents=True, exist_ok=True, mode=0o700)
        for layout in one_of_a_name(list(self._left())):
            slices = self._slices(layout)
            slices.adopt()
            self._keep_found(keeper_of(slices, self._around))

    def _left(self) -> Iterator[Layout]:
        """What is written down of clusters that an earlier fabric started."""
        for file in sorted(self._clusters.glob("*/cluster.json")):
            try:
                yield decode(Layout, read_yaml(file), str(file))
            except BadConfig:
                # Another version wrote it. It cannot be kept, and must not run on beside its workload's next attempt.
                _end_unread(file.parent, self._around.state)

    def close(self) -> None:
        """Nothing: keepers end with this process, and what they keep runs on."""

    def nodes(self) -> tuple[Node, ...]:
        """The pretend nodes of the site; on one machine they are always ready."""
        return self._nodes

    def measure(self, now: float) -> Mapping[str, Readings]:
        """What the processes of every cluster used since the last call; for one thread.

        Raises:
            Unavailable: If they cannot be looked at now.
        """
        with self._lock:
            layouts = [keeper.slices.layout for keeper in self._keepers.values() if not keeper.layout.warm]
        try:
            return self._meter.read(layouts, now, self._pretend)
        except OSError as error:
            raise Unavailable(f"processes cannot be looked at now: {error}. It is tried again.") from error

    def token(self, cluster: str) -> str | None:
        """The Ray token of a cluster, for those who may look into it."""
        keeper = self._keepers.get(cluster)
        file = folder_of(self._clusters, keeper.layout.mark if keeper else cluster) / "cluster.json"
        return decode(Layout, read_yaml(file), str(file)).token if file.exists() else None

    def _launch(self, wanted: WantedCluster) -> None:
        layout = self._layout(wanted)
        slices = self._slices(layout)
        try:
            slices.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not wanted.warm:
                self._around.logs.begin(wanted.workload, wanted.attempt)
            slices.write_down()
            slices.start(_launches(head_first(wanted.grant.slices), wanted, layout))
        except OSError as error:
            with contextlib.suppress(OSError):  # the same may keep us from looking; what is left goes with the next try
                slices.end(patience_s=0.0)
            raise Unavailable(f"{wanted.name} cannot be started now: {error}. It is tried again.") from error
        self._keep(keeper_of(slices, self._around, wanted))

    def _add(self, keeper: Keeper[Slices], added: Sequence[Slice], wanted: WantedCluster) -> None:
        taken = {port for other in self._layouts() for port in other.ports.values()}
        ports = free_ports(node_port_names(added), taken)
        gpu_ids = gpu_ids_by_slice(added, self._layouts(), self._devices())
        try:
            keeper.add(lambda layout: layout.with_slices(added, ports=ports, gpu_ids=gpu_ids))
            keeper.slices.start(_launches(added, wanted, keeper.slices.layout))
        except OSError:
            keeper.give_back([part.name for part in added if part.name in keeper.layout.slices])
            raise

    def _output(self, slices: Slices, head: RayHead) -> Output:
        return output_of(slices.layout, self._around)

    def _layout(self, wanted: WantedCluster) -> Layout:
        slices = head_first(wanted.grant.slices)
        key = hashlib.sha256(f"{self._around.state}/{wanted.name}".encode()).hexdigest()[:10]
        return Layout(
            name=wanted.name,
            workload=wanted.workload,
            attempt=wanted.attempt,
            token=secrets.token_hex(32),
            temp_dir=str(Path(tempfile.gettempdir()) / f"fabric-{key}"),
            ports=free_ports(port_names(slices), {port for other in self._layouts() for port in other.ports.values()}),
            slices=tuple(part.name for part in slices),
            nodes={part.name: part.node for part in slices},
            gpu_ids=gpu_ids_by_slice(slices, self._layouts(), self._devices()),
            amounts={part.name: amounts_of(part.resources) for part in slices},
            born=wanted.born,
            service=wanted.serve is not None,
            warm=wanted.warm,
        )

    def _layouts(self) -> list[Layout]:
        return [keeper.slices.layout for keeper in self._keepers.values()]

    def _devices(self) -> dict[str, int]:
        """Number of accelerators of each node."""
        return {node.name: node.capacity.gpus.count // 1000 for node in self.nodes()}

    def _slices(self, layout: Layout) -> Slices:
        return Slices(layout, folder_of(self._clusters, layout.mark), self._around.state)


def keeper_of(slices: Slices, around: Surroundings, wanted: WantedCluster | None = None) -> Keeper[Slices]:
    """What keeps a cluster of processes; None is wanted of one that an earlier fabric left."""
    layout = slices.layout
    head, output = RayHead(layout.dashboard_url, layout.token), output_of(layout, around)
    return Keeper(slices, around, wanted, head=head, output=output)


def output_of(layout: Layout, around: Surroundings) -> Output:
    """Where the output of a cluster's entrypoint comes from."""
    if layout.warm:
        return NoOutput()
    return DriverLog(around.logs, Path(layout.temp_dir), layout.name, key=(layout.workload, layout.attempt))


def _end_unread(folder: Path, state: Path) -> None:
    """End the processes of a cluster whose settings cannot be read, and forget it."""
    processes.end_all((f"{env.CLUSTER}={folder.name}", f"{env.STATE}={state}"), patience_s=5.0)
    shutil.rmtree(folder, ignore_errors=True)


def _launches(slices: Iterable[Slice], wanted: WantedCluster, layout: Layout) -> dict[str, NodeLaunch]:
    return {part.name: node_launch(part, wanted, layout, num_cores=os.cpu_count() or 1) for part in slices}
