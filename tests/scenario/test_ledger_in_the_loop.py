"""The loop, the store and the ledger together: use is the integral of grants over kills, and budgets hold."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from fabric.config.budgets import Budget
from fabric.config.projects import Project
from fabric.control.budgets import Budgets
from fabric.scheduler.loop import Loop, Settings
from fabric.scheduler.policy import Policy
from fabric.scheduler.quota import tree
from fabric.simulator.records import SimulatedBlueprint
from fabric.store.database import engine_at
from fabric.store.records import SqlRecords
from fabric.store.schema import METADATA
from fabric.workloads.states import State
from tests.builders import HEAD, group, job, record, tiny_site
from tests.fake_backend import FakeBackend
from tests.scenario.test_loop import FakeClock

HOUR = 3600.0
START = 1_750_000_000.0


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = engine_at("sqlite://")
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


class Fabric:
    """Everything but processes; `kill` forgets all that was not written."""

    def __init__(self, engine: Engine, *projects: Project) -> None:
        self.clock, self.backend, self.projects = FakeClock(START), FakeBackend(), projects
        self.records = SqlRecords(engine, now=self.clock.now)
        self.budgets = Budgets(tiny_site(projects=projects), self.records)
        self.kill()

    def kill(self) -> None:
        settings = Settings(head=HEAD, grace_s=1.0, policy=Policy(), tree=tree(self.projects))
        self.loop = Loop(
            self.records, self.backend, SimulatedBlueprint(), clock=self.clock, settings=settings,
            decider=self.budgets.planned,
        )  # fmt: skip

    def submit(self, name: str, project: str = "alpha", entrypoint: str = "wait", **more: object) -> None:
        wants = job(name, entrypoint, group("t", 1, "gpu", gpus=1.0), project=project, **more)
        self.records.submit(record(wants, at=self.clock.at))

    def steps(self, pause_s: float) -> None:
        for later in itertools.repeat(pause_s / 4, 4):
            self.clock.at += later
            self.loop.step()

    def state(self, name: str) -> State:
        return self.records.get(name).state

    @property
    def held_gpus(self) -> float:
        grants = [r.grant for r in self.records.active().values() if r.grant is not None and r.state.holds_grant]
        return sum(part.resources.gpus.whole() for grant in grants for part in grant.slices)


def test_the_ledger_is_the_integral_of_grants_over_kills_of_the_loop(engine: Engine) -> None:
    fabric = Fabric(engine)
    integral, then = 0.0, START
    for turn in range(12):
        fabric.submit(f"w{turn}", entrypoint="true" if turn % 3 == 0 else "wait")
        if turn % 4 == 3:
            fabric.records.request_stop(f"w{turn - 2}", "enough")
        if turn == 6:
            fabric.backend.lose("w1-1") if "w1-1" in fabric.backend.views else None
        if turn % 5 == 2:
            fabric.kill()
            assert fabric.records.reconcile() == ()
        for _ in range(4):
            fabric.clock.at += 7.0
            integral += fabric.held_gpus * (fabric.clock.at - then)
            then = fabric.clock.at
            fabric.loop.step()
    assert integral > 0
    used = sum(s.holding.milli_gpus / 1000 * (s.ended - s.began) for s in fabric.records.spells(START, then))
    assert used == pytest.approx(integral)


def test_work_over_budget_waits_with_the_reason_until_the_period_begins_anew(engine: Engine) -> None:
    fabric = Fabric(engine, Project(name="alpha", budget=Budget(gpu_hours=1.0, every="day")), Project(name="beta"))
    fabric.submit("first")
    fabric.steps(2 * HOUR)
    fabric.submit("second")
    fabric.submit("theirs", project="beta")
    fabric.steps(8.0)
    assert (fabric.state("first"), fabric.state("second")) == (State.RUNNING, State.QUEUED)
    assert fabric.state("theirs") is State.RUNNING
    assert "the budget of project alpha is used up until 2025-06-16 00:00 UTC" in fabric.records.get("second").waits_for
    fabric.records.request_stop("first", "enough")
    fabric.steps(8.0)
    assert fabric.state("second") is State.QUEUED
    fabric.clock.at = Budget(gpu_hours=1.0, every="day").period(START)[1]
    fabric.steps(8.0)
    assert fabric.state("second") is State.RUNNING


def test_a_project_that_is_made_while_the_loop_runs_gets_its_turn(engine: Engine) -> None:
    fabric = Fabric(engine, Project(name="alpha"))
    fabric.submit("new", project="gamma")
    fabric.steps(8.0)
    assert fabric.state("new") is State.QUEUED
    fabric.loop.use(replace(fabric.loop.settings, tree=tree((Project(name="alpha"), Project(name="gamma")))))
    fabric.steps(8.0)
    assert fabric.state("new") is State.RUNNING
