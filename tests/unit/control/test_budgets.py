"""Budgets are read from the ledger, and show with their project."""

from collections.abc import Mapping
from typing import Any

from fabric.config.budgets import Budget
from fabric.config.projects import Project
from fabric.control.budgets import READ_EVERY_S, Budgets
from fabric.scheduler.policy import Policy
from fabric.scheduler.replay import Decision, replay, write_decision
from tests.builders import tiny_site, waiting, world
from tests.unit.control.world import START

BUDGET = Budget(gpu_hours=2.0, every="day")


class Ledger:
    """Tells what it is set to, and remembers what it was asked."""

    def __init__(self, **hours: float) -> None:
        self.hours = hours
        self.asked: list[tuple[Mapping[str, float], float]] = []

    def gpu_seconds(self, since: Mapping[str, float], now: float) -> Mapping[str, float]:
        self.asked.append((since, now))
        return {project: 3600 * self.hours.get(project, 0.0) for project in since}


def budgets(ledger: Ledger, *projects: Project) -> Any:
    return Budgets(tiny_site(projects=projects), ledger)


def test_a_project_is_charged_for_those_below_it_since_the_period_began() -> None:
    ledger = Ledger(physics=0.5, alpha=1.0, beta=9.0)
    found = budgets(
        ledger, Project(name="physics", budget=BUDGET), Project(name="alpha", parent="physics"), Project(name="beta")
    ).accounts(START)
    assert {name: account.used_gpu_s for name, account in found.items()} == {"physics": 1.5 * 3600}
    assert ledger.asked == [(dict.fromkeys(("physics", "alpha"), BUDGET.period(START)[0]), START)]


def test_the_ledger_is_read_every_few_seconds_and_not_at_all_without_budgets() -> None:
    ledger = Ledger()
    mine = budgets(ledger, Project(name="alpha", budget=BUDGET))
    for second in (0.0, 1.0, READ_EVERY_S, READ_EVERY_S + 1):
        mine.accounts(START + second)
    assert len(ledger.asked) == 2
    assert budgets(ledger, Project(name="alpha")).accounts(START + 100) == {}
    assert len(ledger.asked) == 2


def test_the_loops_decision_keeps_who_is_over_budget_waiting() -> None:
    mine = budgets(Ledger(alpha=2.0), Project(name="alpha", budget=Budget(gpu_hours=2.0, running=0)))
    plan = mine.planned(world(waiting("a", project="alpha"), waiting("b")), Policy(), START)
    assert [action.workload for action in plan.placed] == ["b"]
    assert [wait.workload for wait in plan.waits] == ["a"]


def test_a_recorded_decision_within_budgets_is_the_same_when_it_is_decided_again() -> None:
    mine = budgets(ledger := Ledger(alpha=2.0), Project(name="alpha", budget=Budget(gpu_hours=2.0, running=0)))
    seen = world(waiting("a", project="alpha"), waiting("b"))
    made = Decision(seen, Policy(), START, mine.planned(seen, Policy(), START))
    # What is used by now has nothing to do with what was known then.
    ledger.hours = {}
    mine.accounts(START + READ_EVERY_S)
    decision = mine.decided(made)
    assert decision is not None
    assert replay(write_decision(decision), "test").same
    assert not replay(write_decision(made), "test").same


def test_a_decision_that_was_made_without_accounts_stays_as_it_is() -> None:
    mine, seen = budgets(Ledger()), world(waiting("b"))
    made = Decision(seen, Policy(), START, mine.planned(seen, Policy(), START))
    other = Decision(world(), Policy(), START, made.plan)
    assert (mine.decided(None), mine.decided(other)) == (None, other)
    assert mine.decided(made) == made
