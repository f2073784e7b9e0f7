"""How much of each tier was held over time, added up from the ledger."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from fabric.core.resources import Resources
from fabric.store.database import engine_at
from fabric.store.records import SqlRecords
from fabric.store.schema import METADATA
from fabric.workloads.record import Grant, Slice
from fabric.workloads.states import State
from tests.builders import job, record


class World:
    """A store with a clock of its own, and work on two tiers."""

    def __init__(self, engine: Engine) -> None:
        self.now = 0.0
        self.records = SqlRecords(engine, now=lambda: self.now)

    def give(self, name: str, *gpus: int, tier: str = "gpu") -> None:
        """Let work hold one slice for each number of accelerators from now on; nothing for none."""
        if name not in {each.name for each in self.records.list()}:
            self.records.submit(record(job(name), at=self.now))
        held = [Resources.of(1, count, "1 GiB") for count in gpus]
        slices = tuple(Slice(f"w-{i}", "w", f"{tier}-{i}", tier, 1, each) for i, each in enumerate(held))
        state, grant = (State.RUNNING, Grant(slices)) if slices else (State.QUEUED, None)
        self.records.save([replace(self.records.get(name), state=state, grant=grant)], [])

    def gpus(self, begins: float, step_s: float, tier: str = "gpu") -> tuple[float, list[float]]:
        """When the first step begins, and means in accelerators."""
        found = self.records.held_over_time(begins, self.now, step_s)
        return found.begins, [round(gpus / 1000, 6) for _, gpus, _ in found.tiers.get(tier, ())]


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


def test_what_was_held_is_the_mean_of_each_step(world: World) -> None:
    world.now = 10.0
    world.give("a", 2, 1)
    world.now = 15.0
    world.give("a")
    world.now = 40.0
    assert world.gpus(0.0, 10.0) == (10.0, [1.5, 0.0, 0.0])


def test_what_was_held_before_the_first_step_is_reckoned_back_from_the_present(world: World) -> None:
    world.give("long", 4)
    world.now = 1000.0
    world.give("short", 2)
    world.now = 1005.0
    world.give("short")
    world.now = 1008.0
    assert world.gpus(990.0, 10.0) == (990.0, [4.0, 5.25])


def test_tiers_are_told_apart_and_one_without_work_is_left_out(world: World) -> None:
    world.now = 5.0
    world.give("a", 0, tier="commodity")
    world.now = 15.0
    found = world.records.held_over_time(0.0, 15.0, 10.0)
    assert list(found.tiers) == ["commodity"]
    assert found.tiers["commodity"] == ((500.0, 0.0, 2.0**29), (1000.0, 0.0, 2.0**30))


def test_a_site_on_which_nothing_ever_ran_has_no_past(world: World) -> None:
    world.now = 100.0
    assert world.records.held_over_time(0.0, 100.0, 10.0).tiers == {}


def test_the_present_counts_as_long_as_it_has_lasted(world: World) -> None:
    world.now = 11.0
    world.give("a", 2)
    world.now = 12.0
    assert world.gpus(0.0, 10.0) == (10.0, [1.0])


def test_a_clock_that_went_back_makes_no_amount_negative(world: World) -> None:
    world.now = 50.0
    world.give("a", 2)
    world.now = 20.0
    world.give("b", 1)
    begins, means = world.gpus(0.0, 10.0)
    assert begins >= 0.0
    assert all(mean >= 0.0 for mean in means)


def test_a_time_that_has_not_begun_has_nothing(world: World) -> None:
    world.now = 10.0
    world.give("a", 2)
    world.now = 20.0
    assert world.records.held_over_time(30.0, 20.0, 10.0).tiers == {}


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    moves=st.lists(st.tuples(st.floats(0.0, 30.0), st.sampled_from("abc"), st.integers(0, 3)), max_size=12),
    begins=st.integers(0, 40),
    step_s=st.sampled_from([1.0, 7.0, 60.0]),
)
def test_means_times_their_steps_are_what_the_ledger_says_was_held(
    moves: list[tuple[float, str, int]], begins: int, step_s: float
) -> None:
    engine = engine_at("sqlite://")
    METADATA.create_all(engine)
    world = World(engine)
    world.now = 1.0
    for wait_s, name, gpus in moves:
        world.now += wait_s
        world.give(name, *([gpus] if gpus else []))
    world.now += 3.0
    found = world.records.held_over_time(float(begins), world.now, step_s)
    means = [gpus for _, gpus, _ in found.tiers.get("gpu", ())]
    ends = [min(found.begins + (i + 1) * step_s, world.now) for i in range(len(means))]
    starts = [found.begins + i * step_s for i in range(len(means))]
    added = sum(mean * (end - start) for mean, start, end in zip(means, starts, ends, strict=True))
    since = min(found.begins, world.now)
    spelt = sum(
        spell.holding.milli_gpus * (spell.ended - spell.began) for spell in world.records.spells(since, world.now)
    )
    assert added == pytest.approx(spelt, abs=1e-3)
    engine.dispose()
