"""Lengths of time in files."""

import pytest

from fabric.core.duration import in_words, seconds_of
from fabric.core.errors import BadInput


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90 s", 90), ("15 min", 900), ("15m", 900), ("12h", 43_200), (" 30  d ", 2_592_000), ("2 w", 1_209_600)],
)
def test_a_number_and_a_unit_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1 d", "1.5 h", "1 month", "1 d 2 h", "9999999999 s"])
def test_anything_else_is_refused_with_the_units(text: str) -> None:
    with pytest.raises(BadInput, match="one of s, m, h, d, w"):
        seconds_of(text)


@pytest.mark.parametrize("text", ["90 s", "15 m", "12 h", "30 d"])
def test_what_is_written_is_read_again_as_the_same(text: str) -> None:
    assert in_words(seconds_of(text)) == text
