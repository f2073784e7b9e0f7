"""A loop that has much to do leaves the processor to those who ask."""

import pytest

from fabric.control.process import MOST_REST_S, SHORT_S, rest_s


@pytest.mark.parametrize(
    ("step", "took_s", "rests_s"),
    [
        ("a short one goes on at once", SHORT_S, 0.0),
        ("a long one rests as long as it took", 0.2, 0.2),
        ("a very long one is not late for that", 7.0, MOST_REST_S),
    ],
)
def test_the_loop_rests_after_a_long_step(step: str, took_s: float, rests_s: float) -> None:
    assert rest_s(took_s) == rests_s, step
