"""What is ahead of a site, as the last decision knows it."""

import math
from dataclasses import replace

import pytest

from fabric.core.resources import Resources
from fabric.scheduler.ahead import Ahead, Held, ahead
from fabric.scheduler.cycle import decide
from fabric.scheduler.forecast import Demand
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Claim, NodeState, Running, Snapshot, Told
from fabric.workloads.record import Grant
from fabric.workloads.spec import Group
from tests.builders import HEAD, cpu_node, gpu_node, group, piece, running, waiting, world

NOW, HOUR = 10_000.0, 3600.0
INSTANTS = tuple(NOW + HOUR * number for number in range(4))
DEVICE = Resources.of(1, 1, "1 GiB")


def coming(seen: Snapshot, plan: Plan | None = None) -> Ahead:
    return ahead(seen, plan or decide(seen, Policy(), NOW), NOW, INSTANTS)


def gpus(found: Ahead, part: str, tier: str = "gpu") -> list[float]:
    return [getattr(held, part).gpus.whole() for held in found.tiers[tier]]


def cpus(found: Ahead, part: str, tier: str = "commodity") -> list[float]:
    return [getattr(held, part).cpus.whole() for held in found.tiers[tier]]


def test_running_work_is_there_until_its_walltime_ends_and_for_ever_without_one() -> None:
    ends = running("ends", piece("g0", resources=DEVICE), ends=NOW + 1.5 * HOUR)
    found = coming(world(ends, running("stays", piece("g1", resources=DEVICE))), Plan())
    assert gpus(found, "running") == [2, 2, 1, 1]
    assert found.total["gpu"].gpus.whole() == 4
    assert found.bookings == ()


def test_work_that_is_past_its_walltime_leaves_at_once() -> None:
    late = running("late", piece("g0", resources=DEVICE), ends=NOW - 5)
    assert gpus(coming(world(late), Plan()), "running") == [1, 0, 0, 0]


def test_a_promised_start_is_kept_on_top_of_what_runs() -> None:
    nodes = [gpu_node("g0"), cpu_node("c0")]
    full = running("full", piece("g0", resources=Resources.of(1, 2, "1 GiB")), ends=NOW + 1.5 * HOUR)
    waits = waiting("waits", group(tier="gpu", gpus=2), walltime_s=HOUR)
    found = coming(world(full, waits, nodes=nodes))
    assert (gpus(found, "running"), gpus(found, "kept")) == ([2, 2, 0, 0], [0, 0, 2, 0])
    booking = next(each for each in found.bookings if each.name == "waits")
    assert (booking.kind, booking.start, booking.end) == ("promise", NOW + 1.5 * HOUR, NOW + 2.5 * HOUR)
    assert booking.amounts["gpu"].gpus.whole() == 2


def test_work_that_starts_now_counts_as_running_until_its_walltime() -> None:
    found = coming(world(waiting("starts", group(tier="gpu", gpus=2), walltime_s=1.5 * HOUR)))
    assert gpus(found, "running") == [2, 2, 0, 0]


def test_whoever_is_asked_to_leave_ends_with_the_grace() -> None:
    victim = replace(running("victim", piece("c0", resources=Resources.of(3, 0, "6 GiB"))), rank=3, movable=True)
    urgent = waiting("urgent", group(cpus=4, tier="commodity"), priority="interactive", walltime_s=HOUR)
    seen = Snapshot.of([cpu_node("c0", 5)], [victim], [urgent], head=HEAD, grace_s=60.0)
    plan = decide(seen, Policy(), NOW)
    assert [action.workload for action in plan.preempted] == ["victim"]
    assert cpus(ahead(seen, plan, NOW, INSTANTS), "running") == [3, 0, 0, 0]


@pytest.mark.parametrize("amount", [None, Resources.of(1, 1, "1 GiB")])
def test_a_window_takes_whole_nodes_and_a_claim_a_part_of_them(amount: Resources | None) -> None:
    stays = running("stays", piece("g0", resources=DEVICE))
    claim = Claim("upgrade", NOW + 0.5 * HOUR, NOW + 1.5 * HOUR, ("g0", "gone"), amount)
    found = coming(replace(world(stays), claims=(claim,)), Plan())
    whole = amount is None
    assert gpus(found, "away") == [0, 2 if whole else 0, 0, 0]
    assert gpus(found, "running") == [1, 0 if whole else 1, 1, 1]
    assert gpus(found, "kept") == [0, 0 if whole else 1, 0, 0]
    (booking,) = found.bookings
    assert (booking.kind, booking.nodes, booking.end) == ("window" if whole else "claim", 1, NOW + 1.5 * HOUR)


def test_in_a_window_of_a_project_its_work_is_there_and_the_rest_is_kept() -> None:
    stays = running("stays", piece("g0", resources=DEVICE))
    claim = Claim("week", NOW + 0.5 * HOUR, NOW + 1.5 * HOUR, ("g0",), project="physics")
    found = coming(replace(world(stays), claims=(claim,)), Plan())
    assert (gpus(found, "running"), gpus(found, "away")) == ([1, 1, 1, 1], [0, 0, 0, 0])
    assert gpus(found, "kept") == [0, 1, 0, 0]


def test_nodes_that_are_not_ready_are_away_but_for_what_is_on_them() -> None:
    nodes = (replace(gpu_node("g0"), state=NodeState.DRAINING), gpu_node("g1"))
    stays = running("stays", piece("g0", resources=DEVICE), ends=NOW + 1.5 * HOUR)
    seen = replace(world(stays, nodes=nodes), claims=(Claim("drain:g0", NOW - 9, math.inf, ("g0",)),))
    found = coming(seen, Plan())
    assert (gpus(found, "running"), gpus(found, "away")) == ([1, 1, 0, 0], [1, 1, 2, 2])
    assert found.tiers["gpu"][0] == Held(DEVICE, Resources(), Resources.of(3, 1, "7 GiB"))


def test_what_a_forecast_keeps_for_a_service_is_told_with_its_replicas() -> None:
    replicas = Group(name="replicas", count=1, min=1, max=2, tier="gpu", gpus=1)
    demand = Demand(NOW, HOUR, (1, 1, 2, 2), "last value")
    service = Running(
        "chat", Grant((piece("g0", "replicas", DEVICE),)), None, service=True, elastic=replicas, replicas=replicas,
        settled=True, movable=True, told=Told(1, demand=demand, lead_s=300.0),
    )  # fmt: skip
    seen = world(service, nodes=[gpu_node("g0"), cpu_node("c0")])
    found = ahead(seen, decide(seen, Policy(loans=True), NOW), NOW, INSTANTS)
    (booking,) = found.bookings
    assert (booking.kind, booking.name, booking.replicas, booking.end) == ("forecast", "chat", 1, math.inf)
    assert NOW < booking.start < NOW + 2 * HOUR
    assert (gpus(found, "running"), gpus(found, "kept")) == ([1, 1, 1, 1], [0, 0, 1, 1])


def test_parts_of_a_tier_never_add_up_to_more_than_it_has() -> None:
    crowd = [running(f"r{i}", piece("g0", resources=DEVICE), ends=NOW + (i + 1) * HOUR) for i in range(2)]
    queue = [waiting(f"w{i}", group(tier="gpu", gpus=2), at=float(i), walltime_s=HOUR) for i in range(5)]
    window = Claim("upgrade", NOW + HOUR, NOW + 2 * HOUR, ("g1",))
    found = coming(replace(world(*crowd, *queue), claims=(window,)))
    for tier, steps in found.tiers.items():
        for step in steps:
            assert (step.running + step.kept + step.away).fits(found.total[tier])
