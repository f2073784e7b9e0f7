"""How many replicas a service will need, as a quantile, and how often that holds."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.config import env
from fabric.core.errors import BadInput
from fabric.scheduler.forecast import DAY_S, Demand, Sample, back_test, forecast, forecasts

HOUR_S = 3600.0
STEP_S = 600.0


def demand(*replicas: int, start_s: float = 0.0, step_s: float = 100.0) -> Demand:
    """Steps of 100 s from 0 on."""
    return Demand(start_s, step_s, replicas, "given")


def daily(days: float, low: float = 2.0, high: float = 10.0, step_s: float = STEP_S) -> list[Sample]:
    """A wave that repeats every day, lowest at midnight."""
    return [
        Sample(i * step_s, low + (high - low) * (1 - math.cos(2 * math.pi * i * step_s / DAY_S)) / 2)
        for i in range(round(days * DAY_S / step_s))
    ]


def ask(samples: list[Sample], now: float, **more: Any) -> Demand:
    """The 0.9 quantile of the next three hours."""
    return forecast(samples, now, **{"quantile": 0.9, "horizon_s": 3 * HOUR_S, **more})


def test_a_step_function_is_read_at_instants() -> None:
    steps = demand(1, 5, 2)
    assert [steps.needed(at) for at in (-50.0, 0.0, 99.0, 100.0, 250.0)] == [1, 1, 1, 5, 2]
    assert steps.needed(300.0) == 5, "beyond the end nobody promises less than the most"
    assert steps.peak(0.0, 99.0) == 1
    assert steps.peak(50.0, 250.0) == 5
    assert [steps.rises_above(count, 0.0) for count in (0, 1, 5)] == [0.0, 100.0, None]
    assert steps.rises_above(1, 150.0) == 150.0
    assert steps.rises_above(2, 200.0) is None


def test_replicas_are_started_a_cold_start_before_they_are_needed() -> None:
    steps = demand(1, 1, 4, 1)
    assert steps.with_lead(0.0).replicas == (1, 1, 4, 1)
    assert steps.with_lead(60.0).replicas == (1, 4, 4, 1), (
        "in the step in which the lead begins, and not given up early"
    )
    assert steps.with_lead(150.0).replicas == (4, 4, 4, 1)
    assert steps.with_lead(150.0).method == "given, 150 s ahead for the cold start"
    with pytest.raises(BadInput):
        steps.with_lead(-1.0)


def test_without_history_it_is_the_least() -> None:
    assert ask([], 1000.0, least=2) == Demand(600.0, STEP_S, (2,) * 18, "nothing was seen yet")


def test_what_is_seen_in_the_present_step_is_needed_in_it() -> None:
    assert ask([Sample(0.0, 1.0), Sample(700.0, 6.5)], 800.0).replicas[:2] == (7, 1)
    assert ask([Sample(700.0, 6.5)], 800.0).replicas[0] == 7


def test_without_a_day_of_history_the_last_value_holds() -> None:
    steps = ask([Sample(i * STEP_S, 3.0) for i in range(20)], 20 * STEP_S)
    assert steps.method == "last value"
    assert set(steps.replicas) == {3}


def test_a_daily_wave_is_seen_coming() -> None:
    night = 5 * DAY_S + 3 * HOUR_S
    samples = [sample for sample in daily(6) if sample.at_s < night]
    steps = ask(samples, night, horizon_s=6 * HOUR_S)
    assert steps.method == "last value blended with 5 past days"
    assert steps.needed(night + 5 * HOUR_S) >= 8, "the wave says 8.0 then, and 3.2 now"
    assert steps.needed(night) <= 5


def test_a_higher_quantile_asks_for_more() -> None:
    noise = np.random.default_rng(0).gamma(4.0, 2.0, 4 * 144)
    samples = [Sample(i * STEP_S, float(value)) for i, value in enumerate(noise)]
    low, high = (ask(samples, 4 * DAY_S, quantile=q).replicas for q in (0.5, 0.95))
    assert all(a < b for a, b in zip(low, high, strict=True))


def test_a_short_gap_is_bridged_and_a_long_one_takes_the_day_before() -> None:
    whole = daily(5)
    short = [s for s in whole if not 4 * DAY_S - 2 * HOUR_S <= s.at_s < 4 * DAY_S - 1.5 * HOUR_S]
    long = [s for s in whole if not 4 * DAY_S - 9 * HOUR_S <= s.at_s < 4 * DAY_S - 3 * HOUR_S]
    expected = np.array(ask(whole, 5 * DAY_S).replicas)
    for samples in (short, long):
        assert np.max(np.abs(np.array(ask(samples, 5 * DAY_S).replicas) - expected)) <= 1


def test_after_an_outage_of_the_history_the_day_before_stands_in() -> None:
    samples = [sample for sample in daily(3) if sample.at_s < 2.5 * DAY_S]
    assert ask(samples, 3 * DAY_S, quantile=0.5).replicas[0] <= 4, "midnight is low, noon was the last that was seen"


@pytest.mark.parametrize(
    "bad",
    [
        {"quantile": 0.49},
        {"quantile": 1.0},
        {"horizon_s": 2 * DAY_S},
        {"step_s": 0.0},
        {"step_s": 4 * HOUR_S},
        {"samples": [Sample(1e9, 1.0)]},
        {"samples": [Sample(math.nan, 1.0)]},
        {"samples": [Sample(0.0, -1.0)]},
        {"samples": [Sample(0.0, math.inf)]},
        {"samples": [Sample(0.0, math.nan)]},
    ],
)
def test_what_cannot_be_forecast_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        ask(bad.pop("samples", [Sample(0.0, 1.0)]), 1000.0, **bad)


def test_a_back_test_needs_something_to_compare() -> None:
    with pytest.raises(BadInput):
        back_test(daily(1), quantile=0.9, horizon_s=HOUR_S, warm_up_s=2 * DAY_S)
    with pytest.raises(BadInput):
        back_test([], quantile=0.9, horizon_s=HOUR_S, warm_up_s=0.0)


def test_a_back_test_makes_the_forecasts_that_would_have_been_made() -> None:
    noise = np.random.default_rng(1).gamma(4.0, 2.0, 3 * 144)
    samples = [Sample(i * STEP_S, float(value)) for i, value in enumerate(noise)]
    found = back_test(samples, quantile=0.8, horizon_s=HOUR_S, warm_up_s=2 * DAY_S, every=20)
    came = []
    for first in range(2 * 144 + 1, 3 * 144 - 5, 20):
        steps = forecast(samples[:first], first * STEP_S, quantile=0.8, horizon_s=HOUR_S)
        came += [math.ceil(noise[first + i]) <= steps.replicas[i] for i in range(6)]
    assert found.num_steps == len(came)
    # Whole replicas hold a little more often than the fractions that the back-test keeps.
    assert found.coverage <= float(np.mean(came)) <= found.coverage + 0.1


@pytest.mark.parametrize("quantile", [0.7, 0.9])
def test_steady_noise_stays_below_the_quantile_as_often_as_it_says(quantile: float) -> None:
    noise = np.random.default_rng(2).gamma(4.0, 2.0, 7 * 144)
    samples = [Sample(i * STEP_S, float(value)) for i, value in enumerate(noise)]
    found = back_test(samples, quantile=quantile, horizon_s=2 * HOUR_S, warm_up_s=2 * DAY_S, every=6)
    assert quantile - 0.02 <= found.coverage <= quantile + 0.08


def test_the_margin_catches_up_with_demand_that_keeps_rising() -> None:
    rising = [Sample(i * STEP_S, 10.0 * 1.5 ** (i / 144)) for i in range(8 * 144)]
    found = back_test(rising, quantile=0.9, horizon_s=2 * HOUR_S, warm_up_s=4 * DAY_S, every=6)
    assert found.coverage >= 0.88


def rates(model: str) -> list[Sample]:
    """Ten-minute rates of a public trace, scaled to a peak of 50 replicas; zeros there are missing windows."""
    folder = env.get(env.TRACES)
    file = Path(folder or "../shared/traces") / "servegen-rates" / "rates_10min.csv"
    if not file.exists():
        pytest.skip(f"no {file}; set {env.TRACES} to the folder of the public traces")
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [(float(row["t_s"]), float(row[f"{model}_rps"])) for row in csv.DictReader(lines) if row[f"{model}_rps"]]
    top = max(rate for _, rate in rows)
    return [Sample(at_s, rate / top * 50) for at_s, rate in rows if rate > 0]


@pytest.mark.parametrize("model", ["m-large", "m-mid", "m-small"])
def test_real_demand_stays_below_the_quantile_on_days_that_were_not_seen(model: str) -> None:
    found = back_test(rates(model), quantile=0.95, horizon_s=3 * HOUR_S, warm_up_s=7 * DAY_S, every=6)
    assert found.coverage >= 0.93
    assert found.over <= 0.65, "0.57, 0.40 and 0.45 of the mean were measured"


HISTORIES = st.lists(
    st.builds(Sample, st.floats(0, 3 * DAY_S), st.floats(0, 100)), min_size=0, max_size=30, unique_by=lambda s: s.at_s
)


@given(HISTORIES, st.floats(0.5, 0.99), st.integers(0, 5))
@settings(max_examples=20)
def test_any_history_gives_one_forecast_whatever_its_order(samples: list[Sample], quantile: float, least: int) -> None:
    now = 3 * DAY_S + 1
    steps = ask(samples, now, quantile=quantile, least=least)
    assert steps == ask(samples[::-1], now, quantile=quantile, least=least)
    assert len(steps.replicas) == 18
    assert min(steps.replicas) >= least
    assert steps.start_s <= now < steps.start_s + STEP_S
    lead = steps.with_lead(1500.0).replicas
    assert all(early >= max(steps.replicas[i : i + 4]) for i, early in enumerate(lead))


def test_forecasts_one_after_another_are_those_made_one_by_one() -> None:
    rng = np.random.default_rng(4)
    samples = [Sample(600.0 * i, float(rng.integers(1, 9))) for i in range(3 * 144)]
    first = 2 * DAY_S
    found = forecasts(samples, first, quantile=0.9, horizon_s=7200.0, least=1)
    assert len(found) == 145
    for number in (0, 1, 70, 144):
        now = first + 600.0 * number
        past = [sample for sample in samples if sample.at_s < now]
        alone = forecast(past, now, quantile=0.9, horizon_s=7200.0, least=1)
        assert (found[number].start_s, found[number].replicas) == (alone.start_s, alone.replicas)


@pytest.mark.parametrize(
    ("samples", "from_s", "says"),
    [
        ([], 0.0, "needs a sample before"),
        ([Sample(600.0, 1.0)], 600.0, "needs a sample before"),
        ([Sample(0.0, 1.0), Sample(1800.0, 1.0)], 2400.0, "without gaps"),
    ],
)
def test_forecasts_without_a_whole_history_are_refused(samples: list[Sample], from_s: float, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        forecasts(samples, from_s, quantile=0.9, horizon_s=7200.0)
