"""Who failed is left alone for a while, ever longer, until something about it changes."""

from dataclasses import replace

from fabric.scheduler.patience import FIRST_S, LONGEST_S, Patience
from fabric.workloads.states import State
from tests.builders import job, record

STARTING, OTHER = record(job("a"), State.STARTING), record(job("b"), State.STARTING)


def test_each_failure_doubles_the_pause_up_to_the_longest() -> None:
    patience, now, pauses = Patience(), 0.0, []
    for _ in range(8):
        patience.failed(STARTING, now)
        later = now
        while not patience.allows(STARTING, later):
            later += 1.0
        pauses.append(later - now)
        now = later
    assert pauses == [FIRST_S, 4.0, 8.0, 16.0, 32.0, LONGEST_S, LONGEST_S, LONGEST_S]


def test_others_and_another_state_of_the_same_are_tried_at_once() -> None:
    patience = Patience()
    patience.failed(STARTING, 0.0)
    assert not patience.allows(STARTING, 1.0)
    assert patience.allows(OTHER, 1.0)
    stopping = replace(STARTING, state=State.STOPPING)
    assert patience.allows(stopping, 1.0)
    patience.failed(stopping, 1.0)
    assert patience.allows(stopping, 1.0 + FIRST_S)


def test_a_success_makes_the_next_pause_the_first() -> None:
    patience = Patience()
    for at in (0.0, 2.0, 6.0):
        patience.failed(STARTING, at)
    patience.succeeded(STARTING)
    patience.failed(STARTING, 20.0)
    assert patience.allows(STARTING, 20.0 + FIRST_S)


def test_what_was_over_long_ago_is_forgotten() -> None:
    patience = Patience()
    for at in (0.0, 2.0, 6.0):
        patience.failed(STARTING, at)
    patience.failed(OTHER, 1000.0)
    patience.failed(STARTING, 1001.0)
    assert patience.allows(STARTING, 1001.0 + FIRST_S)


def test_a_clock_that_is_set_back_makes_no_pause_longer() -> None:
    patience = Patience()
    patience.failed(STARTING, 7_200.0)
    assert not patience.allows(STARTING, 7_200.0)
    assert patience.allows(STARTING, 3_600.0)
    patience.failed(STARTING, 3_600.0)
    assert not patience.allows(STARTING, 3_603.9)
    assert patience.allows(STARTING, 3_604.0)
