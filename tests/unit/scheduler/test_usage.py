"""Use fades, whoever used least for their weight is next, and finished work says how fair it was."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.config.projects import Project, Share
from fabric.core.resources import Resources
from fabric.scheduler.amounts import Amounts
from fabric.scheduler.fairness import Fairness, Finished, fair_share, fairness, rho
from fabric.scheduler.quota import Held, Tree, take, tree
from fabric.scheduler.usage import Usage, advance, dominant_share, order_key

CAPACITY = Amounts({"gpu": Resources.of(64, 8), "commodity": Resources.of(32)})
DAY_S = 86_400.0
HALF_LIFE_S = 7 * DAY_S
START = Usage(0.0)


def gpus(count: float, cpus: float = 0) -> Amounts:
    return Amounts({"gpu": Resources.of(cpus, count)})


def site(*projects: tuple[str, str | None, float]) -> Tree:
    return tree([Project(name=name, parent=parent, weight=weight) for name, parent, weight in projects])


FLAT = site(("nlp", None, 1), ("vision", None, 1))
BRANCHES = site(("ai", None, 1), ("nlp", "ai", 1), ("vision", "ai", 1), ("chem", None, 1))


def holding(where: Tree, **held: Amounts) -> Held:
    now = Held()
    for name, amounts in held.items():
        now = take(where, now, name, amounts)
    return now


def after(seconds: float, where: Tree, before: Usage = START, **held: Amounts) -> Usage:
    now = before.at + seconds
    return advance(before, holding(where, **held), where, CAPACITY, now=now, half_life_s=HALF_LIFE_S)


def order(usage: Usage, where: Tree, *projects: str) -> list[str]:
    return sorted(projects, key=lambda name: order_key(usage, where, name))


def test_a_share_is_the_largest_part_of_any_kind_on_any_tier() -> None:
    assert dominant_share(gpus(2, cpus=32), CAPACITY) == 0.5
    assert dominant_share(Amounts({"commodity": Resources.of(8)}) + gpus(1), CAPACITY) == 0.25
    assert dominant_share(Amounts({"gone": Resources.of(8)}), CAPACITY) == 0.0


def test_use_over_a_short_time_is_share_times_time() -> None:
    assert after(60, FLAT, nlp=gpus(4)).of("nlp") == pytest.approx(30, rel=1e-4)


def test_use_counts_half_after_its_half_life() -> None:
    used = after(60, FLAT, nlp=gpus(4))
    assert after(HALF_LIFE_S, FLAT, used).of("nlp") == pytest.approx(used.of("nlp") / 2)


def test_use_counts_for_every_project_above() -> None:
    usage = after(60, BRANCHES, nlp=gpus(4), ai=gpus(2))
    assert usage.of("ai") == pytest.approx(usage.of("nlp") + usage.of("ai/own"))
    assert usage.of("chem") == 0


@given(st.lists(st.floats(1, 10 * DAY_S), min_size=1, max_size=8))
def test_it_does_not_matter_in_how_many_steps_time_passes(steps: list[float]) -> None:
    usage = START
    for step in steps:
        usage = after(step, FLAT, usage, nlp=gpus(3), vision=gpus(1))
    whole = after(usage.at, FLAT, nlp=gpus(3), vision=gpus(1))
    assert usage.of("nlp") == pytest.approx(whole.of("nlp"))
    assert usage.of("vision") == pytest.approx(whole.of("vision"))


def test_a_clock_that_goes_backwards_changes_nothing_until_time_has_caught_up() -> None:
    used = after(60, FLAT, nlp=gpus(4))
    assert after(-50, FLAT, used, nlp=gpus(4)) == used
    early = advance(used, holding(FLAT, nlp=gpus(4)), FLAT, CAPACITY, now=10.0, half_life_s=HALF_LIFE_S)
    assert after(40, FLAT, early, nlp=gpus(4)) == after(40, FLAT, used, nlp=gpus(4))


def test_whoever_used_less_is_next_and_ties_break_by_name() -> None:
    assert order(START, FLAT, "vision", "nlp") == ["nlp", "vision"]
    assert order(after(60, FLAT, nlp=gpus(1)), FLAT, "nlp", "vision") == ["vision", "nlp"]


def test_weight_divides_use() -> None:
    heavy = site(("nlp", None, 3), ("vision", None, 1))
    assert order(after(60, heavy, nlp=gpus(2), vision=gpus(1)), heavy, "nlp", "vision") == ["nlp", "vision"]
    assert order(after(60, heavy, nlp=gpus(4), vision=gpus(1)), heavy, "nlp", "vision") == ["vision", "nlp"]


def test_a_branch_that_used_less_goes_first_as_a_whole() -> None:
    usage = after(60, BRANCHES, nlp=gpus(3), vision=gpus(1), chem=gpus(5))
    assert order(usage, BRANCHES, "nlp", "chem", "vision") == ["vision", "nlp", "chem"], "chem alone used more than ai"
    usage = after(60, BRANCHES, nlp=gpus(3), chem=gpus(2))
    assert order(usage, BRANCHES, "nlp", "chem", "vision") == ["chem", "vision", "nlp"], "though vision used nothing"


def test_a_project_that_nobody_listed_has_a_place_in_the_order() -> None:
    usage = after(60, FLAT, nlp=gpus(1), stranger=gpus(2))
    assert order(usage, FLAT, "stranger", "nlp", "vision") == ["vision", "nlp", "stranger"]


def test_a_fair_share_is_weight_by_weight_and_no_less_than_the_guarantee() -> None:
    assert fair_share(BRANCHES, "nlp", CAPACITY).on("gpu") == Resources.of(16, 2)
    assert fair_share(BRANCHES, "ai", CAPACITY).on("gpu") == Resources.of(10.666, 1.333)
    promised = tree([Project(name="nlp", guaranteed={"gpu": Share(gpus=6.0)}), Project(name="vision")])
    assert fair_share(promised, "nlp", CAPACITY).on("gpu") == Resources.of(32, 6)


def job(project: str = "nlp", wait_s: float = 0.0, run_s: float = 100.0, held: Amounts | None = None) -> Finished:
    return Finished(project, 1000.0, 1000.0 + wait_s + run_s, run_s, held or gpus(1))


@pytest.mark.parametrize(
    ("world", "finished", "expected"),
    [
        ("started at once inside its share", job(), 1.0),
        ("waited as long as it ran", job(wait_s=100), 2.0),
        ("held twice its share", job(held=gpus(8)), 0.5),
        ("held twice its share and waited", job(wait_s=300, held=gpus(8)), 2.0),
        ("took no time", job(run_s=0.0), None),
        ("needs what its share does not have", job(held=Amounts({"tpu": Resources.of(1)})), None),
    ],
)
def test_finish_time_fairness_is_shared_time_over_time_alone(world: str, finished: Finished, expected: Any) -> None:
    assert rho(finished, gpus(4, cpus=32)) == expected, world


def test_fairness_is_reported_by_project() -> None:
    jobs = [job("vision"), *(job("nlp", wait_s=100.0 * number) for number in range(1, 21))]
    assert fairness(jobs, FLAT, CAPACITY) == {
        "nlp": Fairness(jobs=20, median=11.0, p95=20.0, worst=21.0),
        "vision": Fairness(jobs=1, median=1.0, p95=1.0, worst=1.0),
    }
