"""The local backend keeps the contract with real Ray processes."""

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.local import processes
from fabric.backends.local.backend import LocalBackend
from fabric.backends.local.layout import Layout, folder_of
from fabric.backends.local.ports import free_ports
from fabric.config import env
from fabric.config.load import decode, read_yaml
from fabric.core.resources import Resources
from fabric.scheduler.ports import Backend, WantedCluster
from fabric.workloads.record import Grant
from tests.builders import FakeLogs, FakePackages, piece, tiny_site, wanted
from tests.contract.warm_contract import WarmContract


def test_every_port_that_is_handed_out_is_different() -> None:
    ports = free_ports([str(number) for number in range(40)])
    assert len(set(ports.values())) == len(ports)


class TestLocalBackend(WarmContract):
    """With raylets."""

    patience_s = 120.0
    knows_itself = 'test "$FABRIC_WORKLOAD" = late'

    @pytest.fixture
    def backend(self) -> Iterator[LocalBackend]:
        """A backend in a folder of its own; no process is left."""
        with tempfile.TemporaryDirectory(prefix="fab-") as folder:
            around = Surroundings(Path(folder), FakeLogs(), FakePackages(), threading.Event())
            made = LocalBackend(tiny_site(), around)
            made.start()
            yield made
            assert processes.marked((f"{env.STATE}={folder}",)) == []

    def cluster(self, name: str, entrypoint: str) -> WantedCluster:
        """A head and one worker slice where a node can be lost, otherwise the head alone."""
        head = piece("commodity-0", "head", Resources.of(1, 0, "1 GiB"), head=True)
        worker = piece("gpu-0", resources=Resources.of(1, 1, "1 GiB"))
        return wanted(
            name,
            *((head, worker) if name.startswith("lost") else (piece("commodity-0", head=True),)),
            entrypoint=entrypoint,
        )

    def more(self, wanted: WantedCluster) -> WantedCluster:
        """One slice more, on the other node."""
        more = piece("gpu-0", resources=Resources.of(1, 1, "1 GiB"))
        return replace(wanted, generation=wanted.generation + 1, grant=Grant((*wanted.grant.slices, more)))

    def restarted(self, backend: Backend) -> Backend:
        """Another backend on the same folder; the threads of this one do nothing more."""
        assert isinstance(backend, LocalBackend)
        for keeper in backend._keepers.values():
            keeper.turn = lambda: None  # type: ignore[method-assign]
        again = LocalBackend(tiny_site(), backend._around)
        again.start()
        return again

    def is_made_of(self, backend: Backend, wanted: WantedCluster) -> None:
        """Its processes too."""
        super().is_made_of(backend, wanted)
        assert isinstance(backend, LocalBackend)
        mark = f"{env.CLUSTER}={wanted.name}"
        marked = processes.marked((mark, f"{env.STATE}={backend._around.state}"))
        raylets = [p for p in marked if "/raylet/raylet " in processes.command(p)]
        assert len(raylets) == len(wanted.grant.slices)
        layout = backend._keepers[wanted.name].layout
        written = folder_of(backend._clusters, wanted.name) / "cluster.json"
        assert decode(Layout, read_yaml(written), str(written)) == layout

    def lose_a_node(self, backend: Backend, cluster: str) -> None:
        """Kill the worker's raylet."""
        nodes = processes.marked((f"{env.CLUSTER}={cluster}", f"{env.SLICE}=workers-gpu-0"))
        (raylet,) = [p for p in nodes if "/raylet/raylet " in processes.command(p)]
        os.kill(raylet.pid, signal.SIGKILL)
