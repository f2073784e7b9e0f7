"""Times, sizes and amounts in words."""

import time

import pytest

from fabric.cli import show


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (-3, "0s"), (59.4, "59s"), (60, "1m"), (61, "1m1s"), (3600, "1h"), (3725, "1h2m"), (90_000, "1d1h")],
)
def test_a_span_has_at_most_two_units(seconds: float, words: str) -> None:
    assert show.duration(seconds) == words


@pytest.mark.parametrize(
    ("num_bytes", "words"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (6 * 2**30, "6 GiB"), (2**40, "1 TiB")]
)
def test_a_size_is_in_the_largest_unit(num_bytes: float, words: str) -> None:
    assert show.size(num_bytes) == words


def test_an_instant_of_another_day_has_its_date() -> None:
    assert len(show.clock(time.time())) == len("12:00:00")
    assert show.clock(0.0).startswith(("1970-01-01", "1969-12-31"))


def test_what_has_not_happened_is_a_dash() -> None:
    assert show.since(None) == "-"
    assert show.since(10.0, 70.0) == "1m"


def test_amounts_leave_out_what_is_not_there() -> None:
    assert show.amounts(4, 0, 2**30) == "4 CPUs, 1 GiB"
    assert show.amounts(0.5, 2, 2**30) == "0.5 CPUs, 2 GPUs, 1 GiB"
