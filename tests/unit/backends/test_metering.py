"""What processes and accelerators are counted to have used, and whose it is."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fabric.backends.local import processes
from fabric.backends.local.metering import ProcessMeter
from fabric.backends.local.nvml import Nvml
from fabric.core.errors import Unavailable
from fabric.core.quantity import MilliGpus
from fabric.core.resources import Resources
from fabric.scheduler.metering import Reading
from fabric.workloads.record import Slice
from tests.builders import piece
from tests.contract.test_meters import FakeAccelerators
from tests.fake_proc import FakeProc, marks
from tests.unit.backends.test_local import layout

STATE = "/state"
HEAD = piece("c0", head=True)


class Machine:
    """A fake `/proc` and a meter on it that looks every ten seconds."""

    def __init__(self, folder: Path, *shares: int) -> None:
        self.proc = FakeProc(folder)
        seconds = count(0.0, 10.0)
        self.meter = ProcessMeter(STATE, FakeAccelerators(*shares), lambda: next(seconds))

    def look(self, *parts: Slice) -> dict[str, Reading]:
        """What is read of a cluster of these slices."""
        found = self.meter.read([layout(*(parts or (HEAD,)))], 50.0, {})
        return dict(found["w-1"].slices) if found else {}

    def cpus(self) -> int:
        """Thousandths of cores that its only slice used since the last look."""
        cpus = self.look()[HEAD.name].cpus
        assert cpus is not None
        return cpus.count


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    return Machine(tmp_path, 500, 1000)


def test_time_before_the_first_look_is_not_counted(machine: Machine) -> None:
    machine.proc.runs(10, busy_s=1000.0, environment=marks(STATE))
    assert machine.look() == {}
    machine.proc.runs(10, busy_s=1005.0)
    assert machine.cpus() == 500


def test_rays_own_processes_are_not_counted(machine: Machine) -> None:
    machine.proc.runs(10, command="python ray_node.py c.json", environment=marks(STATE))
    machine.look()
    machine.proc.runs(10, busy_s=9.0, memory_bytes=2**30, command="python ray_node.py c.json")
    assert (machine.cpus(), machine.look()[HEAD.name].memory) == (0, machine.look()[HEAD.name].memory)
    assert str(machine.look()[HEAD.name].memory) == "0 B"


def test_what_emptied_its_environment_is_found_by_descent(machine: Machine) -> None:
    machine.proc.runs(10, command="/raylet/raylet", environment=marks(STATE))
    machine.look()
    machine.proc.runs(11, parent=10, busy_s=2.0, environment={"LANG": "C"})
    machine.proc.runs(12, parent=11, busy_s=3.0, environment={"LANG": "C"})
    machine.proc.runs(13, parent=1, busy_s=5.0, environment={"LANG": "C"})
    assert machine.cpus() == 500


def test_a_child_that_ended_counts_once_for_what_it_did_in_all(machine: Machine) -> None:
    machine.proc.runs(10, environment=marks(STATE))
    machine.look()
    machine.proc.runs(11, parent=10, busy_s=4.0, environment=marks(STATE))
    assert machine.cpus() == 400
    machine.proc.ends(11)
    machine.proc.runs(10, ended_s=7.0)
    assert machine.cpus() == 300, "four of its seven seconds were counted while it lived"
    assert machine.cpus() == 0


def test_an_end_that_nobody_waited_for_takes_nothing_from_the_others(machine: Machine) -> None:
    machine.proc.runs(10, environment=marks(STATE))
    machine.proc.runs(11, parent=10, busy_s=1000.0, environment=marks(STATE))
    machine.look()
    machine.proc.ends(11)
    machine.proc.runs(10, busy_s=6.0)
    assert machine.cpus() == 600


def test_processes_between_two_looks_are_counted_where_somebody_waited_for_them(machine: Machine) -> None:
    machine.proc.runs(10, environment=marks(STATE))
    machine.look()
    machine.proc.runs(10, busy_s=1.0, ended_s=8.0)
    assert machine.cpus() == 900


def test_a_part_of_a_device_and_devices_without_counter_are_not_guessed(machine: Machine) -> None:
    half = piece("g0", "half", Resources.of(1, 0.5, "1 GiB"))
    machine.look(half)
    found = machine.meter.read([layout(half)], 50.0, {})["w-1"]
    assert found.slices["half-g0"].gpus is None
    assert found.unmeasured == ("slice half-g0 has a part of a device, whose counter is that of all who share it",)
    machine.meter._accelerators = FakeAccelerators(500)
    both = piece("g0", "both", Resources.of(1, 2, "1 GiB"))
    assert machine.meter.read([layout(both)], 60.0, {})["w-1"].unmeasured == (
        "accelerators 0, 1 have no counter here",
    )  # fmt: skip


def test_accelerators_are_asked_once_however_many_slices_hold_some(machine: Machine) -> None:
    asked: list[int] = []
    counters = FakeAccelerators(500, 1000)
    machine.meter._accelerators = counters
    counters.busy = lambda: asked.append(1) or {0: MilliGpus(500), 1: MilliGpus(1000)}  # type: ignore[method-assign,func-returns-value]
    parts = [piece("g0", name, Resources.of(1, 1, "1 GiB")) for name in ("a", "b")]
    machine.look(*parts)
    found = machine.look(*parts)
    assert [found[f"{name}-g0"].gpus for name in ("a", "b")] == [(MilliGpus(500),), (MilliGpus(1000),)]
    assert asked == [1]
    machine.look()
    assert asked == [1], "nobody holds any"


class FakeLibrary:
    """What the driver's library answers: samples of each device, by the instant at which they were taken."""

    def __init__(self, *devices: dict[int, int] | int) -> None:
        self.devices = list(devices)
        """Samples in percent by microsecond; or the number of a refusal."""
        self.begun = 0

    def nvmlInit_v2(self) -> int:
        self.begun += 1
        return 0

    def nvmlDeviceGetCount_v2(self, number: Any) -> int:
        number._obj.value = len(self.devices)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, device: Any) -> int:
        device._obj.value = index.value + 1
        return 0

    def nvmlDeviceGetSamples(self, device: Any, what: int, since: Any, kind: Any, number: Any, into: Any) -> int:
        known = self.devices[device.value - 1]
        if isinstance(known, int):
            return known
        newer = [(at, value) for at, value in sorted(known.items()) if at > since.value]
        for place, (at, value) in enumerate(newer):
            into[place].at_us, into[place].value.of_whole = at, value
        kind._obj.value, number._obj.value = 1, len(newer)
        return 0 if newer else 6

    def nvmlDeviceGetUtilizationRates(self, device: Any, rates: Any) -> int:
        rates._obj.busy = 42
        return 0


def nvml(library: FakeLibrary) -> Nvml:
    load: Callable[[str], Any] = lambda name: library  # noqa: E731 - a loader
    return Nvml(load)


def test_accelerators_tell_the_mean_of_what_was_sampled_since_the_last_question() -> None:
    library = FakeLibrary({1: 100, 2: 50, 3: 0}, {1: 0})
    counters = nvml(library)
    assert counters.busy() == {0: MilliGpus(500), 1: MilliGpus(0)}
    library.devices = [{3: 0, 4: 80}, {1: 0, 9: 33}]
    assert counters.busy() == {0: MilliGpus(800), 1: MilliGpus(330)}
    assert library.begun == 1


def test_a_device_without_samples_tells_its_present_share_and_one_that_refuses_is_left_out() -> None:
    assert nvml(FakeLibrary({}, 3, 15)).busy() == {0: MilliGpus(420), 1: MilliGpus(420)}


def test_a_machine_without_the_driver_says_so() -> None:
    def missing(name: str) -> Any:
        raise OSError(name)

    with pytest.raises(Unavailable, match="is not on this machine"):
        Nvml(missing).busy()
