"""The KubeRay backend keeps the contract with a real API server, the real operator and real Ray in real pods."""

import os
import signal
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.kuberay import names
from fabric.backends.kuberay.backend import KubeRayBackend
from fabric.backends.kuberay.kr8s_api import Kr8sApi
from fabric.backends.local import processes
from fabric.config import env
from fabric.config.load import load
from fabric.config.site import Site
from fabric.core.resources import Resources
from fabric.scheduler.ports import Backend, WantedCluster
from fabric.workloads.record import Grant
from scripts.rigging.api import Api, wait_until
from scripts.rigging.installing import USER, install, uninstall
from scripts.rigging.layout import layout
from tests.architecture.tree import ROOT
from tests.builders import FakeLogs, FakePackages, piece, wanted
from tests.cluster.pods import Namespace
from tests.contract.backend_contract import BackendContract

HEAD = piece("commodity-0", "head", Resources.of(1, 0, "2 GiB"), head=True)
WORKER = piece("gpu-0", resources=Resources.of(1, 1, "2 GiB"))
EMPTY_S = 60.0


class TestKubeRayBackend(BackendContract):
    """With pods of the rig."""

    patience_s = 240.0

    @pytest.fixture
    def backend(self, api: Api) -> Iterator[KubeRayBackend]:
        """A backend in a namespace of its own, with exactly the rights of the install; no object is left."""
        self._namespace = Namespace(api, f"test-{uuid.uuid4().hex[:8]}")
        install(api, self._namespace.name)
        with tempfile.TemporaryDirectory(prefix="fab-") as folder:
            made = self._started(Surroundings(Path(folder), FakeLogs(), FakePackages(), threading.Event()))
            yield made
            made.close()
        left = self._namespace.pods(), api.items(self._namespace.ray())
        self._namespace.empty()
        uninstall(api, self._namespace.name)
        assert left == ([], [])

    def _started(self, around: Surroundings) -> KubeRayBackend:
        site = load(Site, ROOT / "configs/sites/rig.yaml", [f"kubernetes.namespace={self._namespace.name}"])
        made = KubeRayBackend(site, around, Kr8sApi(self._namespace.name, str(layout().kubeconfig_of(USER))))
        made.start()
        return made

    def cluster(self, name: str, entrypoint: str) -> WantedCluster:
        """A head and one worker slice where a node can be lost, otherwise the head alone."""
        return wanted(name, *((HEAD, WORKER) if name.startswith("lost") else (HEAD,)), entrypoint=entrypoint)

    def more(self, wanted: WantedCluster) -> WantedCluster:
        """One slice more, on the other node."""
        return replace(wanted, generation=wanted.generation + 1, grant=Grant((*wanted.grant.slices, WORKER)))

    def restarted(self, backend: Backend) -> Backend:
        """Another backend of the same cluster; the threads of this one do nothing more."""
        assert isinstance(backend, KubeRayBackend)
        for keeper in backend._keepers.values():
            keeper.turn = lambda: None  # type: ignore[method-assign]
        return self._started(backend._around)

    def is_made_of(self, backend: Backend, wanted: WantedCluster) -> None:
        """Its pods too, each on the node of its slice, as the cluster itself tells it."""
        super().is_made_of(backend, wanted)
        granted = {part.name: part.node for part in wanted.grant.slices}
        wait_until(
            f"pods are on {granted}", lambda: self._placed() == granted, EMPTY_S, hint=lambda: str(self._placed())
        )

    def _placed(self) -> dict[str, str]:
        """Node of each slice, read from the pods."""
        pods = [pod for pod in self._namespace.pods() if "deletionTimestamp" not in pod["metadata"]]
        return {pod["metadata"]["annotations"][names.SLICE]: pod["spec"]["nodeName"] for pod in pods}

    def lose_a_node(self, backend: Backend, cluster: str) -> None:
        """Kill the worker's raylet, a process of this machine like all that runs in the rig's pods."""
        nodes = processes.marked((f"{env.CLUSTER}={cluster}", f"{env.SLICE}={WORKER.name}"))
        (raylet,) = [p for p in nodes if "/raylet/raylet " in processes.command(p)]
        os.kill(raylet.pid, signal.SIGKILL)
