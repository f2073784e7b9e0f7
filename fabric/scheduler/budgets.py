"""Who is kept waiting, and how far elastic work may grow, by what budgets have left; a pure step before a decision.

Knows nothing of clocks or of where use is written down: what was used is told. Work that runs is never ended for a
budget. What it will still use by its walltime counts as used, and so does what is let through before in this decision;
elastic work is let through by its smallest size, and what is left then says how much larger it may be.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from fabric.config.budgets import Budget
from fabric.scheduler.explain import Later
from fabric.scheduler.growing import may_grow
from fabric.scheduler.order import in_order
from fabric.scheduler.plan import Plan, Wait
from fabric.scheduler.policy import Policy
from fabric.scheduler.quota import OWN
from fabric.scheduler.snapshot import Running, Snapshot, Waiting
from fabric.workloads.spec import Group

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
    if not accounts:
        return decider(snapshot, policy, now)
    books = _Books(accounts, snapshot, policy, now)
    kept, seen = books.kept_waiting(), books.held()
    if not kept:
        return decider(seen, policy, now)
    plan = decider(replace(seen, waiting=tuple(w for w in seen.waiting if w.name not in kept)), policy, now)
    waits = tuple(Wait(name, note=reason) for name, reason in kept.items())
    return replace(plan, waits=Later(lambda: (*plan.waits, *waits)))


def kept_waiting(accounts: Mapping[str, Account], snapshot: Snapshot, policy: Policy, now: float) -> Mapping[str, str]:
    """Who may not start now, with the reason, in the order of the queue."""
    return _Books(accounts, snapshot, policy, now).kept_waiting()


def gpu_s(work: Waiting, *, elastic: bool) -> float:
    """What it uses at its smallest if it runs as long as it may; 0 where it does not say how long.

    Args:
        work: Who waits.
        elastic: Whether it may start smaller than it asks for.
    """
    gpus = sum(group.gpus * (group.least if elastic else group.count) for group in work.groups)
    return gpus * work.walltime_s if work.walltime_s is not None else 0.0


@dataclass(frozen=True, slots=True)
class _Wish:
    """What elastic work could have beside what is counted of it already."""

    work: Running | Waiting
    group: Group
    size: int
    """Workers that are counted."""
    most: int
    """Workers that it could have."""
    for_s: float
    """How long it would have them, in seconds."""

    @property
    def steps(self) -> int:
        return max(0, self.most - self.size) // self.group.step

    @property
    def step_gpu_s(self) -> float:
        """Accelerators times seconds of one step more."""
        return self.group.step * self.group.gpus * self.for_s


class _Books:
    """All accounts while a decision is made."""

    def __init__(self, accounts: Mapping[str, Account], snapshot: Snapshot, policy: Policy, now: float) -> None:
        self._snapshot, self._policy, self._now = snapshot, policy, now
        self._ledgers = {project: _Ledger(project, account, now) for project, account in accounts.items()}
        self._above: dict[str, list[_Ledger]] = {}
        self._let_in: list[Waiting] = []
        for work in snapshot.running:
            for ledger in self._over(work):
                ledger.runs(work)

    def kept_waiting(self) -> Mapping[str, str]:
        """Who may not start now, with the reason, in the order of the queue; all others count from here on."""
        kept: dict[str, str] = {}
        for waiting in in_order(self._snapshot, self._policy, self._now):
            above, needs_s = self._over(waiting), gpu_s(waiting, elastic=self._policy.elastic)
            reason = next((why for ledger in above if (why := ledger.refusal(waiting, needs_s))), None)
            if reason is not None:
                kept[waiting.name] = reason
            elif above and not waiting.blocked_by:
                self._let_in.append(waiting)
                for ledger in above:
                    ledger.lets_in(needs_s)
        return kept

    def held(self) -> Snapshot:
        """The world with elastic jobs that may have no more workers than the hours that are left allow.

        Those that may start come first, in the order of the queue. Those that run share what then is left: equally,
        and what one cannot use is for the others.
        """
        if not self._policy.elastic:
            return self._snapshot
        starting = [wish for work in self._let_in if self._limits(work) and (wish := _to_start(work))]
        growing = [wish for work in self._snapshot.running if self._limits(work) and (wish := self._to_grow(work))]
        sizes = {wish.work.name: self._granted(wish, Counter()) for wish in starting}
        sharing = Counter(ledger.project for wish in growing for ledger in self._over(wish.work))
        for wish in sorted(growing, key=lambda one: (one.steps * one.step_gpu_s, one.work.name)):
            sizes[wish.work.name] = self._granted(wish, sharing)
            sharing.subtract(ledger.project for ledger in self._over(wish.work))
        if not sizes:
            return self._snapshot
        return replace(
            self._snapshot,
            running=tuple(_grows_to(work, sizes.get(work.name)) for work in self._snapshot.running),
            waiting=tuple(_starts_with(work, sizes.get(work.name)) for work in self._snapshot.waiting),
        )

    def _to_grow(self, work: Running) -> _Wish | None:
        """What running work could still get; where nothing says when it ends, no more than it asked for."""
        group = work.elastic
        if group is None or not group.gpus or not may_grow(work, self._policy, self._now):
            return None
        size = work.grant.size(group.name)
        if work.ends is None:
            return _Wish(work, group, size, max(size, group.count), 0.0)
        return _Wish(work, group, size, group.most, max(0.0, work.ends - self._now))

    def _granted(self, wish: _Wish, sharing: Counter[str]) -> int:
        """Workers that the accounts above allow, which count from here on.

        Args:
            wish: Who wants how many.
            sharing: By project, how many share what is left, this one among them; where it names none, this one alone.
        """
        above, steps = self._over(wish.work), float(wish.steps)
        for ledger in above:
            steps = min(steps, ledger.steps(wish.step_gpu_s, sharing[ledger.project] or 1))
        for ledger in above:
            ledger.grants(steps * wish.step_gpu_s)
        return wish.size + int(steps) * wish.group.step

    def _limits(self, work: Running | Waiting) -> bool:
        return any(ledger.limits_hours for ledger in self._over(work))

    def _over(self, work: Running | Waiting) -> list["_Ledger"]:
        """The accounts that work counts towards, from its project's own up."""
        if work.project not in self._above:
            names = dict.fromkeys(entry.removesuffix(OWN) for entry in self._snapshot.tree.path(work.project))
            self._above[work.project] = [self._ledgers[name] for name in names if name in self._ledgers]
        return self._above[work.project]


