"""A budget keeps work waiting with the reason, and ends nothing that runs."""

from dataclasses import replace

import pytest

from fabric.config.budgets import Budget
from fabric.config.projects import Project
from fabric.scheduler.budgets import Account, decide_within, kept_waiting
from fabric.scheduler.cycle import decide
from fabric.scheduler.policy import Policy
from fabric.scheduler.quota import tree
from fabric.scheduler.snapshot import Running, Waiting
from tests.builders import group, piece, running, waiting, world

HOUR = 3600.0
NOW = 1_750_000_000.0
"""Sunday, 15 June 2025, 15:06:40 UTC."""


def budget(**of: object) -> Budget:
    return Budget.model_validate(of)


def asks(name: str, gpus: float = 1.0, hours: float | None = 1.0, project: str = "alpha", at: float = 0.0) -> Waiting:
    walltime_s = None if hours is None else hours * HOUR
    return waiting(name, group(tier="gpu" if gpus else None, gpus=gpus), at=at, walltime_s=walltime_s, project=project)


def holds(name: str, hours: float | None = None, project: str = "alpha") -> Running:
    from fabric.core.resources import Resources

    ends = None if hours is None else NOW + hours * HOUR
    slices = piece("g0", resources=Resources.of(1, 1, "1 GiB"))
    return replace(running(name, slices, ends=ends), project=project)


def kept(
    account: Account, *work: Waiting | Running, name: str = "alpha", projects: tuple[Project, ...] = ()
) -> dict[str, str]:
    seen = replace(world(*work), tree=tree(projects))
    return dict(kept_waiting({name: account}, seen, Policy(), NOW))


def test_work_starts_as_long_as_its_hours_fit_into_what_is_left() -> None:
    account = Account(budget(gpu_hours=10), used_gpu_s=8 * HOUR)
    assert kept(account, asks("a", hours=2)) == {}
    reason = kept(account, asks("a", hours=2.5))["a"]
    assert reason == (
        "the budget of project alpha is used up until 2025-07-01 00:00 UTC: 10 GPU hours of a month, 8.0 used, "
        "0.0 held for what runs or comes first"
    )


def test_what_runs_and_what_comes_first_counts_as_used() -> None:
    account = Account(budget(gpu_hours=10), used_gpu_s=5 * HOUR)
    found = kept(
        account, holds("r", hours=2), asks("a", hours=2, at=1), asks("b", hours=2, at=2), asks("c", hours=1, at=3)
    )
    assert list(found) == ["b"]
    assert "5.0 used, 4.0 held for what runs or comes first" in found["b"]


def test_work_without_a_walltime_starts_until_the_budget_is_used_up() -> None:
    spent, left = (Account(budget(gpu_hours=10, every="day"), used_gpu_s=used * HOUR) for used in (10, 9.9))
    assert kept(left, asks("a", hours=None)) == {}
    assert "until 2025-06-16 00:00 UTC" in kept(spent, asks("a", hours=None))["a"]


def test_work_that_asks_for_more_than_the_whole_budget_is_told_so() -> None:
    reason = kept(Account(budget(gpu_hours=10)), asks("a", gpus=2, hours=6))["a"]
    assert reason.endswith("and this asks for 12.0; ask for less or for a shorter walltime")


def test_work_without_accelerators_and_of_others_is_never_kept_by_hours() -> None:
    spent = Account(budget(gpu_hours=0))
    assert kept(spent, asks("cpu", gpus=0), asks("theirs", project="beta"), asks("mine")).keys() == {"mine"}


def test_what_a_workload_still_occupies_is_used_but_runs_no_more() -> None:
    account = Account(budget(running=2, gpu_hours=10), used_gpu_s=8 * HOUR)
    rests = [holds("ended-1 (leaving)", hours=1), holds("gang (shrinks)", hours=1)]
    assert kept(account, *rests, asks("a", gpus=0), asks("b", gpus=0)) == {}
    assert "2.0 held for what runs" in kept(account, *rests, asks("a", hours=1))["a"]


def test_no_more_run_at_a_time_than_the_budget_says() -> None:
    account = Account(budget(running=2))
    found = kept(account, holds("r"), asks("a", gpus=0, at=1), asks("b", gpus=0, at=2), asks("c", project="beta"))
    assert found == {"b": "project alpha may have 2 jobs and services running at a time, and has or starts them"}


def test_the_work_of_projects_below_counts_too() -> None:
    projects = (
        Project(name="physics"),
        Project(name="alpha", parent="physics"),
        Project(name="beta", parent="physics"),
    )
    account = Account(budget(running=1))
    work = (holds("r", project="beta"), asks("a"), asks("own", project="physics"))
    assert kept(account, *work, name="physics", projects=projects).keys() == {"a", "own"}


def test_a_decision_starts_those_within_and_tells_the_others() -> None:
    accounts = {"alpha": Account(budget(running=1))}
    seen = world(asks("a", at=1), asks("b", at=2), asks("c", project="beta", at=3))
    plan = decide_within(accounts, seen, Policy(), NOW, decider=decide)
    assert {action.workload for action in plan.placed} == {"a", "c"}
    assert {wait.workload: wait.note for wait in plan.waits}.keys() == {"b"}
    assert "may have 1 jobs and services running" in plan.waits[0].reason
    assert decide_within({}, seen, Policy(), NOW, decider=decide) == decide(seen, Policy(), NOW)


@pytest.mark.parametrize(
    ("every", "begins", "ends"),
    [
        ("day", 1_749_945_600, 1_750_032_000),
        ("week", 1_749_427_200, 1_750_032_000),
        ("month", 1_748_736_000, 1_751_328_000),
    ],
)
def test_a_period_begins_at_midnight_on_monday_or_on_the_first(every: str, begins: float, ends: float) -> None:
    assert budget(gpu_hours=1, every=every).period(NOW) == (begins, ends)
    assert budget(gpu_hours=1, every=every).period(ends)[0] == ends


def test_a_budget_that_limits_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="give gpu_hours or running"):
        budget(every="day")
