"""Who is kept waiting because his project has used up its budget; a pure step before a decision.

Knows nothing of clocks or of where use is written down: what was used is told. Work that runs is never ended for a
budget. What it will still use by its walltime counts as used, and so does what is let through before in this decision.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from fabric.config.budgets import Budget
from fabric.scheduler.explain import Later
from fabric.scheduler.order import in_order
from fabric.scheduler.plan import Plan, Wait
from fabric.scheduler.policy import Policy
from fabric.scheduler.quota import OWN, Tree
from fabric.scheduler.snapshot import Running, Snapshot, Waiting

HOUR_S = 3600.0
"""Seconds of an hour."""


@dataclass(frozen=True, slots=True)
class Account:
    """A project's budget and what its own work has used of it in the present period."""

    budget: Budget
    used_gpu_s: float = 0.0
    """Accelerators times seconds, with those of the projects below it."""


Decider = Callable[[Snapshot, Policy, float], Plan]


def decide_within(
    accounts: Mapping[str, Account], snapshot: Snapshot, policy: Policy, now: float, *, decider: Decider
) -> Plan:
    """A decision about everybody but those whom a budget keeps waiting, who are told so.

    Args:
        accounts: By project; those without a budget are left out.
        snapshot: The world.
        policy: What the site chose.
        now: Seconds since the epoch.
        decider: What decides.
    """
    kept = kept_waiting(accounts, snapshot, policy, now) if accounts and snapshot.waiting else {}
    if not kept:
        return decider(snapshot, policy, now)
    plan = decider(snapshot.updated(unqueued=[w for w in snapshot.waiting if w.name in kept]), policy, now)
    waits = tuple(Wait(name, note=reason) for name, reason in kept.items())
    return replace(plan, waits=Later(lambda: (*plan.waits, *waits)))


def kept_waiting(accounts: Mapping[str, Account], snapshot: Snapshot, policy: Policy, now: float) -> Mapping[str, str]:
    """Who may not start now, with the reason, in the order of the queue."""
    ledgers = {project: _Ledger(project, account, now) for project, account in accounts.items()}
    for work in snapshot.running:
        for ledger in _over(work.project, ledgers, snapshot.tree):
            ledger.runs(work)
    kept: dict[str, str] = {}
    for waiting in in_order(snapshot, policy, now):
        above = _over(waiting.project, ledgers, snapshot.tree)
        reason = next((why for ledger in above if (why := ledger.refusal(waiting))), None)
        if reason is not None:
            kept[waiting.name] = reason
        elif not waiting.blocked_by:
            for ledger in above:
                ledger.lets_in(waiting)
    return kept


def gpu_s(work: Waiting) -> float:
    """What it uses at its smallest if it runs as long as it may; 0 where it does not say how long."""
    gpus = sum(group.gpus * group.least for group in work.groups)
    return gpus * work.walltime_s if work.walltime_s is not None else 0.0


class _Ledger:
    """One project's account while a decision is made."""

    def __init__(self, project: str, account: Account, now: float) -> None:
        self._project, self._budget, self._now = project, account.budget, now
        self._used_s = account.used_gpu_s
        self._committed_s = 0.0
        self._running = 0

    def runs(self, work: Running) -> None:
        self._running += not work.is_rest
        if work.ends is not None:
            gpus = sum(part.resources.gpus.whole() for part in work.grant.slices)
            ends = min(work.ends, self._budget.period(self._now)[1])
            self._committed_s += gpus * max(0.0, ends - self._now)

    def lets_in(self, work: Waiting) -> None:
        self._running += 1
        self._committed_s += gpu_s(work)

    def refusal(self, work: Waiting) -> str | None:
        most = self._budget.running
        if most is not None and self._running >= most:
            return (
                f"project {self._project} may have {most} jobs and services running at a time, and has or starts them"
            )
        return self._too_many_hours(work)

    def _too_many_hours(self, work: Waiting) -> str | None:
        if self._budget.gpu_hours is None or not any(group.gpus for group in work.groups):
            return None
        most_s, needs_s = self._budget.gpu_hours * HOUR_S, gpu_s(work)
        whole = f"{self._budget.gpu_hours:g} GPU hours of a {self._budget.every}"
        if needs_s > most_s:
            asked = f"this asks for {needs_s / HOUR_S:.1f}; ask for less or for a shorter walltime"
            return f"project {self._project} has a budget of {whole}, and {asked}"
        taken_s = self._used_s + self._committed_s
        if taken_s < most_s and taken_s + needs_s <= most_s:
            return None
        parts = f"{self._used_s / HOUR_S:.1f} used, {self._committed_s / HOUR_S:.1f} held for what runs or comes first"
        again = datetime.fromtimestamp(self._budget.period(self._now)[1], UTC)
        return f"the budget of project {self._project} is used up until {again:%Y-%m-%d %H:%M} UTC: {whole}, {parts}"


def _over(project: str, ledgers: Mapping[str, _Ledger], tree: Tree) -> list[_Ledger]:
    """The accounts that work of `project` counts towards, from its own up."""
    names = dict.fromkeys(entry.removesuffix(OWN) for entry in tree.path(project))
    return [ledgers[name] for name in names if name in ledgers]
