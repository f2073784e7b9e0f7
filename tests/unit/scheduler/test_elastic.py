"""Who grows into free slots, and who shrinks before anybody is killed."""

import math
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.errors import BadInput
from fabric.scheduler.elastic import Curve, ElasticGang, Resize, grow, shrink

LINEAR = Curve(exponent=1.0)


def gang(name: str = "a", workers: int = 1, least: int = 1, most: int = 8, **more: Any) -> ElasticGang:
    """A settled gang with 1,000 s of one worker's work left and a restart of 10 s."""
    fields = {"remaining": 1000.0, "restart_s": 10.0, "settled_s": 1e6, **more}
    return ElasticGang(name, workers, least, most, **fields)


def sizes(resizes: tuple[Resize, ...]) -> dict[str, int]:
    """New size by name."""
    return {resize.workload: resize.after for resize in resizes}


def test_the_default_curve_is_sub_linear() -> None:
    assert Curve().rate(1) == 1.0
    assert Curve().rate(16) == pytest.approx(16**0.9)


def test_measured_points_are_believed_and_the_power_law_goes_on_from_them() -> None:
    curve = Curve(((2, 10.0), (4, 18.0)), exponent=0.5)
    assert [curve.rate(n) for n in (2, 3, 4)] == [10.0, 14.0, 18.0]
    assert curve.rate(16) == pytest.approx(36.0)
    assert curve.rate(1) == pytest.approx(10.0 / math.sqrt(2))


@pytest.mark.parametrize(
    ("points", "exponent"),
    [
        (((2, 1.0), (2, 2.0)), 0.9),
        (((0, 1.0),), 0.9),
        (((1, 0.0),), 0.9),
        (((1, math.inf),), 0.9),
        ((), 1.1),
        ((), -0.1),
    ],
)
def test_a_curve_that_cannot_be_is_refused(points: tuple[tuple[int, float], ...], exponent: float) -> None:
    with pytest.raises(BadInput):
        Curve(points, exponent)


@pytest.mark.parametrize(
    "fields",
    [
        {"workers": 3, "step": 4},
        {"workers": 1, "least": 2},
        {"least": 0},
        {"step": 0},
        {"slots_per_worker": 0},
        {"remaining": math.inf},
        {"remaining": -1.0},
        {"restart_s": -1.0},
    ],
)
def test_a_gang_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        gang(**fields)


def test_the_restart_is_inside_the_gain() -> None:
    assert gang(curve=LINEAR).gain_s(2) == 1000 - (10 + 500)


def test_slots_that_go_back_soon_are_worth_less() -> None:
    one = gang(curve=LINEAR)
    assert one.gain_s(2, for_s=600) == one.gain_s(2), "done before they go back"
    # 100 s: 10 of restart, 180 units in 90 s, then another restart and the rest alone.
    assert one.gain_s(2, for_s=100) == pytest.approx(1000 - (100 + 10 + 820))
    assert one.gain_s(2, for_s=15) < 0


def test_free_slots_go_where_they_save_most_time() -> None:
    long, short = gang("long", remaining=9000.0), gang("short", remaining=900.0)
    assert sizes(grow([short, long], 1)) == {"long": 2}


def test_nobody_restarts_for_less_than_it_costs() -> None:
    assert grow([gang(remaining=11.0, restart_s=10.0)], 7) == ()


def test_a_gang_that_was_just_resized_stays() -> None:
    assert grow([gang(settled_s=599.0)], 4) == ()
    assert sizes(grow([gang(settled_s=599.0)], 4, min_run_s=599.0)) == {"a": 5}


def test_workers_of_several_slots_take_all_of_them() -> None:
    assert sizes(grow([gang(slots_per_worker=4)], 11)) == {"a": 3}


def test_equal_gangs_are_served_by_name() -> None:
    assert sizes(grow([gang("b"), gang("a")], 1)) == {"a": 2}


def test_lent_slots_grow_only_who_can_use_them_in_time() -> None:
    long, short = gang("long", remaining=1e5, restart_s=300.0), gang("short", curve=LINEAR)
    assert sizes(grow([long, short], 4, for_s=560.0)) == {"short": 5}


def test_a_resize_says_what_it_brings() -> None:
    (resize,) = grow([gang(curve=LINEAR)], 1)
    assert resize.reason == "grows from 1 to 2 workers and ends 490 s earlier"
    (back,) = shrink([gang(workers=2, curve=LINEAR)], 1).resizes
    assert back.reason == "shrinks from 2 to 1 workers and ends 510 s later"


