"""The budgets of a site's projects, with what the ledger says was used of them.

Knows nothing of what follows from it; `fabric.scheduler.budgets` decides that.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from fabric.api.people import BudgetView
from fabric.config.projects import Project
from fabric.config.site import Site
from fabric.scheduler.budgets import HOUR_S, Account, decide_within
from fabric.scheduler.cycle import decide
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.replay import Decision
from fabric.scheduler.snapshot import Snapshot

READ_EVERY_S = 5.0
"""Seconds for which what was read of the ledger is taken; what runs meanwhile is added by its walltime anyway."""


class Used(Protocol):
    """What projects have used."""

    def gpu_seconds(self, since: Mapping[str, float], now: float) -> Mapping[str, float]:
        """Accelerators times seconds of each project since an instant."""
        ...


class Budgets:
    """Accounts of all projects with a budget."""

    def __init__(self, site: Site, used: Used) -> None:
        self._projects = site.projects
        self._used = used
        self._read_at, self._accounts = float("-inf"), dict[str, Account]()
        self._last: tuple[Snapshot, Mapping[str, Account]] | None = None

    def use(self, projects: tuple[Project, ...]) -> None:
        """Go by other budgets from the next decision on; from any thread."""
        self._projects, self._read_at = projects, float("-inf")

    def planned(self, snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        """A decision within all budgets."""
        accounts = self.accounts(now)
        plan = decide_within(accounts, snapshot, policy, now, decider=decide)
        self._last = (snapshot, accounts)
        return plan

    def decided(self, decision: Decision | None) -> Decision | None:
        """A decision with the accounts that it was made by, so that the same inputs give the same plan again."""
        last = self._last
        if decision is None or last is None or decision.snapshot is not last[0]:
            return decision
        return replace(decision, accounts=last[1])

    def accounts(self, now: float) -> Mapping[str, Account]:
        """By project, those without a budget left out; read anew every `READ_EVERY_S`."""
        if not any(project.budget for project in self._projects):
            return {}
        if not self._read_at <= now < self._read_at + READ_EVERY_S:
            self._accounts, self._read_at = self._read(now), now
        return self._accounts

    def _read(self, now: float) -> dict[str, Account]:
        found = {}
        for project in self._projects:
            if project.budget is not None:
                begins, _ = project.budget.period(now)
                used = self._used.gpu_seconds(dict.fromkeys(self._below(project), begins), now)
                found[project.name] = Account(project.budget, sum(used.values()))
        return found

    def _below(self, project: Project) -> list[str]:
        """The project and all below it."""
        children = [child for child in self._projects if child.parent == project.name]
        return [project.name, *(name for child in children for name in self._below(child))]


def budget_view(account: Account, now: float) -> BudgetView:
    """An account as people see it."""
    budget = account.budget
    return BudgetView(
        gpu_hours=budget.gpu_hours, every=budget.every, used_gpu_hours=account.used_gpu_s / HOUR_S,
        resets_at=budget.period(now)[1], running=budget.running,
    )  # fmt: skip
