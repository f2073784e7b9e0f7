"""How promises were kept, as a distribution."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.scheduler.punctuality import KEPT_WITHIN_S, Punctuality, punctuality


@pytest.mark.parametrize(
    ("what", "late_s", "found"),
    [
        ("nobody was promised anything", [], Punctuality()),
        ("one on the second", [0.0], Punctuality(1, 1, 0.0, 0.0, 0.0)),
        ("one look of the loop later is kept", [KEPT_WITHIN_S], Punctuality(1, 1, 1.0, 1.0, 1.0)),
        ("more is not", [1.5, -20.0], Punctuality(2, 1, -20.0, 1.5, 1.5)),
        ("one of twenty is beyond p95", [*[0.0] * 19, 60.0], Punctuality(20, 19, 0.0, 0.0, 60.0)),
    ],
)
def test_errors_are_counted_and_ranked(what: str, late_s: list[float], found: Punctuality) -> None:
    assert punctuality(late_s) == found, what


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_quantiles_are_errors_that_happened_and_in_order(late_s: list[float]) -> None:
    found = punctuality(reversed(late_s))
    assert found == punctuality(late_s)
    assert found.p50_s is not None
    assert found.p95_s is not None
    assert {found.p50_s, found.p95_s, found.worst_s} <= set(late_s)
    assert found.p50_s <= found.p95_s <= max(late_s)
    assert found.worst_s == max(late_s)