def test_those_who_lose_least_shrink() -> None:
    long, short = gang("long", workers=4, remaining=9000.0), gang("short", workers=4, remaining=900.0)
    found = shrink([long, short], 2)
    assert sizes(found.resizes) == {"short": 2}
    assert (found.freed_slots, found.missing_slots) == (2, 0)


def test_one_restart_is_cheaper_than_two() -> None:
    gangs = [gang(name, workers=4, remaining=100.0, restart_s=500.0) for name in "ab"]
    assert sizes(shrink(gangs, 3).resizes) == {"a": 1}


def test_those_just_resized_give_only_what_is_still_missing() -> None:
    calm, restless = gang("calm", workers=3, remaining=1e6), gang("restless", workers=3, settled_s=1.0)
    assert sizes(shrink([calm, restless], 2).resizes) == {"calm": 1}
    assert sizes(shrink([calm, restless], 3).resizes) == {"calm": 1, "restless": 2}


def test_who_need_not_give_is_left_alone_even_if_others_must_give_more_than_is_missing() -> None:
    calm, restless = gang("calm", workers=2), gang("restless", workers=2, slots_per_worker=2, settled_s=1.0)
    assert sizes(shrink([calm, restless], 2).resizes) == {"restless": 1}


def test_what_shrinking_cannot_free_is_said() -> None:
    found = shrink([gang(workers=3, least=2)], 5)
    assert sizes(found.resizes) == {"a": 2}
    assert (found.freed_slots, found.missing_slots) == (1, 4)


CURVES = st.one_of(
    st.builds(Curve, st.just(()), st.floats(0, 1)),
    st.lists(st.floats(0.1, 20), min_size=1, max_size=3).map(lambda r: Curve(tuple(enumerate(r, start=1)))),
)
GANGS = st.lists(
    st.builds(
        lambda least, step, above, most, more: ElasticGang(
            "", least + step * above, least, least + step * max(above, most), **more, step=step
        ),
        st.integers(1, 3),
        st.integers(1, 3),
        st.integers(0, 2),
        st.integers(0, 3),
        st.fixed_dictionaries(
            {
                "remaining": st.floats(0, 1e5),
                "restart_s": st.floats(0, 500),
                "settled_s": st.sampled_from([0.0, 1e4]),
                "slots_per_worker": st.integers(1, 3),
                "curve": CURVES,
            }
        ),
    ),
    max_size=4,
).map(lambda gangs: [replace(one, name=f"g{i}") for i, one in enumerate(gangs)])


def on_grid(one: ElasticGang, size: int) -> bool:
    return one.least <= size <= one.most and (size - one.least) % one.step == 0


@given(GANGS, st.integers(0, 24), st.sampled_from([300.0, math.inf]))
def test_growth_keeps_every_bound_and_is_the_best_there_is(gangs: list[ElasticGang], free: int, for_s: float) -> None:
    found = grow(gangs, free, for_s=for_s)
    after = {one.name: sizes(found).get(one.name, one.workers) for one in gangs}
    assert all(on_grid(one, after[one.name]) and after[one.name] >= one.workers for one in gangs)
    assert sum((after[one.name] - one.workers) * one.slots_per_worker for one in gangs) <= free
    assert all(resize.gain_s > 0 for resize in found)
    settled = [one for one in gangs if one.settled_s >= 600]
    assert {resize.workload for resize in found} <= {one.name for one in settled}
    best = max(
        sum(one.gain_s(size, for_s) for one, size in zip(settled, choice, strict=True))
        for choice in product(*([one.workers, *one.larger()] for one in settled))
        if sum((s - one.workers) * one.slots_per_worker for one, s in zip(settled, choice, strict=True)) <= free
    )
    # Gains are summed in whole milliseconds: half of one for each gang, on both sides.
    assert sum(resize.gain_s for resize in found) >= best - 0.001 * len(gangs)


@given(GANGS, st.integers(0, 24))
def test_shrinking_keeps_every_bound_and_is_never_needless(gangs: list[ElasticGang], wanted: int) -> None:
    found = shrink(gangs, wanted)
    by_name = {one.name: one for one in gangs}
    assert all(on_grid(by_name[r.workload], r.after) and r.after < r.before for r in found.resizes)
    freed = {r.workload: (r.before - r.after) * by_name[r.workload].slots_per_worker for r in found.resizes}
    assert sum(freed.values()) == found.freed_slots
    assert found.missing_slots == max(0, wanted - found.freed_slots)
    if found.missing_slots:
        assert all(sizes(found.resizes).get(one.name, one.workers) == one.least for one in gangs)
    else:
        assert all(found.freed_slots - slots < wanted for slots in freed.values()), "nobody could be left alone"
