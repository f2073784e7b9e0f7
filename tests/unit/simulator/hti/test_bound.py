"""The clairvoyant relaxation: exact where that is known, and never above what any schedule achieves."""

from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.errors import BadInput
from fabric.simulator.hti.bound import Demand, capacity_left, demand_of, lower_bound
from fabric.simulator.hti.jobs import Service, TrainingJob

Capacity = Sequence[tuple[float, float]]
STEP_S = 1.0


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Demand], list[tuple[float, float]], list[list[float]]]:
    """Up to five jobs, a capacity that changes at whole seconds, and for each second a wish of each job."""
    num = draw(st.integers(1, 5))
    jobs = []
    for _ in range(num):
        gpus, run_s = draw(st.integers(1, 6)), draw(st.integers(1, 8))
        jobs.append(Demand(float(draw(st.integers(0, 10))), float(gpus * run_s), float(run_s)))
    changes = draw(st.lists(st.integers(0, 6), min_size=0, max_size=4))
    capacity = [(float(3 * i), float(gpus)) for i, gpus in enumerate(changes)] + [(3.0 * len(changes), 6.0)]
    wishes = draw(st.lists(st.lists(st.floats(0, 1), min_size=num, max_size=num), min_size=1, max_size=12))
    return jobs, capacity, wishes


def mean_completion_s(jobs: Sequence[Demand], capacity: Capacity, wishes: Sequence[Sequence[float]]) -> float:
    """Of a malleable schedule: every second its wishes are granted in turn as far as rates and capacity allow.

    Whose turn is first changes from second to second; what is left over goes to anyone who can use it, so every job
    ends, at the end of the second in which its work does.
    """
    left = [job.work_gpu_s for job in jobs]
    ends = [0.0] * len(jobs)
    now = 0.0
    while any(work > 1e-9 for work in left):
        free = [gpus for at, gpus in capacity if at <= now][-1]
        used = [0.0] * len(jobs)
        wish = wishes[int(now) % len(wishes)]
        for share in (wish, [1.0] * len(jobs)):
            for i in sorted(range(len(jobs)), key=lambda i: (i + int(now)) % len(jobs)):
                if jobs[i].submit_s <= now and left[i] > 1e-9:
                    most = jobs[i].work_gpu_s / jobs[i].least_run_s
                    given = min(free, share[i] * most, most - used[i], left[i] / STEP_S - used[i])
                    used[i] += max(0.0, given)
                    free -= max(0.0, given)
        for i, gpus in enumerate(used):
            if gpus > 0:
                left[i] -= gpus * STEP_S
                ends[i] = now + STEP_S
        now += STEP_S
    return sum(end - job.submit_s for end, job in zip(ends, jobs, strict=True)) / len(jobs)


@given(worlds())
def test_no_feasible_schedule_is_better_than_the_bound(
    world: tuple[list[Demand], list[tuple[float, float]], list[list[float]]],
) -> None:
    jobs, capacity, wishes = world
    assert lower_bound(jobs, capacity).mean_s <= mean_completion_s(jobs, capacity, wishes) + 1e-6


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6)), min_size=1, max_size=5), st.integers(4, 6))
def test_the_best_rigid_schedule_without_gaps_in_any_order_is_not_better_than_the_bound(
    shapes: list[tuple[int, int]], gpus: int
) -> None:
    jobs = [Demand(0.0, float(width * run_s), float(run_s)) for width, run_s in shapes]
    best = min(_list_schedule([shapes[i] for i in order], gpus) for order in permutations(range(len(shapes))))
    assert lower_bound(jobs, [(0.0, float(gpus))]).mean_s <= best + 1e-9


def _list_schedule(shapes: Sequence[tuple[int, int]], gpus: int) -> float:
    """Mean completion if each job, in this order, begins at the first second at which it fits to its end."""
    used = [0] * 200
    total = 0
    for width, run_s in shapes:
        start = next(t for t in range(200) if all(used[s] + width <= gpus for s in range(t, t + run_s)))
        for second in range(start, start + run_s):
            used[second] += width
        total += start + run_s
    return total / len(shapes)


def test_one_machine_is_scheduled_exactly_by_shortest_remaining_work() -> None:
    jobs = [Demand(0, 10, 10), Demand(2, 3, 3), Demand(4, 1, 1)]
    found = lower_bound(jobs, [(0.0, 1.0)])
    assert found.mean_s == found.shortest_first_s
    assert found.mean_s == pytest.approx(((14 - 0) + (5 - 2) + (6 - 4)) / 3)


def test_an_idle_machine_leaves_the_run_times() -> None:
    found = lower_bound([Demand(0, 40, 10), Demand(100, 2, 2)], [(0.0, 1000.0)])
    assert found.mean_s == found.run_times_s == 6.0


def test_capacity_that_is_away_makes_everyone_wait() -> None:
    found = lower_bound([Demand(0, 4, 1)], [(0.0, 0.0), (50.0, 4.0)])
    assert found.mean_s == pytest.approx(51.0)


def test_two_equal_jobs_that_fill_the_pool_are_bound_by_their_mean_instants_of_work() -> None:
    # Either after the other: 10 and 20 s. The relaxation's means are 5 and 15 s, and half a run time follows each.
    found = lower_bound([Demand(0, 40, 10), Demand(0, 40, 10)], [(0.0, 4.0)])
    assert found.busy_times_s == found.shortest_first_s == 15.0


def test_an_elastic_job_takes_its_least_work_and_its_least_time() -> None:
    elastic = TrainingJob("j", "p", "u", 5.0, 100.0, 4, 2, 8, 2, 0.5, 3600.0, None)
    found = demand_of(elastic)
    assert found.submit_s == 5.0
    assert found.work_gpu_s == pytest.approx(2 * 100 / 0.5**0.5)
    assert found.least_run_s == pytest.approx(100 / 2**0.5)


def test_capacity_is_what_serving_needs_not() -> None:
    def service(name: str, needed: tuple[int, ...], gpus: int) -> Service:
        return Service(name, gpus, 300.0, (1.0,) * len(needed), needed, (5.0,), (1.0,))

    pair = [service("a", (1, 2), 4), service("b", (0, 1), 2)]
    assert capacity_left(pair, reference_gpus=20) == ((0.0, 16), (300.0, 10), (600.0, 20))
    assert capacity_left([], reference_gpus=20) == ((0.0, 20),)
    with pytest.raises(BadInput, match="need 10 of 9 GPUs"):
        capacity_left(pair, reference_gpus=9)
    with pytest.raises(BadInput, match="same length and number"):
        capacity_left([service("a", (1, 2), 4), service("b", (0,), 2)], reference_gpus=20)


@pytest.mark.parametrize(
    ("jobs", "capacity"),
    [
        ([], [(0.0, 1.0)]),
        ([Demand(0, 1, 1)], []),
        ([Demand(0, 1, 1)], [(5.0, 1.0)]),
        ([Demand(0, 1, 1)], [(0.0, 1.0), (0.0, 2.0)]),
        ([Demand(0, 1, 1)], [(0.0, 1.0), (9.0, 0.0)]),
        ([Demand(0, 1, 1)], [(0.0, -1.0), (9.0, 1.0)]),
    ],
    ids=["no jobs", "no capacity", "too late", "not rising", "ends at nothing", "negative"],
)
def test_a_world_without_a_bound_is_refused(jobs: list[Demand], capacity: list[tuple[float, float]]) -> None:
    with pytest.raises(BadInput):
        lower_bound(jobs, capacity)
