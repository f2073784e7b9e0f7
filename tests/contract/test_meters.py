"""Every backend measures as the contract says; processes, accelerators and API server are in memory."""

import threading
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.kuberay.backend import NOT_MEASURED, KubeRayBackend
from fabric.backends.local import processes
from fabric.backends.local.backend import LocalBackend, keeper_of
from fabric.backends.local.metering import ProcessMeter
from fabric.backends.local.slices import Slices
from fabric.core.errors import Unavailable
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources
from fabric.scheduler.metering import Reading, Readings
from fabric.scheduler.ports import ClusterView, Phase
from tests.builders import FakeLogs, FakePackages, piece, tiny_site, wanted
from tests.contract.meter_contract import CLUSTER, MeterContract
from tests.fake_api_server import FakeApiServer
from tests.fake_backend import FakeBackend
from tests.fake_proc import FakeProc, marks
from tests.unit.backends.test_kuberay_manifest import pods_site
from tests.unit.backends.test_local import layout

HEAD = piece("c0", head=True)
TRAINERS = piece("g0", "trainers", Resources.of(4, 2, "4 GiB"))


def around(folder: Path) -> Surroundings:
    return Surroundings(folder, FakeLogs(), FakePackages(), threading.Event())


class TestFakeMeter(MeterContract):
    """In memory."""

    @pytest.fixture
    def meter(self) -> FakeBackend:
        """One cluster, all of it measured, and what was said of one that is gone."""
        backend = FakeBackend()
        backend.realise(wanted(CLUSTER, HEAD, TRAINERS))
        read = Reading(115.0, 15.0, MilliCpus(300), Bytes(2**20), ())
        busy = Reading(115.0, 15.0, MilliCpus(300), Bytes(2**20), (MilliGpus(900), MilliGpus(0)))
        whole = Readings({HEAD.name: read, TRAINERS.name: busy})
        backend.readings = {CLUSTER: whole, "gone-1": whole}
        return backend


class FakeAccelerators:
    """Two devices that were busy for so long, or nothing that counts it."""

    def __init__(self, *shares: int) -> None:
        self.shares = shares

    def busy(self) -> Mapping[int, MilliGpus]:
        if not self.shares:
            raise Unavailable("there is no driver")
        return dict(enumerate(map(MilliGpus, self.shares)))


class LocalMeterContract(MeterContract):
    """Processes of this machine, as a folder shows them."""

    shares: tuple[int, ...] = ()
    pretend = False

    @pytest.fixture
    def meter(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalBackend:
        """A cluster of two slices with a process on each; another fabric's are beside it."""
        monkeypatch.setattr(processes, "_PROC", tmp_path / "proc")
        proc = FakeProc(tmp_path / "proc")
        proc.runs(10, environment=marks(tmp_path))
        proc.runs(11, environment=marks(tmp_path, part=TRAINERS.name))
        proc.runs(12, environment=marks("/another"))
        backend = LocalBackend(tiny_site(), around(tmp_path))
        keeper = keeper_of(Slices(layout(HEAD, TRAINERS), tmp_path, tmp_path), backend._around)
        backend._keepers[CLUSTER] = keeper
        seconds = count(0.0, 15.0)
        backend._meter = ProcessMeter(str(tmp_path), FakeAccelerators(*self.shares), lambda: next(seconds))
        backend._pretend = {"g0": "gpu"} if self.pretend else {}
        assert backend.measure(100.0) == {}
        proc.runs(10, busy_s=4.5, memory_bytes=2**20)
        proc.runs(12, busy_s=15.0)
        return backend


class TestLocalWithCounters(LocalMeterContract):
    """Two devices that can be asked."""

    shares = (900, 0)

    def test_what_each_slice_used_is_told_by_resource(self, found: Readings) -> None:
        assert found == Readings({
            HEAD.name: Reading(115.0, 15.0, MilliCpus(300), Bytes(2**20), ()),
            TRAINERS.name: Reading(115.0, 15.0, MilliCpus(0), Bytes(0), (MilliGpus(900), MilliGpus(0))),
        })  # fmt: skip


class TestLocalWithoutDriver(LocalMeterContract):
    """Real devices that nothing here counts."""

    def test_the_reason_is_told(self, found: Readings) -> None:
        assert found.unmeasured == ("accelerators are not measured: there is no driver",)
        assert found.slices[TRAINERS.name].gpus is None


class TestLocalPretending(LocalMeterContract):
    """Devices that are only counted."""

    shares, pretend = (900, 900), True

    def test_pretend_accelerators_have_no_counter_even_where_real_ones_are(self, found: Readings) -> None:
        assert found.slices[TRAINERS.name].gpus is None
        assert "tier gpu are only counted (pretend)" in found.unmeasured[0]


class TestKubeRay(MeterContract):
    """Pods, which are within nobody's rights to measure."""

    @pytest.fixture
    def meter(self, tmp_path: Path) -> KubeRayBackend:
        """A backend that keeps one cluster."""
        backend = KubeRayBackend(pods_site(), around(tmp_path), FakeApiServer())
        kept: Any = SimpleNamespace(
            done=False, view=ClusterView(CLUSTER, Phase.READY), layout=SimpleNamespace(warm=False)
        )
        backend._keepers[CLUSTER] = kept
        return backend

    def test_it_says_which_right_is_missing_and_reads_nothing(self, found: Readings) -> None:
        assert found == Readings(unmeasured=(NOT_MEASURED,))