def _to_start(work: Waiting) -> _Wish | None:
    """What elastic work that may start could have beyond its smallest size."""
    group = work.elastic
    if group is None or not group.gpus or work.service or work.walltime_s is None:
        return None
    return _Wish(work, group, group.least, group.count, work.walltime_s)


def _grows_to(work: Running, most: int | None) -> Running:
    """Running work that may have so many workers at most."""
    group = work.elastic
    if group is None or most is None or most >= group.most:
        return work
    return replace(work, elastic=group.model_copy(update={"max": most, "count": min(group.count, most)}))


def _starts_with(work: Waiting, count: int | None) -> Waiting:
    """Waiting work that asks for so many workers at most."""
    if work.elastic is None or count is None or count >= work.elastic.count:
        return work
    smaller = work.elastic.model_copy(update={"count": count, "max": work.elastic.most})
    return replace(work, groups=tuple(smaller if group is work.elastic else group for group in work.groups))


class _Ledger:
    """One project's account while a decision is made."""

    def __init__(self, project: str, account: Account, now: float) -> None:
        self.project, self._budget, self._now = project, account.budget, now
        self._used_s = account.used_gpu_s
        self._committed_s = 0.0
        self._running = 0

    @property
    def limits_hours(self) -> bool:
        return self._budget.gpu_hours is not None

    def runs(self, work: Running) -> None:
        self._running += not work.is_rest
        if work.ends is not None:
            gpus = sum(part.resources.gpus.whole() for part in work.grant.slices)
            ends = min(work.ends, self._budget.period(self._now)[1])
            self._committed_s += gpus * max(0.0, ends - self._now)

    def lets_in(self, needs_s: float) -> None:
        self._running += 1
        self._committed_s += needs_s

    def grants(self, more_s: float) -> None:
        self._committed_s += more_s

    def steps(self, step_s: float, shares: int) -> float:
        """How many times so many accelerators times seconds fit into one of some equal shares of what is left."""
        if self._budget.gpu_hours is None:
            return math.inf
        left_s = self._budget.gpu_hours * HOUR_S - self._used_s - self._committed_s
        if left_s <= 0:
            return 0
        return left_s / shares // step_s if step_s else math.inf

    def refusal(self, work: Waiting, needs_s: float) -> str | None:
        most = self._budget.running
        if most is not None and self._running >= most:
            return f"project {self.project} may have {most} jobs and services running at a time, and has or starts them"
        return self._too_many_hours(work, needs_s)

    def _too_many_hours(self, work: Waiting, needs_s: float) -> str | None:
        if self._budget.gpu_hours is None or not any(group.gpus for group in work.groups):
            return None
        most_s = self._budget.gpu_hours * HOUR_S
        whole = f"{self._budget.gpu_hours:g} GPU hours of a {self._budget.every}"
        if needs_s > most_s:
            asked = f"this asks for {needs_s / HOUR_S:.1f}; ask for less or for a shorter walltime"
            return f"project {self.project} has a budget of {whole}, and {asked}"
        taken_s = self._used_s + self._committed_s
        if taken_s < most_s and taken_s + needs_s <= most_s:
            return None
        parts = f"{self._used_s / HOUR_S:.1f} used, {self._committed_s / HOUR_S:.1f} held for what runs or comes first"
        again = datetime.fromtimestamp(self._budget.period(self._now)[1], UTC)
        return f"the budget of project {self.project} is used up until {again:%Y-%m-%d %H:%M} UTC: {whole}, {parts}"
