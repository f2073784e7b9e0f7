"""Arrays through interface, store and loop: elements run by themselves, and what comes after waits for all of them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from fabric.control.callers import LOCAL_ADMIN
from fabric.scheduler.loop import Loop, Settings
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import Outcome
from fabric.simulator.records import SimulatedBlueprint
from fabric.store.database import engine_at
from fabric.store.schema import METADATA
from fabric.workloads.spec import WorkloadSpec
from fabric.workloads.states import State
from tests.builders import HEAD
from tests.fake_backend import FakeBackend
from tests.unit.control.world import World


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = engine_at("sqlite://")
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


class Day:
    """A service whose loop is turned by the test."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.world, self.backend = World(folder, engine), FakeBackend()
        settings = Settings(head=HEAD, grace_s=1.0, policy=Policy())
        self.loop = Loop(
            self.world.records, self.backend, SimulatedBlueprint(), clock=self.world.clock, settings=settings
        )

    def steps(self) -> "Day":
        for _ in range(6):
            self.world.clock.at += 1.0
            self.loop.step()
        return self

    def ends(self, name: str, outcome: Outcome) -> "Day":
        """Let the entrypoint of a workload end."""
        cluster = self.world.records.get(name).cluster
        self.backend.views[cluster] = replace(self.backend.views[cluster], outcome=outcome, logs_complete=True)
        return self.steps()

    def states(self, *names: str) -> list[State]:
        return [self.world.records.get(name).state for name in names]


@pytest.fixture
def day(tmp_path: Path, engine: Engine) -> Day:
    day = Day(tmp_path, engine)
    day.world.array("sweep", 2)
    day.world.service.submit(WorkloadSpec(name="sum", entrypoint="wait", after=("sweep",)), LOCAL_ADMIN)
    return day.steps()


@pytest.mark.slow
def test_what_comes_after_an_array_starts_once_every_element_has_succeeded(day: Day) -> None:
    assert day.states("sweep.0", "sweep.1", "sum") == [State.RUNNING, State.RUNNING, State.QUEUED]
    day.ends("sweep.1", Outcome.SUCCEEDED)
    assert day.states("sweep.0", "sweep.1", "sum") == [State.RUNNING, State.SUCCEEDED, State.QUEUED]
    assert "sweep.0" in day.world.records.get("sum").waits_for
    day.ends("sweep.0", Outcome.SUCCEEDED)
    assert day.states("sum") == [State.RUNNING]
    assert day.world.service.arrays.get("sweep", LOCAL_ADMIN).state == "succeeded"


def test_an_element_that_fails_takes_along_what_comes_after_and_no_other_element(day: Day) -> None:
    day.ends("sweep.0", Outcome.FAILED)
    assert day.states("sweep.0", "sweep.1", "sum") == [State.FAILED, State.RUNNING, State.FAILED]
    assert "comes after sweep.0, which failed" in day.world.records.get("sum").message


def test_an_array_is_stopped_by_the_loop(day: Day) -> None:
    day.world.service.arrays.stop("sweep", LOCAL_ADMIN)
    day.steps().steps()
    assert day.states("sweep.0", "sweep.1") == [State.CANCELLED, State.CANCELLED]
    day.world.service.delete("sum", LOCAL_ADMIN)
    day.world.service.arrays.delete("sweep", LOCAL_ADMIN)
    assert day.world.records.list() == ()
