"""A resource vector: fitting, what is missing and how often it fits say the same thing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources

COUNT = st.integers(min_value=0, max_value=64)
VECTORS = st.builds(Resources, st.builds(MilliCpus, COUNT), st.builds(MilliGpus, COUNT), st.builds(Bytes, COUNT))
REQUESTS = VECTORS.filter(bool)


@given(VECTORS, VECTORS)
def test_a_request_fits_exactly_when_nothing_is_missing(asked: Resources, free: Resources) -> None:
    assert asked.fits(free) is (not asked.shortfall(free))


@given(VECTORS, VECTORS)
def test_adding_what_is_missing_makes_it_fit(asked: Resources, free: Resources) -> None:
    assert asked.fits(free + asked.shortfall(free))


@given(REQUESTS, VECTORS)
def test_it_fits_as_often_as_times_in_says_and_no_more(asked: Resources, free: Resources) -> None:
    times = asked.times_in(free)
    assert (asked * times).fits(free)
    assert not (asked * (times + 1)).fits(free)
    assert asked.fits(free) is (times > 0)


@given(REQUESTS, VECTORS)
def test_taking_a_request_away_leaves_room_for_one_less(asked: Resources, free: Resources) -> None:
    if asked.fits(free):
        assert asked.times_in(free - asked) == asked.times_in(free) - 1


@given(VECTORS, VECTORS, VECTORS)
def test_what_fits_still_fits_when_more_is_free(asked: Resources, free: Resources, more: Resources) -> None:
    assert asked.fits(free + more) or not asked.fits(free)


def test_a_request_for_nothing_has_no_number_of_times() -> None:
    with pytest.raises(ValueError, match="any number of times"):
        Resources().times_in(Resources.of(1))


def test_a_vector_is_read_in_whole_devices_and_sizes() -> None:
    assert Resources.of(2, 0.5, "4 GiB") == Resources(MilliCpus(2000), MilliGpus(500), Bytes(2**32))


def test_a_vector_is_shown_without_its_empty_parts() -> None:
    assert str(Resources.of(2, 1, "4 GiB")) == "1 GPUs + 2 CPUs + 4 GiB"
    assert str(Resources.of(cpus=0.5)) == "0.5 CPUs"
    assert str(Resources()) == "nothing"


def test_more_than_there_is_cannot_be_taken() -> None:
    with pytest.raises(ValueError, match="MilliGpus cannot be negative"):
        Resources.of(4, 1) - Resources.of(1, 2)
