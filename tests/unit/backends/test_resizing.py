"""A cluster grows and shrinks more than once in its life, and each slice that comes has all of its time to join."""

from pathlib import Path

import pytest

from fabric.scheduler.ports import Outcome, Phase
from tests.unit.backends.test_keeper import SECOND, Kept


class Clock:
    """An instant that moves when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def read(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("fabric.backends.keeping.keeper.time.monotonic", made.read)
    return made


RUNNING = (Phase.READY, Outcome.RUNNING)


def smaller(kept: Kept, generation: int) -> Kept:
    """After the second slice was given back and has gone."""
    kept.keeper.give_back([SECOND.name])
    kept.head.joined = {"workers-c0"}
    kept.ask(generation).turns()
    assert (kept.keeper.layout.slices, kept.keeper.view.generation) == (("workers-c0",), generation)
    return kept


def test_a_slice_that_was_given_back_and_comes_again_has_its_whole_time_to_join(tmp_path: Path, clock: Clock) -> None:
    kept = Kept(tmp_path).turns()
    kept.grow(SECOND)
    kept.ask(2, SECOND).turns(1)  # it was waited for once
    kept.head.joined = {"workers-c0", SECOND.name}
    smaller(kept.turns(), generation=3)
    clock.now_s += 400.0
    kept.grow(SECOND)
    assert kept.ask(4, SECOND).turns().seen == RUNNING
    clock.now_s += 299.0
    assert kept.turns().seen == RUNNING
    clock.now_s += 2.0
    assert kept.turns().seen == (Phase.BROKEN, Outcome.RUNNING)
    assert kept.keeper.view.problem == "slice workers-c1 did not join within 300 s"


def test_a_slice_that_is_given_back_before_it_has_joined_is_waited_for_no_more(tmp_path: Path, clock: Clock) -> None:
    kept = Kept(tmp_path).turns()
    kept.grow(SECOND)
    kept.ask(2, SECOND).turns()
    kept.slices.stubborn = {SECOND.name}
    kept.keeper.give_back([SECOND.name])
    kept.ask(3)
    clock.now_s += 301.0
    assert kept.turns(1).seen == RUNNING
    kept.slices.stubborn = set()
    assert kept.turns(1).keeper.view.generation == 3
    kept.grow(SECOND)
    assert kept.ask(4, SECOND).turns().seen == RUNNING


def test_an_adopted_service_answers_while_a_slice_still_joins(tmp_path: Path, clock: Clock) -> None:
    kept = Kept(tmp_path, adopted=True, replicas=1)
    kept.head.deployed = [1]
    kept.grow(SECOND)
    kept.head.joined = set()
    assert kept.ask(2, SECOND, replicas=2).turns().seen == (Phase.STARTING, Outcome.UNKNOWN), (
        "its first slice is awaited"
    )
    kept.head.joined = {"workers-c0"}
    assert kept.turns().seen == RUNNING
    assert (kept.keeper.view.endpoint, kept.keeper.view.generation) == (kept.slices.serve_url, 0)
    kept.head.joined = {"workers-c0", SECOND.name}
    kept.turns()
    assert (kept.head.deployed, kept.keeper.view.generation) == ([1, 2], 2)


def test_the_end_of_an_adopted_job_is_heard_while_a_slice_still_joins(tmp_path: Path, clock: Clock) -> None:
    kept = Kept(tmp_path, adopted=True)
    kept.grow(SECOND)
    kept.head.status = "SUCCEEDED"
    assert kept.ask(2, SECOND).turns().seen == (Phase.READY, Outcome.SUCCEEDED)


def test_a_slice_that_was_joining_when_control_restarted_and_never_does_is_named(tmp_path: Path, clock: Clock) -> None:
    kept = Kept(tmp_path, adopted=True)
    kept.grow(SECOND)
    kept.head.status = "RUNNING"
    assert kept.ask(2, SECOND).turns().seen == RUNNING
    clock.now_s += 301.0
    assert kept.turns().seen == (Phase.BROKEN, Outcome.RUNNING)
    assert kept.keeper.view.problem == "slice workers-c1 did not join within 300 s"
