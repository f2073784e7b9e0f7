"""Who failed is left alone for a while, ever longer, until something about it changes; so is who was asked just now."""

from dataclasses import replace

from fabric.scheduler.patience import ASK_AGAIN_S, ASK_SELDOM_S, FIRST_S, LONGEST_S, Asked, Patience
from fabric.scheduler.ports import ClusterView, Phase
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


def test_the_same_is_asked_again_only_after_a_while_and_news_of_either_side_are_asked_at_once() -> None:
    asked, absent, begun = Asked(), ClusterView("a-1", Phase.ABSENT), ClusterView("a-1", Phase.STARTING)
    assert asked.is_due(STARTING, absent, 10.0)
    assert not asked.is_due(STARTING, ClusterView("a-1", Phase.ABSENT), 10.5)
    assert asked.is_due(OTHER, absent, 10.5)
    assert asked.is_due(STARTING, begun, 10.5)
    assert asked.is_due(replace(STARTING, message="told"), begun, 10.5)
    same = replace(STARTING, message="told again")
    assert [asked.is_due(same, begun, at) for at in (11.0, 11.5, 11.0 + ASK_AGAIN_S)] == [True, False, True]
    asked.forget("a")
    assert asked.is_due(same, begun, 11.0 + ASK_AGAIN_S)


def test_the_longer_there_is_no_news_the_more_seldom_the_same_is_asked_and_no_more_seldom_than_that() -> None:
    asked, view = Asked(), ClusterView("a-1", Phase.STARTING)
    asks = [at for at in range(40) if asked.is_due(STARTING, view, float(at))]
    assert asks == [0, 1, 3, 7, 15, 23, 31, 39]
    assert ASK_SELDOM_S == asks[-1] - asks[-2]


def test_a_clock_that_goes_back_keeps_nobody_from_being_asked() -> None:
    asked, view = Asked(), ClusterView("a-1", Phase.STARTING)
    assert asked.is_due(STARTING, view, 1000.0)
    assert asked.is_due(STARTING, view, 10.0)
