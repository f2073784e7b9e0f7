"""Whole looks turned into changes."""

from fabric.scheduler.ports import ClusterView, Outcome, Phase
from fabric.scheduler.sightings import Sightings

A, B = ClusterView("a-1", Phase.READY), ClusterView("b-1", Phase.STARTING)
GONE = ClusterView("a-1", Phase.ABSENT)


def test_only_what_changed_is_told_and_only_once() -> None:
    looks = Sightings()
    first = looks.since(0, {"a-1": A, "b-1": B})
    assert first.views == {"a-1": A, "b-1": B}
    assert looks.since(first.cursor, {"a-1": A, "b-1": B}).views == {}
    ended = ClusterView("b-1", Phase.READY, Outcome.SUCCEEDED)
    assert looks.since(first.cursor + 1, {"a-1": A, "b-1": ended}).views == {"b-1": ended}


def test_an_equal_view_is_no_change() -> None:
    looks = Sightings()
    first = looks.since(0, {"a-1": A})
    assert looks.since(first.cursor, {"a-1": ClusterView("a-1", Phase.READY)}).views == {}


def test_what_is_gone_is_told_until_it_is_known_and_never_to_a_new_reader() -> None:
    looks = Sightings()
    first = looks.since(0, {"a-1": A})
    second = looks.since(first.cursor, {})
    assert second.views == {"a-1": GONE}
    assert looks.since(first.cursor, {}).views == {"a-1": GONE}, "the reader did not get as far"
    assert looks.since(0, {}).views == {}
    assert looks.since(second.cursor + 2, {}).views == {}


def test_what_comes_back_is_told_as_new() -> None:
    looks = Sightings()
    cursor = looks.since(0, {"a-1": A}).cursor
    cursor = looks.since(cursor, {}).cursor
    assert looks.since(cursor, {"a-1": A}).views == {"a-1": A}
