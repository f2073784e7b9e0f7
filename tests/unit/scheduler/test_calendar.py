"""Nobody is placed where a window comes before they are done, and a capability week is for one project."""

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.config.windows import DAY_S, Window, instant
from fabric.scheduler.calendar import Closure, claims_of, closures
from fabric.scheduler.snapshot import Claim
from tests.builders import hybrid

HOUR_S = 3600.0
EPOCH = instant("2026-12-02T07:00:00Z")
TIERS = {"g0": "gpu", "g1": "gpu", "c0": "commodity"}


def at(hours: float) -> float:
    return EPOCH + hours * HOUR_S


def text(hours: float) -> str:
    """An instant by its hour after the epoch of these tests, which is 08:00 in Lugano."""
    day, hour = divmod(8 + hours, 24)
    return f"2026-12-{2 + int(day):02}T{int(hour):02}:{round(hour % 1 * 60):02}:00+01:00"


def window(name: str, start: float, end: float, **more: Any) -> Window:
    return Window(name=name, starts=text(start), ends=text(end), **{"tiers": ("gpu",), **more})


def week(name: str, start: float, end: float, project: str) -> Window:
    return window(name, start, end, kind="capability", project=project)


def on_g0(
    *windows: Window, now: float = 0, horizon: float = 24 * 30
) -> list[tuple[float, float, tuple[str, ...], Any]]:
    """Claims on one node: hours, windows and project."""
    found = closures(windows, {"g0": "gpu"}, at(now), horizon * HOUR_S)
    return [((c.start_s - EPOCH) / HOUR_S, (c.end_s - EPOCH) / HOUR_S, c.windows, c.project) for c in found]


def test_a_window_on_a_tier_claims_each_of_its_nodes() -> None:
    assert closures([window("update", 2, 4)], TIERS, at(0), 24 * HOUR_S) == (
        Closure("g0", at(2), at(4), ("update",), None),
        Closure("g1", at(2), at(4), ("update",), None),
    )


def test_a_window_on_single_nodes_claims_those() -> None:
    found = closures([window("fan", 2, 4, tiers=(), nodes=("g1",))], TIERS, at(0), 24 * HOUR_S)
    assert [claim.node for claim in found] == ["g1"]


def test_only_what_lies_between_now_and_the_horizon_is_claimed() -> None:
    update = window("update", 2, 4)
    assert on_g0(update, now=3) == [(3, 4, ("update",), None)]
    assert on_g0(update, horizon=3) == [(2, 3, ("update",), None)]
    assert on_g0(update, now=4) == []
    assert on_g0(update, horizon=2) == []


def test_a_weekly_window_comes_again_until_its_row_ends() -> None:
    weekly = window("weekly", 0, 4, every_days=7, until=text(24 * 21))
    assert [claim[0] for claim in on_g0(weekly, now=-24 * 30, horizon=24 * 90)] == [0, 24 * 7, 24 * 14]
    assert [claim[0] for claim in on_g0(weekly, now=24 * 7 + 1)] == [24 * 7 + 1, 24 * 14]


def test_maintenance_goes_before_a_capability_week() -> None:
    assert on_g0(week("run", 0, 10, "climate"), window("update", 4, 6)) == [
        (0, 4, ("run",), "climate"),
        (4, 6, ("run", "update"), None),
        (6, 10, ("run",), "climate"),
    ]


def test_of_two_capability_weeks_the_first_to_start_has_the_node_even_once_both_run() -> None:
    both = [week("b-early", 0, 8, "climate"), week("a-late", 4, 12, "nlp")]
    assert on_g0(*both)[1:] == [(4, 8, ("a-late", "b-early"), "climate"), (8, 12, ("a-late",), "nlp")]
    assert on_g0(*both, now=5)[0] == (5, 8, ("a-late", "b-early"), "climate")


def test_windows_that_touch_are_two_claims_and_one_without_a_gap_is_one() -> None:
    assert [claim[:2] for claim in on_g0(window("a", 0, 4), window("b", 4, 6))] == [(0, 4), (4, 6)]
    assert [claim[:2] for claim in on_g0(window("all", 0, 24, every_days=1), horizon=72)] == [(0, 72)]


def test_a_row_without_end_needs_a_finite_horizon() -> None:
    with pytest.raises(ValueError, match="finite horizon, not inf s"):
        closures([window("weekly", 0, 4, every_days=7)], TIERS, at(0), math.inf)


WINDOWS = st.lists(
    st.builds(
        lambda start, length, days, project: window(
            "w",
            start,
            start + length,
            every_days=days if days and length <= days * 24 else None,
            kind="capability" if project else "maintenance",
            project=project,
        ),
        st.integers(0, 200),
        st.integers(1, 60),
        st.none() | st.integers(1, 9),
        st.none() | st.sampled_from(["nlp", "climate"]),
    ),
    max_size=5,
).map(lambda rows: [row.model_copy(update={"name": f"w{number}"}) for number, row in enumerate(rows)])


def closed_at(windows: list[Window], instant_s: float) -> bool:
    """Told window by window from its settings."""
    for one in windows:
        since = instant_s - one.start_s
        if one.every_days and since >= 0:
            since %= one.every_days * DAY_S
        if 0 <= since < one.end_s - one.start_s:
            return True
    return False


@given(WINDOWS, st.integers(-50, 300), st.integers(1, 400))
def test_claims_are_apart_in_order_and_exactly_where_windows_are(windows: list[Window], now: int, horizon: int) -> None:
    found = on_g0(*windows, now=now, horizon=horizon)
    assert all(now <= start < end <= now + horizon for start, end, _, _ in found)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(found))
    for hour in range(now, now + horizon):
        inside = any(start <= hour + 0.5 < end for start, end, _, _ in found)
        assert inside == closed_at(windows, at(hour + 0.5))


def test_what_is_alike_is_one_claim_on_several_nodes() -> None:
    update, fan = window("update", 2, 4), window("fan", 3, 5, tiers=(), nodes=("g1",))
    assert set(claims_of([update, fan], hybrid(), at(0), 24 * HOUR_S)) == {
        Claim("update", at(2), at(4), ("g0",)),
        Claim("update", at(2), at(3), ("g1",)),
        Claim("fan and update", at(3), at(4), ("g1",)),
        Claim("fan", at(4), at(5), ("g1",)),
    }
    assert claims_of([update], hybrid(), at(0), 24 * HOUR_S) == (Claim("update", at(2), at(4), ("g0", "g1")),)
