"""The backend of sleeping processes keeps the contract that the real ones keep."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.local import processes
from fabric.config import env
from fabric.config.site import Capacity, Site, Tier
from fabric.scheduler.ports import Backend
from tests.builders import FakeLogs, FakePackages
from tests.contract.backend_contract import BackendContract
from tests.fake_ray import FakeRayBackend

SITE = Site(name="c", tiers=(Tier(name="c", nodes=2, capacity=Capacity(cpus=4.0, memory="4 GiB"), heads=True),))


class TestFakeRayBackend(BackendContract):
    """Real processes that sleep."""

    patience_s = 20.0
    shared: Surroundings

    @pytest.fixture
    def around(self, tmp_path: Path) -> Surroundings:
        """A folder of its own."""
        return Surroundings(tmp_path, FakeLogs(), FakePackages(), threading.Event())

    @pytest.fixture
    def backend(self, around: Surroundings) -> Iterator[FakeRayBackend]:
        """A fresh one."""
        self.shared = around
        backend = FakeRayBackend(SITE, around)
        backend.start()
        yield backend
        later = self.restarted(backend)
        for name in later.observe():
            later.remove(name)
        assert processes.marked((f"{env.STATE}={around.state}",)) == []

    def restarted(self, backend: Backend) -> FakeRayBackend:
        """Another that finds the processes."""
        later = FakeRayBackend(SITE, self.shared)
        later.start()
        return later

    def lose_a_node(self, backend: Backend, cluster: str) -> None:
        """Kill the process of one slice: the shell itself and not what it may just have forked."""
        shells = [
            p
            for p in processes.marked((f"{env.STATE}={self.shared.state}", f"{env.CLUSTER}={cluster}"))
            if processes.command(p).startswith("sh -c \ncd")
        ]
        os.kill(min(shells, key=lambda p: (p.started, p.pid)).pid, signal.SIGKILL)
