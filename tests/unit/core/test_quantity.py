"""Amounts add up, never go below zero unseen, and are read exactly or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.errors import BadInput
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus, Quantity

COUNTS = st.integers(min_value=0, max_value=2**50)


@given(COUNTS, COUNTS)
def test_shortfall_is_exactly_what_is_missing(asked: int, free: int) -> None:
    missing = Bytes(asked).shortfall(Bytes(free))
    assert Bytes(free) + missing >= Bytes(asked)
    assert not missing or Bytes(free) + missing == Bytes(asked)


@given(COUNTS, COUNTS)
def test_what_is_added_can_be_taken_away_again(one: int, other: int) -> None:
    assert Bytes(one) + Bytes(other) - Bytes(other) == Bytes(one)


@given(COUNTS)
def test_milli_amounts_survive_being_written_and_read(count: int) -> None:
    thousandths = count % 10**9
    assert MilliGpus.of(f"{thousandths // 1000}.{thousandths % 1000:03}") == MilliGpus(thousandths)


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), (512, 512), ("512 MiB", 512 * 2**20), ("2GiB", 2**31), ("1.5 KiB", 1536), (" 3 GB ", 3 * 10**9)],
)
def test_sizes_are_read_with_their_unit(text: int | str, count: int) -> None:
    assert Bytes.of(text) == Bytes(count)


@pytest.mark.parametrize(
    "text", ["", "GiB", "-1 GiB", "1 gib", "1 Gib", "1 XiB", "1,5 GiB", "1e3", "nan", "1 GiB 2", -1]
)
def test_what_is_no_size_is_refused_with_the_units_that_are(text: int | str) -> None:
    with pytest.raises(BadInput, match="is not a size.*KiB, MiB"):
        Bytes.of(text)


@pytest.mark.parametrize("number", ["", "two", "nan", "inf", -1, "-0.5", 0.0001, "1.0005"])
def test_what_is_no_number_of_devices_is_refused(number: float | str) -> None:
    with pytest.raises(BadInput, match="CPUs"):
        MilliCpus.of(number)


@pytest.mark.parametrize("number", [0.1, 0.3, 1.1, 2.675])
def test_decimal_fractions_are_exact_thousandths(number: float) -> None:
    assert MilliCpus.of(number).count == round(number * 1000)
    assert MilliCpus.of(number).whole() == number


@pytest.mark.parametrize("kind", [Bytes, MilliCpus, MilliGpus])
def test_an_amount_below_zero_is_our_mistake(kind: type[Quantity]) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__} cannot be negative, got -1"):
        kind(1) - kind(2)


def test_amounts_are_shown_with_their_unit() -> None:
    shown = [
        str(amount)
        for amount in (MilliCpus(500), MilliGpus(2000), Bytes(0), Bytes(1536), Bytes(2**31), Bytes(5 * 2**40))
    ]
    assert shown == ["0.5 CPUs", "2 GPUs", "0 B", "1.5 KiB", "2 GiB", "5 TiB"]
