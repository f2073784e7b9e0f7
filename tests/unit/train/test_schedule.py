"""The learning rate over a run."""

from typing import Literal

import pytest

from fabric.train.schedule import rate_share
from fabric.train.settings import OptimiserSettings


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("wsd", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2]),
        ("cosine", [0.5, 1.0, 1.0, 0.96, 0.85, 0.69, 0.5, 0.31, 0.15, 0.04]),
    ],
)
def test_the_rate_rises_stays_and_falls(schedule: Literal["wsd", "cosine"], shares: list[float]) -> None:
    chosen = OptimiserSettings(schedule=schedule, warmup_steps=2, decay_share=0.5)
    assert [round(rate_share(step, 10, chosen), 2) for step in range(10)] == shares


def test_the_rate_ends_at_its_final_share() -> None:
    chosen = OptimiserSettings(warmup_steps=0, decay_share=1.0, final_share=0.1)
    assert rate_share(0, 100, chosen) == 1.0
    assert rate_share(99, 100, chosen) == pytest.approx(0.109)
