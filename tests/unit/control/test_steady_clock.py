"""Time goes on evenly for the fabric, whatever is done to the clock of the machine."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.control.steady_clock import PACE, SteadyClock


class Machine:
    """A machine of which everything about time can be changed."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "clock.json"
        self.passed_s, self.wrong_s, self.boot = 50.0, 1e9, "first"

    def clock(self) -> SteadyClock:
        return SteadyClock(
            self.file, wall=lambda: self.passed_s + self.wrong_s, passed=lambda: self.passed_s, boot=self.boot
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_hour_more_on_the_wall_is_no_hour_of_anybodys_walltime(machine: Machine) -> None:
    clock = machine.clock()
    began = clock.now()
    machine.passed_s += 10.0
    machine.wrong_s += 3600.0
    assert clock.now() - began == pytest.approx(10.0 * (1 + PACE))


def test_an_hour_less_does_not_make_it_stand_still(machine: Machine) -> None:
    clock = machine.clock()
    began = clock.now()
    machine.passed_s += 10.0
    machine.wrong_s -= 3600.0
    assert clock.now() - began == pytest.approx(10.0 * (1 - PACE))


def test_it_comes_to_the_wall_clock_in_the_end_and_stays_with_it(machine: Machine) -> None:
    clock = machine.clock()
    machine.wrong_s += 60.0
    for _ in range(1000):
        machine.passed_s += 1.0
        clock.now()
    assert clock.now() == pytest.approx(machine.passed_s + machine.wrong_s)


def test_a_control_that_is_killed_when_the_clock_is_stepped_goes_on_from_where_it_was(machine: Machine) -> None:
    before = machine.clock().now()
    machine.wrong_s += 3600.0
    machine.passed_s += 5.0
    assert machine.clock().now() - before == pytest.approx(5.0)


@pytest.mark.parametrize("day_s", [86_400.0, -86_400.0])
def test_a_machine_that_knew_no_time_when_it_began_is_set_at_once(machine: Machine, day_s: float) -> None:
    clock = machine.clock()
    machine.wrong_s += day_s
    machine.passed_s += 1.0
    assert clock.now() == machine.passed_s + machine.wrong_s
    assert machine.clock().now() == clock.now(), "also after a kill"


def test_after_a_start_of_the_machine_the_wall_clock_is_right(machine: Machine) -> None:
    machine.clock()
    machine.wrong_s += 3600.0
    machine.boot = "second"
    assert machine.clock().now() == machine.passed_s + machine.wrong_s


@pytest.mark.parametrize("text", ["", "[]", '{"boot": "first"}', '{"boot": "first", "ahead_s": null}', "\x00"])
def test_a_file_that_cannot_be_read_is_as_good_as_none(machine: Machine, text: str) -> None:
    machine.file.write_text(text)
    assert machine.clock().now() == machine.passed_s + machine.wrong_s


def test_where_nothing_can_be_kept_it_goes_on(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "nowhere")
    clock = machine.clock()
    machine.wrong_s += 3600.0
    machine.passed_s += 100.0
    assert clock.now() < machine.passed_s + machine.wrong_s - 3000.0


def test_a_step_is_told_once_and_so_is_that_it_was_made_good(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clock = machine.clock()
    machine.wrong_s -= 30.0
    for _ in range(400):
        machine.passed_s += 1.0
        clock.now()
    assert caplog.messages == [
        "the clock of this machine was put back by 30 s; the fabric's comes to it at a tenth of its pace",
        "the fabric's clock has come to that of this machine",
    ]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-2e3, 2e3)), max_size=20))
def test_it_never_goes_back_nor_runs_more_than_a_tenth_off(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[float, float]]
) -> None:
    machine = Machine(tmp_path_factory.mktemp("clock"))
    clock = machine.clock()
    last = clock.now()
    for gone, step in events:
        machine.passed_s += gone
        machine.wrong_s += step
        now = clock.now()
        assert last + gone * (1 - PACE) - 1e-4 <= now <= last + gone * (1 + PACE) + 1e-4
        last = now
