"""Programs are kept running, with real processes."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fabric.cli import supervisor as module
from fabric.cli.supervisor import Program, Supervisor
from tests.unit.cli.test_processes import until

SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


class FakeClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


Make = Callable[..., Supervisor]


@pytest.fixture
def make(tmp_path: Path, said: list[str]) -> Iterator[Make]:
    """A supervisor of programs given as source, by name; all are gone afterwards."""
    made: list[Supervisor] = []

    def of(clock: Callable[[], float] = time.monotonic, **sources: str) -> Supervisor:
        programs = [
            Program(name, (sys.executable, "-IS", "-c", source), tmp_path / f"{name}.log", ends_all=name == "main")
            for name, source in sources.items()
        ]
        made.append(Supervisor(programs, said.append, clock))
        return made[-1]

    yield of
    for one in made:
        one.stop(0.0, hurry=lambda: True)


def ready(tmp_path: Path, *names: str) -> Callable[[], bool]:
    return lambda: all("ready" in (tmp_path / f"{name}.log").read_text() for name in names)


def test_programs_run_and_end_when_asked(make: Make, tmp_path: Path, said: list[str]) -> None:
    both = make(main=SLEEP, other=SLEEP)
    both.start()
    until(ready(tmp_path, "main", "other"))
    assert set(both.pids) == {"main", "other"}
    assert both.tend()
    assert both.ended() is None
    both.stop(10.0)
    assert (both.pids, said) == ({}, [])


def test_a_program_that_does_not_end_in_time_is_killed(make: Make, tmp_path: Path, said: list[str]) -> None:
    one = make(main=STUBBORN)
    one.start()
    until(ready(tmp_path, "main"))
    one.stop(0.1)
    assert (one.pids, said) == ({}, ["main did not end in time and is killed"])


def test_an_impatient_person_does_not_wait(make: Make, tmp_path: Path) -> None:
    one = make(main=STUBBORN)
    one.start()
    until(ready(tmp_path, "main"))
    began = time.monotonic()
    one.stop(60.0, hurry=lambda: True)
    assert time.monotonic() - began < 10


def test_a_program_that_was_killed_is_started_again_after_a_pause(
    make: Make, clock: FakeClock, tmp_path: Path, said: list[str]
) -> None:
    one = make(clock, main=SLEEP)
    one.start()
    first = one.pids["main"]
    until(ready(tmp_path, "main"))
    clock.now += 12
    os.kill(first, signal.SIGKILL)
    until(lambda: one.pids == {})
    assert one.tend()
    assert said == [f"main was ended by SIGKILL after 12 s; starting it again in 0.5 s; log: {tmp_path}/main.log"]
    assert one.tend()
    assert one.pids == {}, "the pause is not over"
    clock.now += 0.5
    assert one.tend()
    assert one.pids["main"] != first


@pytest.mark.slow
def test_pauses_grow_with_each_death_and_are_forgotten_after_a_long_life(
    make: Make, clock: FakeClock, said: list[str]
) -> None:
    one = make(clock, main="raise SystemExit('no database')")
    one.start()

    def dies_after(life_s: float) -> str:
        until(lambda: one.pids == {})
        clock.now += life_s
        one.tend()
        clock.now += module.LONGEST_PAUSE_S
        one.tend()
        return said[-1]

    for pause in ("0.5", "1", "2", "4", "8", "16", "30", "30"):
        assert f"ended with code 1 after 1 s (no database); starting it again in {pause} s" in dies_after(1)
    assert "starting it again in 0.5 s" in dies_after(module.STEADY_S)


def test_a_main_program_that_ends_well_ends_everything_and_another_does_not(make: Make, clock: FakeClock) -> None:
    main, other = make(clock, main="pass"), make(clock, other="pass")
    for one in (main, other):
        one.start()
        until(lambda one=one: one.pids == {})  # type: ignore[misc]
    assert not main.tend()
    assert other.tend()


def test_what_ended_early_is_told_with_its_last_words(make: Make, tmp_path: Path) -> None:
    (tmp_path / "main.log").write_text("words of an earlier life\n")
    one = make(main="import sys; sys.stderr.write('trying\\nport 1 is in use\\n\\n'); sys.exit(3)")
    one.start()
    until(lambda: one.ended() is not None)
    ended = one.ended()
    assert ended is not None
    assert (ended.code, ended.how, ended.last_words) == (3, "ended with code 3", "port 1 is in use")


def test_a_program_that_says_nothing_has_no_last_words(make: Make, tmp_path: Path) -> None:
    (tmp_path / "main.log").write_text("words of an earlier life\n")
    one = make(main="pass")
    one.start()
    until(lambda: one.ended() is not None)
    ended = one.ended()
    assert ended is not None
    assert ended.last_words == ""


def test_a_log_that_has_grown_large_is_put_aside(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_LOG_BYTES", 10)
    (tmp_path / "main.log").write_text("x" * 11)
    one = make(main=SLEEP)
    one.start()
    until(ready(tmp_path, "main"))
    assert (tmp_path / "main.log.1").read_text() == "x" * 11
    assert (tmp_path / "main.log").read_text() == "ready\n"
