"""A budget keeps work waiting with the reason and elastic work from growing beyond it, and ends nothing that runs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.config.budgets import Budget
from fabric.config.projects import Project
from fabric.core.resources import Resources
from fabric.scheduler.budgets import Account, decide_within, kept_waiting
from fabric.scheduler.cycle import decide
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.quota import tree
from fabric.scheduler.replay import Decision, replay, write_decision
from fabric.scheduler.snapshot import Running, Snapshot, Told, Waiting
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import Group
from tests.builders import cpu_node, gpu_node, group, piece, running, waiting, world

HOUR = 3600.0
NOW = 1_750_000_000.0
"""Sunday, 15 June 2025, 15:06:40 UTC."""


def budget(**of: object) -> Budget:
    return Budget.model_validate(of)


def asks(name: str, gpus: float = 1.0, hours: float | None = 1.0, project: str = "alpha", at: float = 0.0) -> Waiting:
    walltime_s = None if hours is None else hours * HOUR
    return waiting(name, group(tier="gpu" if gpus else None, gpus=gpus), at=at, walltime_s=walltime_s, project=project)


def holds(name: str, hours: float | None = None, project: str = "alpha") -> Running:
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


EAGER = Policy(min_run_s=0.0)
NODES = (gpu_node("g0", 8, 16), cpu_node("c0"))
FAMILY = (Project(name="physics"), *(Project(name=name, parent="physics") for name in ("alpha", "beta")))


def workers(most: int, count: int = 1, **of: Any) -> Group:
    """A group of workers with an accelerator each that can go on with one."""
    return group("w", count, "gpu", **{"min": 1, "max": most, "gpus": 1.0, **of})


def gang(name: str, hours: float | None, size: int = 1, *, of: Group | None = None, **more: Any) -> Running:
    """An elastic job that runs, with a tenth of a core for its head, and has a hundred hours of work before it."""
    elastic = of or workers(8)
    slices = (
        Slice("head", "head", "c0", "commodity", 1, Resources.of(0.1, 0, "1 MiB"), head=True),
        Slice("w-0", "w", "g0", "gpu", size, Resources.of(size, elastic.gpus * size, f"{size} MiB")),
    )
    ends = None if hours is None else NOW + hours * HOUR
    told = Told(1, left_s=100 * HOUR, workers=size)
    fields: dict[str, Any] = {"project": "alpha", "settled": True, "elastic": elastic, "told": told, **more}
    return Running(name, Grant(slices), ends, **fields)


def starts(name: str, count: int, hours: float | None, at: float = 0.0, **more: Any) -> Waiting:
    """An elastic job that waits and can go on with one worker."""
    walltime_s = None if hours is None else hours * HOUR
    return waiting(name, workers(count, count), at=at, **{"walltime_s": walltime_s, "project": "alpha", **more})


def within(hours: float, *work: Waiting | Running, used: float = 0.0, policy: Policy = EAGER, **of: Any) -> Plan:
    """What is decided with a budget of so many hours for alpha."""
    seen = replace(world(*work, nodes=NODES), tree=tree(FAMILY))
    accounts = {of.pop("name", "alpha"): Account(budget(gpu_hours=hours, **of), used_gpu_s=used * HOUR)}
    return decide_within(accounts, seen, policy, NOW, decider=decide)


def sizes(plan: Plan) -> Mapping[str, int]:
    """Workers of those that start or change."""
    grants = {place.workload: place.grant for place in plan.placed} | {one.workload: one.grant for one in plan.resized}
    return {name: grant.size("w") for name, grant in sorted(grants.items())}


def test_elastic_work_grows_no_further_than_what_is_left_allows_until_its_end() -> None:
    # One accelerator for five hours is held for it already.
    assert sizes(within(20, gang("a", hours=5), used=10)) == {"a": 2}
    assert sizes(within(20, gang("a", hours=5), used=11)) == {}
    assert sizes(within(20, gang("a", hours=5), used=25)) == {}
    assert sizes(within(1000, gang("a", hours=5))) == {"a": 8}
    # What it would use after the period ends counts too: this is four hours before midnight.
    assert sizes(within(40, gang("a", hours=12), every="day", used=12)) == {"a": 2}


def test_it_grows_by_whole_steps_and_keeps_the_size_that_it_has() -> None:
    in_twos = workers(8, step=3)
    assert sizes(within(30, gang("a", hours=5, of=in_twos), used=5)) == {"a": 4}
    assert sizes(within(30, gang("a", hours=5, of=in_twos), used=11)) == {}
    assert sizes(within(30, gang("a", hours=5, size=4, of=in_twos), used=11)) == {}


def test_several_share_what_is_left_and_what_one_cannot_use_is_for_the_others() -> None:
    plan = within(60, gang("a", hours=10), gang("b", hours=10))
    assert sizes(plan) == {"a": 3, "b": 3}
    small = workers(2)
    assert sizes(within(60, gang("a", hours=10, of=small), gang("b", hours=10))) == {"a": 2, "b": 4}
    assert sizes(within(60, gang("a", hours=10), gang("b", hours=10, project="beta"), name="physics")) == {
        "a": 3, "b": 3,
    }  # fmt: skip


def test_whoever_waits_has_the_hours_first_and_starts_no_larger_than_they_allow() -> None:
    assert sizes(within(10, starts("a", count=8, hours=2))) == {"a": 5}
    first, second = starts("a", count=3, hours=2, at=1.0), starts("b", count=4, hours=2, at=2.0)
    assert sizes(within(10, first, second)) == {"a": 3, "b": 2}
    assert sizes(within(12, first, gang("r", hours=2))) == {"a": 3, "r": 3}
    assert sizes(within(10, starts("a", count=4, hours=None), used=9.9)) == {"a": 4}


def test_work_without_an_end_gets_no_more_than_it_asked_for() -> None:
    asked_for_three = workers(8, count=3)
    assert sizes(within(100, gang("a", hours=None, of=asked_for_three))) == {"a": 3}
    assert sizes(within(100, gang("a", hours=None, of=asked_for_three), used=100)) == {}
    assert sizes(within(100, gang("a", hours=None, size=4, of=asked_for_three))) == {}


def test_services_work_without_accelerators_and_what_no_hours_limit_grow_as_they_would() -> None:
    on_cpus = workers(8, gpus=0.0)
    assert sizes(within(1, gang("a", hours=5, of=on_cpus), used=1)) == {"a": 8}
    assert sizes(within(1, gang("a", hours=5, project="beta"), used=1)) == {"a": 8}
    only_running = {"alpha": Account(budget(running=5))}
    seen = world(gang("a", hours=None), nodes=NODES)
    assert sizes(decide_within(only_running, seen, EAGER, NOW, decider=decide)) == {"a": 8}
    service = gang("s", hours=None, service=True)
    assert held({"alpha": Account(budget(gpu_hours=1))}, service).running[0].elastic == workers(8)


def test_where_nothing_is_elastic_work_counts_by_the_size_at_which_it_starts() -> None:
    rigid = Policy(elastic=False)
    assert sizes(within(10, starts("a", count=5, hours=2), policy=rigid)) == {"a": 5}
    plan = within(10, starts("a", count=6, hours=2), policy=rigid)
    assert (sizes(plan), "this asks for 12.0" in plan.waits[0].reason) == ({}, True)


def test_what_grew_within_a_budget_grows_again_when_it_is_decided_again() -> None:
    seen, accounts = world(gang("a", hours=5), nodes=NODES), {"alpha": Account(budget(gpu_hours=20), 10 * HOUR)}
    plan = decide_within(accounts, seen, EAGER, NOW, decider=decide)
    text = write_decision(Decision(seen, EAGER, NOW, plan, accounts))
    assert replay(text, "test").same
    assert not replay(write_decision(Decision(seen, EAGER, NOW, plan)), "test").same


def held(accounts: Mapping[str, Account], *work: Waiting | Running) -> Snapshot:
    """The world in which it is decided."""
    shown: list[Snapshot] = []

    def look(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        shown.append(snapshot)
        return Plan()

    decide_within(accounts, replace(world(*work, nodes=NODES), tree=tree(FAMILY)), EAGER, NOW, decider=look)
    return shown[0]


HOURS = st.sampled_from([2.0, 7.0, 0.5, 0.0])
PROJECTS = st.sampled_from(["alpha", "beta", "other"])
BUDGETS = st.sampled_from([60, 100, 30, 10, 0])


@st.composite
def gangs(draw: st.DrawFn) -> Group:
    least, step = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    count = least + step * draw(st.integers(0, 4))
    most = count + draw(st.integers(0, 20))
    return workers(most, count, min=least, step=step, gpus=draw(st.sampled_from([1.0, 4.0, 0.5])))


@st.composite
def works(draw: st.DrawFn) -> list[Waiting | Running]:
    found: list[Waiting | Running] = []
    for number, of in enumerate(draw(st.lists(gangs(), min_size=2, max_size=5))):
        name, project = f"w{number}", draw(PROJECTS)
        if draw(st.booleans()):
            size = of.least + of.step * draw(st.integers(0, (of.most - of.least) // of.step))
            found.append(gang(name, draw(HOURS), size, of=of, project=project))
        else:
            found.append(waiting(name, of, at=number, walltime_s=draw(HOURS) * HOUR, project=project))
    return found


def everybody(seen: Snapshot) -> list[Waiting | Running]:
    return [*seen.running, *seen.waiting]


def gpu_hours(project: str, seen: Snapshot, *, largest: bool) -> float:
    """What work of a project and those below it uses until its end, as it is or as large as it may be."""
    total = 0.0
    for work in everybody(seen):
        if work.project != project and not (project == "physics" and work.project in {"alpha", "beta"}):
            continue
        if isinstance(work, Running):
            of = work.elastic
            size = work.grant.size("w") if of is None or not largest else of.most - (of.most - of.least) % of.step
            total += 0.0 if of is None or work.ends is None else of.gpus * size * (work.ends - NOW)
        else:
            (of,) = work.groups
            total += of.gpus * (of.count if largest else of.least) * (work.walltime_s or 0.0)
    return total / HOUR


@given(works(), BUDGETS, BUDGETS, st.integers(0, 9))
def test_whatever_the_work_it_grows_and_starts_within_all_budgets(
    work: list[Waiting | Running], physics: int, alpha: int, used: int
) -> None:
    accounts = {
        "physics": Account(budget(gpu_hours=physics), used * HOUR),
        "alpha": Account(budget(gpu_hours=alpha), used / 2 * HOUR),
    }
    seen = held(accounts, *work)
    for name, account in accounts.items():
        spent = account.used_gpu_s / HOUR
        least = spent + gpu_hours(name, seen, largest=False)
        most = max(account.budget.gpu_hours or 0.0, least)
        assert spent + gpu_hours(name, seen, largest=True) <= most + 1e-6
    before = {one.name: one for one in work}
    for one in everybody(seen):
        was, of = before[one.name], one.elastic
        if of is None or was.elastic is None:
            continue
        assert Group.model_validate(of.model_dump()) == of
        assert (of.least, of.step) == (was.elastic.least, was.elastic.step)
        assert of.count <= was.elastic.count
        if isinstance(one, Running):
            assert one.grant.size("w") <= of.most <= was.elastic.most


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
