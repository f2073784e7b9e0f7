"""Goals and report over made-up results."""

import math
from pathlib import Path
from typing import Any

import pytest

from fabric.simulator.hti.charts import draw
from fabric.simulator.hti.goals import BOUND, Check, checks, ratio
from fabric.simulator.hti.report import FIGURES, report
from fabric.simulator.hti.results import Key, Result

FIGURE = {
    "slo_attainment": 0.999, "jct_mean_s": 10.0, "jct_p99_s": 50.0, "wait_mean_s": 2.0, "bsld_mean": 1.5,
    "deadline_hits": 0.9, "useful_share": 0.8, "harvest_share": 0.1, "wasted_gpu_h": 5.0, "preemptions": 3.0,
    "rho_p95": 1.1, "least_share": 0.95, "fragmentation_mean": 0.1, "preempted_gpu_h": 4.0, "reclaim_p99_s": 60.0,
    "decision_p99_s": 0.01,
}  # fmt: skip


def results(arm: str, *jct_s: float, wide: tuple[float, ...] = (), **more: float) -> list[Result]:
    """One for each seed, which differ in their completion times."""
    return [
        Result(Key(arm, 0.95, seed, 14, "abc"), {**FIGURE, "jct_mean_s": jct, **more}, wide, "digest", 1.0)
        for seed, jct in enumerate(jct_s)
    ]


def found(table: dict[str, list[Result]], goal: str, about: str) -> Check:
    (one,) = [check for check in checks(table) if check.goal == goal and check.about.startswith(about)]
    return one


def test_a_peer_that_takes_twice_as_long_in_every_seed_is_beaten() -> None:
    table = {"ours": results("ours", 10.0, 12.0, 11.0), "b1-static": results("b1-static", 20.0, 24.0, 22.0)}
    check = found(table, "H2", "jct_mean_s")
    assert check.found == pytest.approx(0.5)
    assert check.met is True


def test_a_peer_that_is_only_a_little_slower_is_not() -> None:
    table = {"ours": results("ours", 10.0, 12.0, 11.0), "b1-static": results("b1-static", 11.0, 13.0, 12.0)}
    assert found(table, "H2", "jct_mean_s").met is False


def test_one_seed_is_not_judged() -> None:
    table = {"ours": results("ours", 10.0), "b1-static": results("b1-static", 30.0)}
    check = found(table, "H2", "jct_mean_s")
    assert check.found == pytest.approx(1 / 3)
    assert (check.interval, check.met) == (None, None)


def test_only_seeds_that_both_have_are_compared() -> None:
    table = {"ours": results("ours", 10.0, 10.0, 1000.0), "b6-sia": results("b6-sia", 20.0, 20.0)}
    assert ratio(table, "ours", "b6-sia", "jct_mean_s")[0] == pytest.approx(0.5)


def test_one_run_that_breaks_the_promise_is_enough_to_miss() -> None:
    table = {"ours": [*results("ours", 10.0), *results("ours", 10.0, slo_attainment=0.99)]}
    assert found(table, "H1", "SLO, the worst run").met is False


def test_being_hardly_worse_than_lyra_is_allowed() -> None:
    table = {"ours": results("ours", 10.1, 12.1, 11.1), "b7-lyra": results("b7-lyra", 10.0, 12.0, 11.0)}
    assert found(table, "H4", "jct_mean_s").met is True


def test_the_better_of_kueue_and_kai_is_what_counts() -> None:
    table = {
        "ours": results("ours", 10.0, 10.0, wide=(1.0,)),
        "b3-kueue": results("b3-kueue", 30.0, 31.0, wide=(9.0,)),
        "b4-kai": results("b4-kai", 11.0, 11.5, wide=(2.0,)),
    }
    assert found(table, "H3", "jct_mean_s over that of b4-kai").met is False
    assert found(table, "H3", "pooled p99 wait of 2 wide gangs over that of b4-kai").found == 0.5


@pytest.mark.parametrize(
    ("figure", "value", "goal", "about"),
    [
        ("rho_p95", 1.4, "H5", "rho"),
        ("least_share", 0.8, "H5", "least share"),
        ("reclaim_p99_s", 130.0, "H4", "reclaim"),
        ("decision_p99_s", 2.0, "H7", "p99 of a decision"),
    ],
)
def test_a_figure_of_one_run_beyond_its_limit_is_a_miss(figure: str, value: float, goal: str, about: str) -> None:
    assert found({"ours": results("ours", 1.0, 1.0)}, goal, about).met is True
    more: dict[str, Any] = {figure: value}
    assert found({"ours": results("ours", 1.0, 1.0, **more)}, goal, about).met is False


def test_nothing_that_was_reclaimed_is_not_judged() -> None:
    assert found({"ours": results("ours", 1.0, reclaim_p99_s=math.nan)}, "H4", "reclaim").met is None


def test_the_report_says_what_was_compared_and_where_ours_loses() -> None:
    table = {
        "ours": results("ours", 10.0, 12.0),
        "b2-slurm": results("b2-slurm", 9.0, 11.0),
        "no-loans": results("no-loans", 20.0, 24.0),
    }
    for results_of in table.values():
        for result in results_of:
            result.figures.update({name: result.figures.get(name, 0.0) for name in FIGURES})
    table[BOUND] = [Result(r.key, {"jct_mean_s": 5.0}, (), "digest", 0.0) for r in table["ours"]]
    text = report({0.95: table}, {"commit": "abc"})
    assert "| commit | abc |" in text
    assert "## Load 0.95, seeds 0, 1" in text
    assert "| no-loans | 2 | 2 to 2 (2 pairs) |" in text
    assert "- JCT h: ours 0.003056; b2-slurm 0.002778" in text
    assert "jct_mean_s over the clairvoyant bound | reported | 2.2" in text


@pytest.mark.slow
def test_arms_are_drawn_beside_each_other(tmp_path: Path) -> None:
    draw({"ours": results("ours", 10.0, 12.0), "easy": results("easy", 20.0)}, tmp_path / "arms.png")
    assert (tmp_path / "arms.png").stat().st_size > 1000
